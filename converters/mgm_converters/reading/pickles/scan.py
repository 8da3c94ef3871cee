"""A walk through a pickle before PyTorch reads it: what it names, and what would never end.

Nothing is imported, called or hashed: every name is answered with a stand-in that keeps nothing.
The walk finds the names (so that harmless ones can be handed to PyTorch as inert), and refuses
keys that are not plain: a key made of nested tuples takes time without end to hash.
"""

from __future__ import annotations

import _compat_pickle
import pickle
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from mgm_converters.reading.limits import BeyondLimits, Limits
from mgm_converters.reading.zip_files import open_zip

_PLAIN = (str, bytes, int, float, bool, type(None))
# Types that hash what they are called with: members of a set, or pairs of key and value.
_SETS = frozenset(("builtins.set", "builtins.frozenset", "collections.Counter"))
_DICTS = frozenset(("builtins.dict", "collections.OrderedDict", "collections.defaultdict"))
# A legacy file is five pickles in a row: mark, version, machine, content, keys of the tensors.
_LEGACY_PICKLES = 4


class _Blank:
    """Answers whatever a pickle does to an object, and keeps nothing of it."""

    hashes: ClassVar[str] = ""

    def __new__(cls, *arguments: Any, **_: Any) -> _Blank:
        for argument in arguments if cls.hashes else ():
            _check_members(argument, pairs=cls.hashes == "keys")
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        _check_key(key)

    def append(self, value: Any) -> None:
        """As a list."""

    def extend(self, values: Any) -> None:
        """As a list."""

    def add(self, value: Any) -> None:
        """As a set."""
        _check_key(value)


class _Named(_Blank):
    """Stands for a name that is no container."""


class _OfMembers(_Blank):
    """Stands for a set."""

    hashes = "members"


class _OfPairs(_Blank):
    """Stands for a dictionary that is made of pairs."""

    hashes = "keys"


class _Table(dict[Any, Any]):
    """A dictionary that looks at a key before it hashes it."""

    def __setitem__(self, key: Any, value: Any) -> None:
        _check_key(key)
        super().__setitem__(key, value)


class _Members(set[Any]):
    """A set that looks at a member before it hashes it."""

    def add(self, value: Any) -> None:
        _check_key(value)
        super().add(value)


def scan_pickles(path: Path, limits: Limits, *, alone: bool = False) -> frozenset[str]:
    """The names, ``module.name``, that the pickle of a checkpoint mentions.

    Args:
        path: a zip of PyTorch or TorchScript, a file of PyTorch from before, or a pickle.
        limits: on the time that it takes.
        alone: whether it is a pickle alone.

    Raises:
        BeyondLimits: keys that would take too long to hash, or a pickle that takes too long.
        Exception: a damaged pickle fails in many ways.
    """
    if zipfile.is_zipfile(path):
        with open_zip(path) as archive:
            pickles = [name for name in archive.namelist() if name.count("/") <= 1]
            names = [name for name in pickles if name.rpartition("/")[2] == "data.pkl"]
            if not names:
                return frozenset()
            with archive.open(names[0]) as stream:
                return _scan(cast(BinaryIO, stream), 1, limits)
    with path.open("rb") as stream:
        return _scan(stream, 1 if alone else _LEGACY_PICKLES, limits)


def _scan(stream: BinaryIO, pickles: int, limits: Limits) -> frozenset[str]:
    names: set[str] = set()
    end = time.monotonic() + limits.seconds
    for _ in range(pickles):
        _Scanner(stream, names, end=end, limits=limits).load()
    return frozenset(names)


# In its pure form: the compiled one reserves memory on a file's say-so, and has no steps to watch.
class _Scanner(pickle._Unpickler):  # type: ignore[name-defined]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, stream: BinaryIO, names: set[str], *, end: float, limits: Limits) -> None:
        super().__init__(stream, encoding="latin1")
        self._names = names
        self._end = end
        self._limits = limits
        self._steps = 0

    def watch(self) -> None:
        """Called at every store into the memo, which every object that is made has."""
        self._steps += 1
        if self._steps % 4096 == 0 and time.monotonic() > self._end:
            raise BeyondLimits(
                f"a pickle that is not walked through in {self._limits.seconds:g} seconds"
            )

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in; the name is noted."""
        # Names as Python 2 had them, which PyTorch writes, are read as they are called now.
        if (module, name) in _compat_pickle.NAME_MAPPING:
            module, name = _compat_pickle.NAME_MAPPING[module, name]
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        full = f"{module}.{name}"
        self._names.add(full)
        return _OfMembers if full in _SETS else _OfPairs if full in _DICTS else _Named

    def get_extension(self, code: int) -> None:
        """A name by number, which PyTorch refuses."""
        self.stack.append(_Named)  # type: ignore[attr-defined]

    def persistent_load(self, pid: Any) -> Any:
        """A tensor's storage."""
        return _Named()


def _with_table(scanner: Any) -> None:
    scanner.watch()
    scanner.append(_Table())


def _with_members(scanner: Any) -> None:
    scanner.append(_Members())


def _as_dict(scanner: Any) -> None:
    items = scanner.pop_mark()
    made = _Table()
    for key, value in zip(items[::2], items[1::2], strict=True):
        made[key] = value
    scanner.append(made)


def _as_frozenset(scanner: Any) -> None:
    items = scanner.pop_mark()
    for item in items:
        _check_key(item)
    scanner.append(frozenset(items))


def _watched(step: Any) -> Any:
    def watch(scanner: Any) -> None:
        scanner.watch()
        step(scanner)

    return watch


def _additems(scanner: Any) -> None:
    items = scanner.pop_mark()
    for item in items:
        scanner.stack[-1].add(item)


_Scanner.dispatch |= {
    pickle.EMPTY_DICT[0]: _with_table,
    pickle.EMPTY_SET[0]: _with_members,
    pickle.DICT[0]: _as_dict,
    pickle.FROZENSET[0]: _as_frozenset,
    pickle.ADDITEMS[0]: _additems,
    **{
        code[0]: _watched(_Scanner.dispatch[code[0]])
        for code in (
            pickle.GLOBAL,
            pickle.STACK_GLOBAL,
            pickle.REDUCE,
            pickle.TUPLE,
            pickle.TUPLE2,
            pickle.EMPTY_LIST,
            pickle.SETITEMS,
            pickle.APPENDS,
            pickle.BINGET,
            pickle.LONG_BINGET,
            pickle.DUP,
            pickle.APPEND,
            pickle.SETITEM,
        )
    },
}


def _check_key(key: Any) -> None:
    """Whether a key is hashed at once."""
    if isinstance(key, (*_PLAIN, _Blank, type)):
        return
    if isinstance(key, tuple) and len(key) <= 64 and _shallow(key, 4):
        return
    raise BeyondLimits(
        f"a key of the type {type(key).__name__} in which others are nested, which takes time "
        "without end to hash; expected names and numbers"
    )


def _shallow(key: tuple[Any, ...], depth: int) -> bool:
    """Whether nested tuples end within ``depth``, and are short enough in all."""
    if depth == 0 or len(key) > 64:
        return False
    inner = [part for part in key if not isinstance(part, (*_PLAIN, _Blank, type))]
    return len(inner) <= 4 and all(
        isinstance(part, tuple) and _shallow(part, depth - 1) for part in inner
    )


def _check_members(value: Any, *, pairs: bool) -> None:
    """Members of a set, or first entries of pairs."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        for member in value:
            of_pair = pairs and isinstance(member, list | tuple) and len(member) == 2
            _check_key(member[0] if of_pair else member)
