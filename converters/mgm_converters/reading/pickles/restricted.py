"""Pickles that PyTorch did not write, read with stand-ins for the few types they may name.

A pickle is a little program: it names types and has them called. Here a name is looked up in a
table of stand-ins and never imported, so all that can be called are the classes of this file, and
these only keep what they are given. A name outside the table is refused. The interpreter is
Python's own in its pure form, because the compiled one reserves memory on a file's say-so.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar

import numpy as np

# The kinds of numbers an array may hold; no objects, no structures.
_NUMBERS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


class RefusedType(Exception):
    """A pickle names a type that it may not hold.

    Attributes:
        type_name: module and name.
    """

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name
        super().__init__(type_name)


class Inert:
    """Stands where a file names a harmless type: keeps what the file says of it, does nothing.

    Attributes:
        arguments: what the file would have called the type with.
        state: the attributes that the file gives the object, None where it gives none.
        weights: of a module that was stored whole, once they have been looked for.
    """

    type_name: ClassVar[str] = ""
    arguments: tuple[Any, ...]
    state: Any
    weights: dict[str, Any] | None

    def __new__(cls, *arguments: Any) -> Any:
        made = object.__new__(cls)
        made.arguments = arguments
        made.state = None
        made.weights = None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Dtype(Inert):
    """A NumPy type of numbers; ``code`` is its name with the order of the bytes."""

    code: str

    def __new__(cls, *arguments: Any) -> Any:
        made = super().__new__(cls, *arguments)
        name = str(arguments[0]) if arguments else ""
        if name not in _NUMBERS:
            raise ValueError(f"an array of type {name!r}, which is not a number")
        made.code = name
        return made

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
        if order not in ("<", ">", "|", "="):
            raise ValueError("a type of numbers with an unknown order of bytes")
        self.code = order.replace("|", "") + self.code[-2:]


class Array(Inert):
    """A NumPy array; ``value`` is the array once the file has filled it."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, columns_first, data = state
        self.value = _array(dtype, data, shape, order="F" if columns_first else "C")


class Scalar(Inert):
    """A NumPy number; ``value`` is an array without axes."""

    value: np.ndarray

    def __new__(cls, *arguments: Any) -> Any:
        made = super().__new__(cls, *arguments)
        made.value = _array(arguments[0], arguments[1], (), order="C")
        return made


class Bytes(Inert):
    """``_codecs.encode(text, "latin1")``: how old protocols write bytes."""

    def __new__(cls, *arguments: Any) -> Any:
        text, codec = arguments
        if codec not in ("latin1", "latin-1"):
            raise ValueError(f"bytes in the encoding {codec!r}")
        return str(text).encode("latin1")


class Table(Inert):
    """An ordered or an immutable dictionary; becomes a plain one."""

    def __new__(cls, *arguments: Any) -> Any:
        return dict(*arguments[:1])


def _array(dtype: Any, data: Any, shape: Any, *, order: Any) -> np.ndarray:
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes):
        raise ValueError("an array without a type of numbers or without bytes")
    shape = tuple(shape)
    if any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"an array of the shape {shape}")
    return np.frombuffer(data, np.dtype(dtype.code)).reshape(shape, order=order)


# What NumPy's own pickles name.
NUMPY_TYPES: Mapping[str, type] = {
    "numpy.dtype": Dtype,
    "numpy.ndarray": Inert,
    "numpy.core.multiarray._reconstruct": Array,
    "numpy._core.multiarray._reconstruct": Array,
    "numpy.core.multiarray.scalar": Scalar,
    "numpy._core.multiarray.scalar": Scalar,
    "_codecs.encode": Bytes,
    "collections.OrderedDict": Table,
}


# In its pure form on purpose, see the head of this file.
class RestrictedUnpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """Reads a pickle whose types are all in a table, or match the pattern of inert ones."""

    def __init__(
        self,
        stream: BinaryIO,
        *,
        types: Mapping[str, type],
        inert: str = r"(?!)",
        load: Callable[[Any], Any] | None = None,
    ) -> None:
        """Prepare to read.

        Args:
            stream: the pickle.
            types: module and name of a type to the stand-in that is called instead.
            inert: pattern of further names; for each an :class:`Inert` stands in.
            load: gives the object that lies elsewhere under a persistent name.
        """
        super().__init__(stream)
        # Classes of this one reading: a file cannot leave anything behind on them.
        self._types: dict[str, type] = {
            name: type(made.__name__, (made,), {"type_name": name}) for name, made in types.items()
        }
        self._inert = re.compile(inert)
        self._load = load

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a type; nothing is imported."""
        full = f"{module}.{name}"
        if full not in self._types:
            if not self._inert.fullmatch(full):
                raise RefusedType(full)
            self._types[full] = type("Inert", (Inert,), {"type_name": full})
        return self._types[full]

    def get_extension(self, code: int) -> None:
        """Types that are named by a number of this process are refused."""
        raise RefusedType(f"extension {code}")

    def persistent_load(self, pid: Any) -> Any:
        """The object under a persistent name."""
        if self._load is None:
            raise pickle.UnpicklingError("a persistent name where there is none to be")
        return self._load(pid)
