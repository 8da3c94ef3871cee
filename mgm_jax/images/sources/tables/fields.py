"""Which columns of a table hold the image, its label and its id, and what they say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgm_jax.errors import InputError, name_some

#: Columns that are taken where nothing else is said, the first one that is there.
IMAGE_COLUMNS = ("image", "img", "images", "jpg", "jpeg", "png", "webp")
LABEL_COLUMNS = ("label", "labels", "cls", "class", "target")
ID_COLUMNS = ("id", "image_id", "__key__")
PATH_COLUMNS = (
    *("path", "file_name", "filename", "file", "filepath", "image", "img"),
    *("image_path", "img_path", "file_path"),
)
SPLIT_COLUMNS = ("split",)


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Names of the columns of a table, members of a sample or arrays of a file; None finds them.

    Attributes:
        image: holds the image, or the path of its file.
        label: holds the class.
        id: holds the name of the image.
    """

    image: str | None = None
    label: str | None = None
    id: str | None = None

    def __bool__(self) -> bool:
        return any(one is not None for one in (self.image, self.label, self.id))


#: The usual columns.
FIELDS = Fields()


def column_for(
    wanted: str | None, usual: Sequence[str], known: Sequence[str], *, what: str, where: str
) -> str | None:
    """The column that is named, or the first usual one; None where there is neither.

    Raises:
        InputError: the column that is named is not there.
    """
    if wanted is not None and wanted not in known:
        raise InputError(
            f"{where} has no {wanted!r}, which {what}= names; it has {name_some(known) or 'none'}."
        )
    return wanted or usual_one(known, usual)


def usual_one(known: Sequence[str], usual: Sequence[str]) -> str | None:
    """The first of the usual names that is among some, in upper or lower case.

    >>> usual_one(["Path", "Label"], LABEL_COLUMNS)
    'Label'
    """
    lower = {name.lower(): name for name in reversed(known)}
    return next((lower[one] for one in usual if one in lower), None)


def encode_classes(
    values: Sequence[Any] | np.ndarray, *, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers and names of the labels in a column.

    Returns:
        int32 ``[n]``, places among the names, -1 where there is no label: None, NaN, an empty text
        or a number below 0; and the names, sorted, numbers by their size.

    Raises:
        InputError: labels that are neither whole numbers nor texts.

    >>> encode_classes([10, None, 9, -1], where="x")
    (array([ 1, -1,  0, -1], dtype=int32), ('9', '10'))
    """
    plain = [_label(value, where) for value in values]
    distinct = {one for one in plain if one is not None}
    if any(isinstance(one, str) for one in distinct):
        plain = [None if one is None else str(one) for one in plain]
        distinct = {str(one) for one in distinct}
    order = sorted(distinct)  # type: ignore[type-var]
    code_of = {one: position for position, one in enumerate(order)}
    codes = [-1 if one is None else code_of[one] for one in plain]
    return np.asarray(codes, np.int32), tuple(map(str, order))


def _label(value: Any, where: str) -> int | str | None:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        # Blanks stand behind the commas of a table, and are no part of a name.
        value = value.strip()
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | int) or (isinstance(value, float) and value.is_integer()):
        return int(value) if value >= 0 else None
    if isinstance(value, str):
        return value
    raise InputError(
        f"{where}: labels must be whole numbers or texts; got {str(value)[:60]!r}. For several "
        "labels an image, or real values, name the column under multilabel: or regression: of a "
        "target, and another one, or none, as label:."
    )


def encode_text(values: Sequence[str]) -> list[Any]:
    """Whole numbers where every text is one as Python writes it, so that ``007`` stays a text.

    >>> encode_text(["1", "", "2"]), encode_text(["1", "02"])
    ([1, None, 2], ['1', '02'])
    """
    given = [one for one in values if one != ""]
    if given and all(one.removeprefix("-").isdecimal() and len(one) < 19 for one in given):
        numbers = {one: int(one) for one in given}
        if all(str(number) == one for one, number in numbers.items()):
            return [numbers.get(one) for one in values]
    return [None if one == "" else one for one in values]


def column_of(values: Sequence[Any]) -> np.ndarray:
    """A column as an array: of numbers where all are (NaN for what is missing), of objects else."""
    if all(value is None or isinstance(value, bool | int | float) for value in values):
        return np.array([math.nan if value is None else float(value) for value in values])
    return np.fromiter(values, dtype=object, count=len(values))


def distinct_texts(values: Sequence[Any]) -> tuple[str, ...] | None:
    """Ids of a column; None where one is missing or repeats."""
    texts = tuple("" if value is None else str(value) for value in values)
    return texts if all(texts) and len(set(texts)) == len(texts) else None


def numbered(count: int) -> tuple[str, ...]:
    """Numbers of rows as ids, of one length.

    >>> numbered(11)[:2]
    ('00', '01')
    """
    width = len(str(max(count - 1, 0)))
    return tuple(f"{row:0{width}d}" for row in range(count))


def hugging_face_features(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """What Hugging Face datasets says of the columns, by name; nothing where it says nothing."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def class_names(feature: Any) -> list[str] | None:
    """Names of the class numbers of a column, or of the numbers in its lists."""
    for _ in range(3):
        if isinstance(feature, list) and len(feature) == 1:
            feature = feature[0]
        if not isinstance(feature, dict):
            return None
        if feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            return [str(one) for one in names] if isinstance(names, list) else None
        feature = feature.get("feature")
    return None


def named(value: Any, names: Sequence[str]) -> Any:
    """Names in place of class numbers; what is no number of one stays."""
    if isinstance(value, list):
        return [named(one, names) for one in value]
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names)
    return names[value] if is_number else value
