"""What a store of embeddings holds: everything that decides its numbers, with a digest."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from mgm_jax.errors import InputError
from mgm_jax.files.seals import sealed, unsealed
from mgm_jax.files.whole import whole_file

StoreDtype = Literal["float32", "bfloat16"]

#: Number of the layout of a store on the disk; a store of another layout is never reused.
FORMAT = 1

MANIFEST_FILE = "manifest.json"

_WRITERS = ("mgm_jax", "jax", "jaxlib", "flax", "numpy", "tensorstore")


@lru_cache(maxsize=1)
def library_versions() -> tuple[tuple[str, str], ...]:
    """Name and version of each library whose work is in the embeddings.

    >>> dict(library_versions())["numpy"].count(".")
    2
    """
    return tuple((name, _version(name)) for name in _WRITERS)


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that decides the numbers in a store; two equal manifests mean equal embeddings.

    Row ``i * views + v`` is view ``v`` of image ``i``, counted along the list of images that
    ``source`` stands for.

    Attributes:
        encoder: digest of the encoder (architecture, preprocessing, weights, precision).
        tap: name of the layer that was read.
        source: digest of the embedded images and of their order.
        setting: name of the augmentation setting.
        operations: digest of what the setting does.
        strength: strength of the setting, 0 or more.
        seed: seed of the views.
        views: views per image, ``v``.
        rows: embeddings in the store, images times views, ``n``.
        width: numbers per embedding, ``d``.
        dtype: number format on the disk, ``float32`` or ``bfloat16``.
        chunk_rows: rows per chunk, a multiple of ``views``: the views of one image stay together.
        format: layout of the store on the disk.
        versions: libraries that wrote it; informative, never compared and not in the digest.

    Raises:
        InputError: a size that is not positive, sizes that do not divide, an unknown dtype.

    >>> manifest = Manifest(encoder="e1", source="s1", setting="augs", tap="pool",
    ...                     views=4, rows=40, width=512, chunk_rows=16)
    >>> manifest.chunks, len(manifest.digest)
    (3, 64)
    """

    encoder: str
    source: str
    setting: str
    tap: str
    views: int
    rows: int
    width: int
    chunk_rows: int
    operations: str = ""
    strength: float = 1.0
    seed: int = 0
    dtype: StoreDtype = "float32"
    format: int = FORMAT
    versions: tuple[tuple[str, str], ...] = field(default_factory=library_versions, compare=False)

    def __post_init__(self) -> None:
        for name in ("views", "rows", "width", "chunk_rows"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"manifest: {name} must be a whole number above 0, got {value!r}")
        for name in ("rows", "chunk_rows"):
            if getattr(self, name) % self.views:
                raise InputError(
                    f"manifest: {name}={getattr(self, name)} must be a multiple of "
                    f"views={self.views}, so that the views of one image stay in one chunk"
                )
        if self.dtype not in get_args(StoreDtype):
            allowed = " or ".join(get_args(StoreDtype))
            raise InputError(f"manifest: dtype must be {allowed}, got {self.dtype!r}")
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise InputError(f"manifest: strength must be 0 or more, got {self.strength!r}")
        # 1 and 1.0 are one strength and must give one digest.
        object.__setattr__(self, "strength", float(self.strength))

    @property
    def chunks(self) -> int:
        """Number of chunks; the last one may be short."""
        return -(-self.rows // self.chunk_rows)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over every attribute but ``versions``."""
        return hashlib.sha256(_canonical(self._key())).hexdigest()

    def chunk_slice(self, chunk: int) -> slice:
        """Rows of one chunk.

        Raises:
            InputError: there is no such chunk.
        """
        if not 0 <= chunk < self.chunks:
            raise InputError(f"chunk must be in 0 .. {self.chunks - 1}, got {chunk}")
        start = chunk * self.chunk_rows
        return slice(start, min(start + self.chunk_rows, self.rows))

    def differences(self, other: Manifest) -> list[str]:
        """One line for each attribute that differs: ``tap: 'pool' here, 'cls' there``."""
        own, others = self._key(), other._key()
        return [
            f"{name}: {own[name]!r} here, {others[name]!r} there"
            for name in own
            if own[name] != others[name]
        ]

    def write_new(self, folder: Path) -> bool:
        """Write the manifest into ``folder``, unless there is one.

        Returns:
            True where this call wrote it; of several processes at once exactly one does.
        """
        content = sealed({**self._key(), "versions": dict(self.versions)})
        path = folder / MANIFEST_FILE
        if path.exists():
            return False
        # Should two writers meet where there are no hard links, the checksums still tell their
        # chunks apart, because the digest of the manifest is part of them.
        try:
            with whole_file(path, replace=False) as part:
                part.write_bytes(_canonical(content, indent=2))
        except FileExistsError:
            return False
        return True

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a store.

        Raises:
            InputError: there is none, it is damaged, or a newer version of mgm_jax wrote it.
        """
        path = folder / MANIFEST_FILE
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            if "sha256" in content:
                # Stores of earlier versions have none; what else stands there is compared anyhow.
                content = unsealed(content)
            if content["format"] != FORMAT:
                raise InputError(
                    f"{path}: layout {content['format']} of the store, this version of mgm_jax "
                    f"reads layout {FORMAT}; delete the folder and embed again"
                )
            content["versions"] = tuple(content.pop("versions").items())
            return cls(**content)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{folder}: no store of embeddings here ({MANIFEST_FILE} is missing); embed first"
            ) from None
        except InputError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{path}: damaged manifest ({error}); delete the folder and embed again; `mgm run` "
                "writes it again by itself"
            ) from error

    def _key(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self) if one.compare}


def _canonical(content: dict[str, Any], *, indent: int | None = None) -> bytes:
    """JSON with sorted keys: equal content gives equal bytes."""
    return json.dumps(content, sort_keys=True, indent=indent).encode()
