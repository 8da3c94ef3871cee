"""Encoders on disk: Orbax weights and one JSON file beside them.

The folder holds ``weights/`` (Orbax) and ``encoder.json``: format version, name, spec,
preprocessing, origin, and the digests that all of it must have when it is read again.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.encoders.canonical import Params
from mgm_jax.encoders.encoder import Encoder
from mgm_jax.encoders.forward import Precision, build_module
from mgm_jax.encoders.spec import EncoderSpec, Preprocess
from mgm_jax.errors import InputError

FORMAT = 1
DESCRIPTION = "encoder.json"
WEIGHTS = "weights"


def save_encoder(encoder: Encoder, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write an encoder to a folder; the folder appears whole or not at all.

    Args:
        encoder: what to write; its precision is not kept, weights are float32.
        folder: must not exist, unless ``overwrite``.
        overwrite: replace the folder.

    Returns:
        The folder.

    Raises:
        InputError: the folder exists and ``overwrite`` is False, or it exists and is not an
            encoder's folder.
    """
    folder = Path(folder).absolute()
    if folder.exists():
        if not overwrite:
            raise InputError(f"{folder} exists already; choose another folder or overwrite it")
        if not is_encoder_folder(folder) and not (folder.is_dir() and not any(folder.iterdir())):
            raise InputError(f"{folder} holds something else than an encoder; it is left alone")
    description = {
        "format": FORMAT,
        "name": encoder.name,
        "spec": encoder.spec.to_dict(),
        "preprocess": encoder.preprocess.to_dict(),
        "weights_sha256": encoder.weights_sha256,
        "digest": encoder.with_dtype("float32").digest,
        "meta": dict(encoder.meta),
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        fresh.mkdir()
        if encoder.params:
            _write_weights(encoder.params, fresh / WEIGHTS)
        (fresh / DESCRIPTION).write_text(text, encoding="utf-8")
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename; a folder that stands there is moved away first and deleted last."""
    if not folder.exists():
        os.replace(fresh, folder)
        return
    old = fresh.with_name(fresh.name + ".old")
    os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old)


def is_encoder_folder(path: str | Path) -> bool:
    """Whether :func:`save_encoder` may have written this folder."""
    return (Path(path) / DESCRIPTION).is_file()


def read_encoder(folder: str | Path, *, dtype: Precision = "float32") -> Encoder:
    """Read an encoder that :func:`save_encoder` wrote, and check its weights.

    Args:
        folder: where it was written.
        dtype: precision to compute in.

    Raises:
        InputError: not such a folder, a newer format, or damaged: unreadable, or weights whose
            digest is not the one written beside them.
    """
    folder = Path(folder).absolute()
    if not is_encoder_folder(folder):
        raise InputError(f"{folder} is not an encoder: it has no {DESCRIPTION}")
    description = _read_description(folder)
    try:
        spec = EncoderSpec.from_dict(description["spec"])
        encoder = Encoder(
            name=description["name"],
            spec=spec,
            params=_read_weights(folder / WEIGHTS, spec),
            preprocess=Preprocess.from_dict(description["preprocess"]),
            meta=description["meta"],
        )
        weights, digest = description["weights_sha256"], description["digest"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / DESCRIPTION} is damaged: {error!r}") from error
    if encoder.weights_sha256 != weights:
        raise InputError(
            f"{folder} is damaged: its weights have the SHA-256 {encoder.weights_sha256}, "
            f"{DESCRIPTION} says {weights}; convert the checkpoint again"
        )
    if encoder.digest != digest:
        raise InputError(
            f"{folder / DESCRIPTION} is damaged or was edited: spec and preprocessing do not have "
            "the digest written beside them; other preprocessing is an option of load_encoder"
        )
    return encoder.with_dtype(dtype)


def _read_description(folder: Path) -> dict[str, Any]:
    file = folder / DESCRIPTION
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        version = int(description["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged: {error}") from error
    if version > FORMAT:
        raise InputError(
            f"{folder} has format {version}, this version reads up to {FORMAT}: update mgm_jax"
        )
    return description


def is_orbax(folder: Path) -> bool:
    """Whether Orbax wrote a folder; of its own kind or of an encoder."""
    marks = ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")
    return any((folder / mark).is_file() for mark in marks)


def read_orbax(folder: Path) -> dict[str, Any]:
    """The tree of arrays in a folder of Orbax, whatever network they belong to, as NumPy arrays.

    Raises:
        Exception: of many types, where the folder is damaged.
    """
    import orbax.checkpoint as ocp

    folder = folder.resolve()
    with ocp.PyTreeCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(folder)
        tree = getattr(metadata, "item_metadata", metadata)
        tree = getattr(tree, "tree", tree)
        # Whatever devices they were written from, the arrays come to the host.
        how = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return checkpointer.restore(folder, ocp.args.PyTreeRestore(restore_args=how))


# Orbax takes seconds to import and most uses of an encoder never need it.


def _checkpointer() -> Any:
    """Orbax's checkpointer for this process alone, whatever job the process belongs to."""
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.StandardCheckpointer()
    # By itself Orbax waits at every step for all processes of the job; here each reads when it
    # needs an encoder, and one converts a checkpoint while the others wait elsewhere.
    index = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=index,
        active_processes={index},
        barrier_sync_key_prefix=f"process{index}",
    )
    return ocp.StandardCheckpointer(multiprocessing_options=alone)


def _write_weights(params: Params, folder: Path) -> None:
    # NumPy arrays, so that the folder does not remember the devices it was written on.
    with _plain_path(folder) as plain, _checkpointer() as checkpointer:
        checkpointer.save(plain, jax.device_get(params))


@contextmanager
def _plain_path(folder: Path) -> Iterator[Path]:
    """A path that leads to the folder and has no letter that Orbax reads as a pattern."""
    if not glob.has_magic(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="mgm-") as temporary:
        link = Path(temporary) / "encoder"
        link.symlink_to(folder.parent, target_is_directory=True)
        yield link / folder.name


def _read_weights(folder: Path, spec: EncoderSpec) -> Params:
    """The parameters of ``spec``, in the shapes the module itself declares."""
    side, channels = spec.image_size, spec.image_channels
    blank = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
    shapes = jax.eval_shape(build_module(spec).init, jax.random.key(0), blank).get("params", {})
    if not shapes:
        return {}
    form = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), shapes)
    try:
        with _plain_path(folder) as plain, _checkpointer() as checkpointer:
            return checkpointer.restore(plain, form)
    # Orbax and TensorStore raise many types for a damaged folder; all mean the same to a user.
    except Exception as error:
        raise InputError(
            f"{folder} is damaged or incomplete: {error}; convert the checkpoint again"
        ) from error
