"""Features in PyTorch's files: read by the restricted reader, kept as safetensors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgm_converters.reading.arrays import is_tensor, to_array
from mgm_converters.reading.read import read_checkpoint
from mgm_jax.errors import InputError, name_some
from mgm_jax.features.stated import ID_COLUMNS, LABEL_COLUMNS, called
from mgm_jax.files.names import safe_name
from mgm_jax.files.whole import whole_file


def unpack_features(file: str | Path, folder: str | Path) -> Path:
    """Write the arrays of a ``.pt`` file as safetensors, once for each content.

    Args:
        file: a tensor, or tensors under names, written by ``torch.save``.
        folder: where the result goes.

    Returns:
        The file of safetensors: an array under the name that it had (with those of the tables
        around it where two have one), ``features`` for a single tensor; integers of one or two
        axes, floating-point numbers of one, and ids and labels in lists. Everything else that the
        file holds is left out.

    Raises:
        InputError: what ``read_checkpoint`` refuses, or no array of floating-point numbers.
    """
    from safetensors.numpy import save_file

    checkpoint = read_checkpoint(file)
    name = f"{safe_name(Path(file).name)}-{checkpoint.sha256[:12]}-2.safetensors"
    target = Path(folder) / name
    if target.is_file():
        return target
    try:
        found = list(_arrays(checkpoint.content, ()))
    except TypeError as error:
        raise InputError(
            f"{file}: must hold dense tensors of real numbers; it has {error}. Save "
            "tensor.to_dense(), tensor.dequantize() or tensor.real."
        ) from error
    # Of two arrays of one name, as under train and test, each goes by its whole path.
    leaves = Counter(path[-1] for path, _ in found)
    arrays = {path[-1] if leaves[path[-1]] == 1 else ".".join(path): one for path, one in found}
    if not any(one.dtype.kind == "f" and one.ndim in (2, 3) for one in arrays.values()):
        names = list(checkpoint.content) if isinstance(checkpoint.content, Mapping) else []
        raise InputError(
            f"{file}: must hold a tensor of features, or tensors under names; it has "
            f"{name_some(map(str, names)) or type(checkpoint.content).__name__}."
        )
    with whole_file(target) as part:
        save_file(arrays, str(part), metadata=_texts(checkpoint.content))
    return target


def _texts(content: Any) -> dict[str, str] | None:
    """Ids and labels that lie beside the features as lists of texts, as JSON."""
    if not isinstance(content, Mapping):
        return None
    texts = {}
    for what, usual in (("ids", ID_COLUMNS), ("labels", LABEL_COLUMNS)):
        lists = [
            str(name)
            for name, one in content.items()
            if isinstance(one, list | tuple) and all(isinstance(value, str | int) for value in one)
        ]
        name = called(lists, usual)
        if name is not None:
            texts[f"mgm_{what}"] = json.dumps(list(content[name]))
    return texts or None


def _arrays(content: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Features, and what lies beside them in one or two axes: labels, ids."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _arrays(value, (*path, str(key)))
        return
    if is_tensor(content):
        name = path or ("features",)
        array = to_array(content)
        if array.dtype.kind == "f" and array.ndim in (2, 3):
            kept = np.float64 if array.dtype.itemsize > 4 else np.float32
            yield name, np.ascontiguousarray(array, kept)
        elif array.dtype.kind in "iuf" and array.ndim in (1, 2):
            yield name, np.ascontiguousarray(array)
