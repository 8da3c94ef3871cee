"""Prepared TensorFlow Datasets, read at random access from array_record files.

TensorFlow itself is never imported: the metadata tells the features, the records are read by
``data_source``, and the pictures are decoded here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.images.decode.picture import array_to_rgb, decode_image
from mgm_jax.images.image_source import ImageChanged, ImageSource
from mgm_jax.progress import progress

# Keys whose value TFDS takes for a class; the last one in files of its older versions.
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")


def tfds_source(name: str, split: str, *, data_dir: str | Path | None = None) -> ImageSource:
    """Source of one split of a prepared data set.

    The first feature that is an image gives the pictures, the first that is a class label the
    labels. The id of an image is its split and its place in it. All records are read once, to
    learn the labels and the fingerprints; no picture is decoded.

    Args:
        name: name of the data set, such as ``cifar10`` or ``cifar10:3.0.2``; or the folder that
            holds its ``dataset_info.json``.
        split: such as ``train`` or ``test[:100]``.
        data_dir: where data sets are kept; None for the default of TFDS.

    Raises:
        InputError: not prepared, not as array_record, no such split, or no images in it.
    """
    builder = _builder(name, data_dir)
    image_key, label_key, classes = _features(builder)
    records = _records(builder, split, image_key)
    title = f"{builder.info.name}/{split}"
    labels, fingerprints = _read_facts(records, image_key, label_key, title)
    split_name = split.split("[")[0]
    ids = tuple(f"{split_name}/{index:07d}" for index in _positions(builder, split, len(records)))

    def read(position: int) -> np.ndarray:
        content = records[position][image_key]
        named = f"{title}, image {ids[position]}"
        if _fingerprint(content) != fingerprints[position]:
            raise ImageChanged(
                f"{named} is not the image that it was when the set was opened: its file was "
                "replaced in the meantime. Nothing was kept of the new one."
            )
        if isinstance(content, bytes):
            return decode_image(content, name=named)
        return array_to_rgb(np.asarray(content), name=named)

    return ImageSource(
        name=title,
        ids=ids,
        labels=labels,
        classes=classes,
        fingerprints=fingerprints,
        reader=read,
    )


def _builder(name: str, data_dir: str | Path | None) -> Any:
    """Read-only builder from the files of a data set; no Python module of its own is imported."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder
    from tensorflow_datasets.core.utils import file_utils

    try:
        if (Path(name) / "dataset_info.json").is_file():
            _refuse_foreign_features(Path(name))
            return tfds.builder_from_directory(str(name))
        options = {} if data_dir is None else {"data_dir": str(data_dir)}
        for folder in file_utils.list_data_dirs(given_data_dir=options.get("data_dir")):
            # "cifar10/config:3.0.2" lies below the folder "cifar10".
            _refuse_foreign_features(Path(folder).expanduser() / re.split("[/:]", name)[0])
        return read_only_builder.builder_from_files(name, **options)
    except InputError:
        raise
    except Exception as error:  # TFDS raises its own types, which it does not export
        raise InputError(
            f"The TFDS data set {name!r} is not prepared here: {error}\nPrepare it once, where "
            "TensorFlow is installed, with "
            f"tfds.builder({name!r}, file_format='array_record').download_and_prepare()."
        ) from error


def _refuse_foreign_features(folder: Path) -> None:
    """Refuse files that name a class for TFDS to import that is not its own.

    TFDS imports the module of every class that ``features.json`` names, whatever it does when it
    is imported.
    """
    for file in sorted(folder.rglob("features.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file} is damaged ({error}); prepare the data set again.") from error
        for named in _class_names(content):
            if not named.startswith("tensorflow_datasets."):
                raise InputError(
                    f"{file} names the class {named!r}, which is not one of TFDS and would be "
                    "imported and run. If you trust it, read the data set with TFDS yourself and "
                    "hand its images over as arrays."
                )


def _class_names(content: Any) -> Iterator[str]:
    """Every class that a description of features names, at any depth, also in texts of JSON."""
    if isinstance(content, list):
        for one in content:
            yield from _class_names(one)
    if isinstance(content, str) and content.lstrip().startswith(("{", "[")):
        try:
            yield from _class_names(json.loads(content))
        except ValueError:
            return
    if isinstance(content, dict):
        for key, value in content.items():
            if key in _CLASS_KEYS and isinstance(value, str) and "." in value:
                yield value
            yield from _class_names(value)


def _features(builder: Any) -> tuple[str, str | None, tuple[str, ...]]:
    """Keys of image and label, and the class names."""
    from tensorflow_datasets import features as kinds

    features = dict(builder.info.features)
    images = [key for key, kind in features.items() if isinstance(kind, kinds.Image)]
    labels = [key for key, kind in features.items() if isinstance(kind, kinds.ClassLabel)]
    if not images:
        raise InputError(
            f"The TFDS data set {builder.info.full_name} has no feature that is an image; "
            f"it has {', '.join(features)}."
        )
    if not labels:
        return images[0], None, ()
    return images[0], labels[0], tuple(str(name) for name in features[labels[0]].names)


def _records(builder: Any, split: str, image_key: str) -> Any:
    import tensorflow_datasets as tfds

    known = ", ".join(builder.info.splits)
    try:
        # Undecoded pictures: decoding is done here, with EXIF orientation and transparency.
        return builder.as_data_source(split, decoders={image_key: tfds.decode.SkipDecoding()})
    except Exception as error:  # unknown split, or files without random access
        raise InputError(
            f"The split {split!r} of {builder.info.full_name} cannot be read at random access: "
            f"{error}\nKnown splits: {known}. The files must be array_record "
            f"(they are {builder.info.file_format})."
        ) from error


def _read_facts(
    records: Any, image_key: str, label_key: str | None, title: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels and fingerprints of all records."""
    labels = np.full(len(records), -1, np.int32)
    fingerprints = []
    with progress(f"read {title}", total=len(records), unit="image") as bar:
        for position in range(len(records)):
            record = records[position]
            fingerprints.append(_fingerprint(record[image_key]))
            if label_key is not None:
                labels[position] = int(record[label_key])
            bar.advance()
    return labels, tuple(fingerprints)


def _fingerprint(content: Any) -> str:
    content = content if isinstance(content, bytes) else np.asarray(content).tobytes()
    return hashlib.sha256(content).hexdigest()


def _positions(builder: Any, split: str, count: int) -> range:
    """Place of each record in its whole split, so that ``train[5:]`` keeps the ids of ``train``."""
    instructions = builder.info.splits[split].file_instructions
    if not instructions:
        return range(count)
    shards = list(builder.info.splits[split.split("[")[0]].filepaths)
    lengths = list(builder.info.splits[split.split("[")[0]].shard_lengths)
    first = instructions[0]
    before = sum(lengths[: shards.index(first.filename)]) if first.filename in shards else 0
    return range(before + first.skip, before + first.skip + count)
