"""Features in PyTorch's files: read by the restricted reader, kept as safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgm_converters.reading.arrays import is_tensor, to_array
from mgm_converters.reading.read import read_checkpoint
from mgm_jax.errors import InputError, name_some
from mgm_jax.files import safe_name, whole_file


def unpack_features(file: str | Path, folder: str | Path) -> Path:
    """Write the arrays of a ``.pt`` file as safetensors, once for each content.

    Args:
        file: a tensor, or tensors under names, written by ``torch.save``.
        folder: where the result goes.

    Returns:
        The file of safetensors: an array under the name that it had, ``features`` for a single
        tensor. Everything else that the file holds is left out.

    Raises:
        InputError: what ``read_checkpoint`` refuses, or no array of floating-point numbers.
    """
    from safetensors.numpy import save_file

    checkpoint = read_checkpoint(file)
    target = Path(folder) / f"{safe_name(Path(file).name)}-{checkpoint.sha256[:12]}.safetensors"
    if target.is_file():
        return target
    arrays = dict(_arrays(checkpoint.content, "features"))
    if not arrays:
        names = list(checkpoint.content) if isinstance(checkpoint.content, Mapping) else []
        raise InputError(
            f"{file}: must hold a tensor of features, or tensors under names; it has "
            f"{name_some(map(str, names)) or type(checkpoint.content).__name__}."
        )
    with whole_file(target) as part:
        save_file(arrays, str(part))
    return target


def _arrays(content: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _arrays(value, str(key))
        return
    if is_tensor(content):
        array = to_array(content)
        if array.dtype.kind == "f" and array.ndim in (2, 3):
            yield name, np.ascontiguousarray(array, np.float32)
