"""YAML as a study file may hold it: every key once, of bounded size, nothing in it executed.

What PyYAML lets through is refused before anything is built of it: a key that stands twice (of
which PyYAML keeps the last without a word), aliases that unfold to millions of entries or into
themselves, and nesting without end.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from mgm_jax.errors import InputError

#: Bytes that a file may have.
MAX_BYTES = 2**20

#: Entries that a file may have, aliases unfolded.
MAX_ENTRIES = 100_000

# Whole numbers that mean another one than they show: 010 is 8 and 1:30 is 90.
_INTEGER = "tag:yaml.org,2002:int"
_MISREAD = re.compile(r"[-+]?(0[0-9_]+|[0-9_]+(:[0-9]+)+)$")

#: How deep lists and mappings may stand in each other.
MAX_DEPTH = 50


def read_yaml(path: Path, *, what: str) -> Any:
    """The content of a YAML file.

    Args:
        path: the file, UTF-8.
        what: what the file is, for errors.

    Raises:
        InputError: it cannot be read, is no YAML, has a key twice, or is too large, too deep or
            refers to itself.
    """
    where = f"{what} {path}"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror})") from error
    if len(raw) > MAX_BYTES:
        raise InputError(f"{where}: is larger than {MAX_BYTES} bytes, which no {what} is")
    try:
        loader = yaml.SafeLoader(raw.decode("utf-8"))
        try:
            _check_depth(loader, where)
        finally:
            loader.dispose()
        loader = yaml.SafeLoader(raw.decode("utf-8"))
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node, where, sizes={}, above=set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    # A number of thousands of digits is a ValueError of Python.
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        more = "; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        raise InputError(f"{where}: is not valid YAML: {error}{more}") from error


def _check_depth(loader: yaml.SafeLoader, where: str) -> None:
    """Look at the file piece by piece, before anything calls itself for every level of it."""
    depth = 0
    while loader.check_event():
        event = loader.get_event()
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InputError(
                f"{where}: lists or mappings stand more than {MAX_DEPTH} deep in each other in "
                f"{_line(event)}"
            )


def _check(node: yaml.Node, where: str, *, sizes: dict[int, int], above: set[int]) -> int:
    """Number of entries below a node, aliases unfolded."""
    key = id(node)
    if key in above:
        raise InputError(f"{where}: {_line(node)} refers to itself")
    if key in sizes:
        return sizes[key]
    above.add(key)
    size = 1
    if isinstance(node, yaml.ScalarNode):
        node.value = _whole_letters(node, where)
    if isinstance(node, yaml.ScalarNode) and node.tag == _INTEGER and _MISREAD.match(node.value):
        raise InputError(
            f"{where}: {_line(node)}: YAML reads {node.value} as another number, to the base of 8 "
            "or 60; write it without the zeros before it, or in quotes"
        )
    if isinstance(node, yaml.MappingNode):
        seen: dict[Hashable, yaml.Node] = {}
        for name, value in node.value:
            counted = isinstance(name, yaml.ScalarNode) and name.tag != "tag:yaml.org,2002:merge"
            if counted and (first := seen.setdefault(name.value, name)) is not name:
                raise InputError(
                    f"{where}: the key {name.value!r} stands twice in one mapping, in "
                    f"{_line(first)} and in {_line(name)}; leave one out"
                )
            size += _check(name, where, sizes=sizes, above=above)
            size += _check(value, where, sizes=sizes, above=above)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check(one, where, sizes=sizes, above=above) for one in node.value)
    if size > MAX_ENTRIES:
        raise InputError(
            f"{where}: has more than {MAX_ENTRIES} entries, its aliases (*name) unfolded; write "
            "a shorter one, with patterns for sources"
        )
    above.discard(key)
    sizes[key] = size
    return size


def _whole_letters(node: yaml.ScalarNode, where: str) -> str:
    """The text of a scalar, the two halves that JSON writes of a letter such as an emoji joined."""
    text: str = node.value
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: {_line(node)} holds one half of a letter alone ({text!a}); write the letter "
            "itself, in UTF-8"
        ) from error


def _line(mark: yaml.Node | yaml.Event) -> str:
    return f"line {mark.start_mark.line + 1}"
