"""The zoo: small encoders that this project trained itself and ships, one safetensors file each.

A file is called ``METHOD-BACKBONE.safetensors``. Its weights have the names and layout of PyTorch
(torchvision's ResNet, timm's ViT) and its metadata says how it was trained
(``mgm_converters.recognition.evidence.file`` lists the keys). Everything here is read from
those files; an encoder of one comes from the converter, as from any other checkpoint::

    from mgm_converters import convert

    encoder = convert("zoo:simclr-resnet").encoder
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mgm_jax.errors import InputError
from mgm_jax.files.safetensors_head import safetensors_head

__all__ = ["ZooEncoder", "is_zoo_source", "zoo_encoders", "zoo_files"]

FOLDER = Path(__file__).parent
_ENDING = ".safetensors"
_PREFIX = "zoo:"


@dataclass(frozen=True, kw_only=True)
class ZooEncoder:
    """One encoder of the zoo, as its file describes it.

    Attributes:
        name: ``METHOD-BACKBONE``, behind ``zoo:`` the source of a study.
        file: its weights.
        method: of training, as its authors write it.
        paradigm: kind of training.
        backbone: ``resnet`` or ``vit``.
        training: facts of the training: ``epochs``, ``seed``, ``knn`` and more.
    """

    name: str
    file: Path
    method: str
    paradigm: str
    backbone: str
    training: Mapping[str, Any]

    @property
    def knn(self) -> Mapping[str, float]:
        """Name of an image set to k-NN accuracy in [0, 1], measured when training ended."""
        return self.training.get("knn", {})


def zoo_encoders() -> tuple[ZooEncoder, ...]:
    """Every encoder of the zoo, by name.

    Raises:
        InputError: a file that is damaged.
    """
    return tuple(_describe(file) for file in sorted(FOLDER.glob(f"*{_ENDING}")))


def is_zoo_source(source: str) -> bool:
    """Whether a source names encoders of the zoo.

    >>> is_zoo_source("zoo"), is_zoo_source("zoo:mae-vit"), is_zoo_source("zoology")
    (True, True, False)
    """
    return source == "zoo" or source.startswith(_PREFIX)


def zoo_files(source: str) -> tuple[Path, ...]:
    """The files that a source names, in the order of their names.

    Args:
        source: ``zoo`` or ``zoo:all`` for all, ``zoo:NAME`` for one, or ``zoo:PATTERN`` with
            ``*``, ``?`` and ``[abc]`` as in a shell: ``zoo:*-vit``.

    Raises:
        InputError: no encoder of that name, or none at all.
    """
    files = {file.name.removesuffix(_ENDING): file for file in sorted(FOLDER.glob(f"*{_ENDING}"))}
    wanted = source.removeprefix(_PREFIX)
    pattern = "*" if source == "zoo" or wanted == "all" else wanted
    matching = tuple(file for name, file in files.items() if fnmatchcase(name, pattern))
    if matching:
        return matching
    if not files:
        raise InputError(f"{source}: this installation ships no encoders of the zoo (in {FOLDER})")
    close = difflib.get_close_matches(wanted, files, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(files)}"
    raise InputError(f"{source}: the zoo has no encoder of that name; {hint}")


def _describe(file: Path) -> ZooEncoder:
    metadata = _metadata(file)
    name = file.name.removesuffix(_ENDING)
    try:
        training = json.loads(metadata.get("mgm_training", "{}"))
    except ValueError as error:
        raise InputError(f"{file}: mgm_training is no JSON ({error}); install it again") from error
    return ZooEncoder(
        name=name,
        file=file,
        method=metadata.get("mgm_method", ""),
        paradigm=metadata.get("mgm_paradigm", "unknown"),
        backbone=name.rpartition("-")[2],
        training=training,
    )


def _metadata(file: Path) -> Mapping[str, str]:
    """The texts in the head of a safetensors file.

    The library is not needed for that, and only the converters know it.
    """
    try:
        return safetensors_head(file)[0].get("__metadata__", {})
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be read as safetensors ({error}); install it again"
        ) from error
