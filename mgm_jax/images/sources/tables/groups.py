"""Groups of rows that can only be decoded as a whole: the last ones are kept, to be read at random.

A small group stays in memory. A large one goes to a file without a name in the folder for
temporary files, so that memory does not grow with how a table was written.
"""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import IO

from mgm_jax.errors import InputError
from mgm_jax.files.whole import out_of_space

# Bytes of a group that stay in memory, of all groups there, and groups in files.
_GROUP_BYTES = 2**28
_ALL_BYTES = 2**29
_MAX_FILES = 3

#: Pictures of a group, in order, each a content or why there is none.
Decode = Callable[[int], Iterator[bytes | InputError]]


class _Group:
    def __init__(self, contents: Iterator[bytes | InputError], title: str) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_GROUP_BYTES)  # noqa: SIM115
        self._ends = [0]
        self._errors: dict[int, str] = {}
        try:
            for content in contents:
                if isinstance(content, InputError):
                    self._errors[len(self._ends) - 1] = str(content)
                else:
                    self._file.write(content)
                self._ends.append(self._file.tell())
        except OSError as error:
            if not out_of_space(error):
                raise
            raise InputError(
                f"{title}: no room for its rows in {tempfile.gettempdir()}; set TMPDIR to another "
                "folder, or write the table in smaller row groups."
            ) from error

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, row: int) -> bytes:
        if row in self._errors:
            raise InputError(self._errors[row])
        if not 0 <= row < len(self._ends) - 1:
            raise InputError(f"row {row} is not there any more.")
        self._file.seek(self._ends[row])
        return self._file.read(self._ends[row + 1] - self._ends[row])

    def close(self) -> None:
        self._file.close()


class RowGroups:
    """Pictures in groups of rows, read at random by several threads.

    Args:
        decode: the pictures of a group, by its number.
        title: what an error calls the table.
    """

    def __init__(self, decode: Decode, *, title: str) -> None:
        self._decode, self._title = decode, title
        self._groups: OrderedDict[int, _Group] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, group: int, row: int) -> bytes:
        """The picture in a row of a group.

        Raises:
            InputError: there is none, or the group cannot be decoded.
        """
        with self._lock:
            held = self._groups.get(group)
            if held is None:
                held = self._groups[group] = _Group(self._decode(group), self._title)
            self._groups.move_to_end(group)
            self._let_go()
            return held.read(row)

    def _let_go(self) -> None:
        """Forget the groups that were not asked for the longest; never the last one."""
        while len(self._groups) > 1:
            sizes = [len(one) for one in self._groups.values()]
            large = sum(size > _GROUP_BYTES for size in sizes)
            small = sum(size for size in sizes if size <= _GROUP_BYTES)
            if small <= _ALL_BYTES and large <= _MAX_FILES:
                return
            self._groups.popitem(last=False)[1].close()
