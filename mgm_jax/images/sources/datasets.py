"""Images that a program holds: arrays and tensors, and data sets of PyTorch and Hugging Face."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images.decode.grey_depth import ValueRange, check_value_range
from mgm_jax.images.decode.limits import Limits
from mgm_jax.images.decode.picture import array_to_rgb, decode_image, to_rgb
from mgm_jax.images.image_source import ImageChanged, ImageSource
from mgm_jax.images.sources.arrays import array_source
from mgm_jax.images.sources.options import USUAL, SourceOptions
from mgm_jax.images.sources.tables.fields import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    Fields,
    class_names,
    column_for,
    distinct_texts,
    encode_classes,
    named,
    numbered,
)
from mgm_jax.progress import progress


def is_array(value: Any) -> bool:
    """Whether a value is one array or tensor, of NumPy, JAX or PyTorch."""
    return all(hasattr(value, one) for one in ("__array__", "ndim", "dtype", "shape"))


def is_data_set(value: Any) -> bool:
    """Whether a value has a length and items by number, as a map-style data set."""
    return hasattr(value, "__len__") and hasattr(value, "__getitem__")


def held_source(
    images: Any,
    *,
    labels: Any = None,
    ids: Sequence[Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    options: SourceOptions = USUAL,
) -> ImageSource:
    """Source of images that a program holds.

    Args:
        images: an array or tensor ``[n, h, w]`` or ``[n, h, w, c]`` (a tensor of PyTorch may be
            ``[n, c, h, w]``), or a map-style data set (``torch.utils.data.Dataset``, a Hugging
            Face one, a list) whose items are an image, ``(image, label, ...)`` or a mapping. An
            image is one of Pillow, an array ``[h, w(, c)]``, a tensor ``[c, h, w]`` or encoded
            bytes. Items must be the same whenever they are asked for: leave random transforms
            out, the views are made here.
        labels: one an image, as whole numbers or texts; None for those of the items.
        ids: one an image; None for the numbers of the items.
        columns: further values of each image by name, ``[n]`` or ``[n, c]``.
        options: fields are keys of image and label, of items that are mappings.

    Raises:
        InputError: neither; items of another kind; labels or ids of another number.

    >>> held_source([np.zeros((4, 4), np.uint8)] * 2, labels=["a", "b"]).classes
    ('a', 'b')
    """
    name, value_range = options.name or "images", options.value_range
    if hasattr(images, "iloc"):
        raise InputError(
            "images must be a path, an array, or a data set with a length and items; got a "
            f"{type(images).__name__} of pandas. Pass its column of pictures as a list, with "
            "labels=, or write it to a .parquet or .csv file and name that."
        )
    if is_array(images):
        array = _channels_last(images, many=True)
        source = array_source(array, name=name, value_range=value_range)
    elif is_data_set(images):
        source = _of_items(images, options.fields, name, value_range, options.limits)
    else:
        raise InputError(
            f"images must be a path, an array, or a data set with a length and items; got "
            f"{type(images).__name__}. An iterable data set cannot be read at random: make a list "
            "of it."
        )
    n = len(source)
    if labels is not None:
        values = np.asarray(labels).tolist() if not isinstance(labels, list) else labels
        # Numbers of PyTorch and NumPy in a list.
        values = [one.item() if getattr(one, "shape", None) == () else one for one in values]
        if len(values) != n:
            raise InputError(f"{name}: labels must hold one an image, {n}; got {len(values)}.")
        codes, classes = encode_classes(values, where=name)
        source = dataclasses.replace(source, labels=codes, classes=classes)
    if ids is not None:
        texts = distinct_texts(list(ids))
        if texts is None or len(texts) != n:
            raise InputError(f"{name}: ids must be {n} distinct names, one an image.")
        source = dataclasses.replace(source, ids=texts)
    if columns is not None:
        held = {one: np.asarray(values) for one, values in columns.items()}
        source = dataclasses.replace(source, columns=held)
    return source


def _of_items(
    items: Any, fields: Fields, name: str, value_range: ValueRange | None, limits: Limits
) -> ImageSource:
    """Source of a data set, of which every item is asked for once to know its content."""
    value_range = check_value_range(value_range)
    # Data sets need not be safe to be asked by several threads.
    lock = threading.Lock()

    def pixels(position: int) -> tuple[np.ndarray, Any]:
        title = f"{name}, image {position}"
        try:
            with lock:
                item = items[position]
        except InputError:
            raise
        # A data set may raise anything.
        except Exception as error:
            raise InputError(
                f"{title} cannot be read from the data set: {type(error).__name__}: {error}"
            ) from error
        image, label = _parts(item, fields, name)
        return _pixels(image, title, value_range, limits), label

    n = len(items)
    if n == 0:
        raise InputError(f"{name}: the data set holds no items.")
    fingerprints, labels = [], []
    for position in _counted(n, name):
        image, label = pixels(position)
        fingerprints.append(_fingerprint(image))
        labels.append(label)

    def read(position: int) -> np.ndarray:
        image, _ = pixels(position)
        if _fingerprint(image) != fingerprints[position]:
            raise ImageChanged(
                f"{name}, image {position} is not what it was when the data set was opened. Take "
                "random transforms out of the data set: views are made from its images here."
            )
        return image

    names = _class_names(items, fields)
    if names is not None:
        labels = [named(one, names) for one in map(_plain, labels)]
    single = [one if not isinstance(one, list | tuple | np.ndarray) else None for one in labels]
    codes, classes = encode_classes([_plain(one) for one in single], where=name)
    return ImageSource(
        name=name,
        ids=numbered(n),
        labels=codes,
        classes=classes,
        fingerprints=tuple(fingerprints),
        reader=read,
    )


def _counted(count: int, name: str) -> Iterator[int]:
    """Numbers from 0, shown as they are asked for."""
    with progress(f"check {name}", total=count, unit="image") as bar:
        for position in range(count):
            yield position
            bar.advance(1)


def _parts(item: Any, fields: Fields, name: str) -> tuple[Any, Any]:
    """Image and label of an item."""
    if isinstance(item, Mapping):
        known = list(item)
        image = column_for(fields.image, IMAGE_COLUMNS, known, what="image", where=name)
        if image is None:
            raise InputError(
                f"{name}: items have no {' or '.join(IMAGE_COLUMNS)}; they have "
                f"{', '.join(map(str, known))}. Name one with image=."
            )
        label = column_for(fields.label, LABEL_COLUMNS, known, what="label", where=name)
        return item[image], None if label is None else item[label]
    if isinstance(item, tuple | list):
        if not item:
            raise InputError(f"{name}: items must hold an image; got an empty one.")
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def _pixels(image: Any, title: str, value_range: ValueRange | None, limits: Limits) -> np.ndarray:
    if isinstance(image, bytes):
        return decode_image(image, name=title, value_range=value_range, limits=limits)
    if isinstance(image, Image.Image):
        return to_rgb(image, name=title, value_range=value_range)
    return array_to_rgb(_channels_last(image, many=False), name=title, value_range=value_range)


def _channels_last(image: Any, *, many: bool) -> np.ndarray:
    """An array; of a tensor of PyTorch whose first axis counts channels, with these last."""
    is_torch = all(hasattr(image, one) for one in ("detach", "cpu", "layout"))
    array = np.asarray(image.detach().cpu() if is_torch else image)
    channels = 1 if many else 0
    if is_torch and array.ndim == 3 + many and array.shape[channels] in (1, 3, 4):
        array = np.moveaxis(array, channels, -1)
    return array


def _fingerprint(image: np.ndarray) -> str:
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()


def _plain(label: Any) -> Any:
    """A label as Python has it: tensors and arrays of one number as that number."""
    if hasattr(label, "item"):
        try:
            return label.item()
        except (ValueError, RuntimeError, TypeError):
            return None
    return label


def _class_names(items: Any, fields: Fields) -> list[str] | None:
    """Names of the class numbers, where the data set states them."""
    features = getattr(items, "features", None)
    if isinstance(features, Mapping):
        label = column_for(fields.label, LABEL_COLUMNS, list(features), what="label", where="items")
        feature = features.get(label)
        names = getattr(feature, "names", None) or class_names(feature)
        return None if names is None else list(map(str, names))
    classes = getattr(items, "classes", None)
    if isinstance(classes, list | tuple) and all(isinstance(one, str) for one in classes):
        return list(classes)
    return None
