"""A folder in a bucket, through fsspec: objects, and the account of what they should hold.

An object store has no renames and no locks. So what an object holds is told by ``contents.json``
beside the objects, the sha256 of each by its name: it is written after them, and an object that it
does not name, or that is not as it says, counts as absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgm_jax.errors import InputError
from mgm_jax.files.names import safe_name
from mgm_jax.files.seals import file_sha256
from mgm_jax.files.whole import whole_file

#: Beside the copies: the sha256 of each. A later copy removes only what it names.
CONTENTS = "contents.json"

#: Beside the copies while somebody writes there: who does.
LEASE = "lease.json"


# Where fsspec's part takes the first of a path for a bucket, and folders are but parts of names.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss"})


class _NotAsSaid(Exception):
    """An object is not what the account says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bucket:
    """A folder in a bucket; made by :meth:`open`.

    Attributes:
        url: its address, without what fsspec may have found of passwords in it.
        storage: fsspec's file system.
        root: the folder, in the file system's own way of writing.
    """

    url: str
    storage: Any = field(repr=False)
    root: str
    _made: set[str] = field(default_factory=set, repr=False)

    @classmethod
    def open(cls, url: str) -> Bucket:
        """The folder that an address such as ``s3://bucket/folder`` means; asks nothing of it.

        Raises:
            InputError: no such address, or fsspec or its part for this kind is missing.
        """
        if "://" not in url:
            raise InputError(
                f"expected the address of a bucket such as s3://bucket/folder, got {url!r}"
            )
        shown = re.sub(r"://[^/]*@", "://", url)
        try:
            import fsspec

            storage, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise InputError(f"{shown}: {error}; pip install 'mgm_jax[bucket]'") from error
        except (ValueError, OSError) as error:
            raise InputError(f"{shown}: {error}") from error
        return cls(url=shown, storage=storage, root=str(root).rstrip("/"))

    @property
    def name(self) -> str:
        """A file name that stands for the address."""
        return safe_name(self.url.rstrip("/"), most=60)

    def contents(self) -> dict[str, str]:
        """The account: the sha256 of every object, by name; empty where there is none.

        Names that lead out of the folder are left out.

        Raises:
            InputError: the account is damaged.
        """
        said = self.read(CONTENTS)
        if said is None:
            return {}
        try:
            return {
                name: str(sha) for name, sha in json.loads(said).items() if is_name_within(name)
            }
        except (ValueError, AttributeError) as error:
            raise InputError(
                f"{self.url}: {CONTENTS} is damaged ({error}), so nothing there can be told from "
                "what is half written; remove that object, and all is sent anew"
            ) from error

    def write_contents(self, contents: Mapping[str, str]) -> None:
        """Replace the account."""
        self.write(CONTENTS, json.dumps(contents, indent=1).encode())

    def read(self, name: str) -> bytes | None:
        """A small object; None where there is none."""
        try:
            return self.storage.cat_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small object, in place of an earlier one; it is there whole or not at all."""
        path = f"{self.root}/{name}"
        self._make_folder(path)
        if "file" in _protocols(self.storage):
            # What an object store promises by itself; a folder has renames instead.
            with whole_file(path) as part:
                part.write_bytes(content)
            return
        with self._in_bucket():
            self.storage.pipe_file(path, content)

    def write_new(self, name: str, content: bytes) -> bool:
        """Write a small object where there is none.

        Returns:
            Whether that is surely so; otherwise another writer of the same moment may have been
            overwritten, or may overwrite this.

        Raises:
            FileExistsError: there is one.
        """
        path = f"{self.root}/{name}"
        self._make_folder(path)
        if "file" in _protocols(self.storage):
            with open(path, "xb") as file:
                file.write(content)
            return True
        try:
            # Conditional on S3 and Google's storage where fsspec's part for them knows of it,
            # which it does not tell.
            with self._in_bucket():
                self.storage.pipe_file(path, content, mode="create")
        except TypeError:
            self.write(name, content)
            return False
        return "memory" in _protocols(self.storage)

    def send(self, name: str, path: Path) -> None:
        """Copy a file into the bucket.

        Raises:
            OSError: it arrived with another size.
        """
        target = f"{self.root}/{name}"
        self._make_folder(target)
        self.storage.put_file(str(path), target)
        arrived, size = self.storage.size(target), path.stat().st_size
        if arrived != size:
            raise OSError(f"{name} arrived with {arrived} bytes instead of {size}; copy again")

    def fetch(self, name: str, path: Path, *, sha256: str) -> bool:
        """Copy an object to a file; False where it is gone or not what the account says."""
        if not is_name_within(name):
            return False
        try:
            with whole_file(path) as part:
                self.storage.get_file(f"{self.root}/{name}", str(part))
                if file_sha256(part) != sha256:
                    raise _NotAsSaid
        except (FileNotFoundError, _NotAsSaid):
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove an object, where there is one."""
        if self.storage.exists(f"{self.root}/{name}"):
            self.storage.rm_file(f"{self.root}/{name}")

    @contextmanager
    def _in_bucket(self) -> Iterator[None]:
        """A body that writes; a bucket that does not exist is one message."""
        try:
            yield
        except FileNotFoundError as error:
            if not self._is_object_store:
                raise
            bucket = self.root.partition("/")[0]
            raise InputError(
                f"{self.url}: there is no bucket {bucket!r} ({error}); check the spelling, or "
                "create it first"
            ) from error

    @property
    def _is_object_store(self) -> bool:
        return not _OBJECT_STORES.isdisjoint(_protocols(self.storage))

    def _make_folder(self, path: str) -> None:
        if self._is_object_store:
            # There are no folders, and fsspec would create the bucket of a mistyped address.
            return
        folder = path.rpartition("/")[0]
        if folder not in self._made:
            self.storage.makedirs(folder, exist_ok=True)
            self._made.add(folder)


def is_name_within(name: str) -> bool:
    """Whether a name of an account stays within the folder.

    >>> [is_name_within(name) for name in ("a/b.json", "../a", "/etc/a", "a//b", "a/./b", "")]
    [True, False, False, False, False, False]
    """
    parts = name.split("/")
    return not any(part in ("", ".", "..") or set(part) & set("\\\0") for part in parts)


def _protocols(storage: Any) -> tuple[str, ...]:
    said = storage.protocol
    return (said,) if isinstance(said, str) else tuple(said)
