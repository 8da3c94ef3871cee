"""What the folders of image files mean: wrappers, splits and classes.

From the outermost to the innermost, a path is ``wrappers / split / classes / anything / file``,
all but the file optional. A wrapper is a folder that everything lies in, as archives have one;
splits are folders called like ``train`` and ``val``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.images.decode.formats import image_suffixes

#: Names of folders, without case, that stand for a split, by what it is for.
SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": ("val", "valid", "validation", "dev", "eval", "development"),
    "test": ("test", "testing", "tst", "holdout"),
}
# Also "train2017", "val_images", "test-set".
_SPLIT = re.compile(r"([a-z]+)([-_ ]?(set|split|data|images|imgs|\d{1,4}))?")


class Layout(NamedTuple):
    """Which files belong to the set, and to which class.

    Attributes:
        kept: positions of the files, among those asked about.
        paths: of these files, from where the set begins.
        labels: class of each, -1 where it has none.
        classes: their names, sorted.
        notes: what was understood that could have been meant otherwise, in words.
    """

    kept: list[int]
    paths: list[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def split_kind(name: str) -> str | None:
    """What a folder of that name is for, if it is called like a split.

    >>> split_kind("Val"), split_kind("train2017"), split_kind("trainers")
    ('validation', 'train', None)
    """
    match = _SPLIT.fullmatch(name.lower())
    if not match:
        return None
    return next((kind for kind, names in SPLIT_NAMES.items() if match[1] in names), None)


def _without_common_words(folders: Sequence[str]) -> dict[str, str]:
    """Names without the words at either end that all of them share: ``seg_train``, ``seg_test``.

    >>> _without_common_words(["seg_train", "seg_test"])
    {'seg_train': 'train', 'seg_test': 'test'}
    """
    words = {folder: re.split(r"[-_. ]+", folder) for folder in folders}
    if len(words) < 2:
        return {folder: folder for folder in folders}
    for end in (0, -1):
        while len({one[end].lower() for one in words.values()}) == 1:
            if any(len(one) == 1 for one in words.values()):
                break
            for one in words.values():
                del one[end]
    return {folder: "_".join(left) for folder, left in words.items()}


def find_layout(
    paths: Sequence[str], *, where: str, depth: int = 1, split: str | None = None
) -> Layout:
    """Find wrappers, splits and classes in the paths of image files.

    Args:
        paths: of images, relative, parts joined by ``/``.
        where: what an error calls the place.
        depth: how many folders name a class: 1 is the outermost, 2 also the one inside, whose
            names are then joined by ``/``. Images with no folder at all are one class, ``all``.
        split: take one split alone: the path of its folder, or another name for the same
            purpose (``val`` finds ``validation``).

    Raises:
        InputError: no image, no such split, splits that share no class, or images that lie in
            fewer folders than ``depth``.

    >>> find_layout(["greek/alpha/1.png", "greek/beta/1.png"], where="x", depth=2).classes
    ('greek/alpha', 'greek/beta')
    >>> find_layout(["train/a/1.png", "val/a/1.png"], where="x").classes
    ('a',)
    """
    kept, inner = list(range(len(paths))), list(paths)
    if split is not None:
        kept, inner = _take_split(kept, inner, split, where=where)
    if not inner:
        raise InputError(
            f"{where} holds no image files (.png, .jpg, .webp and {len(image_suffixes()) - 3} "
            "other endings). Expected one folder a class, or images side by side."
        )
    inner, notes = _unwrapped(inner, depth=depth)
    splits, more = _splits(inner) if split is None else ([], [])
    notes += more
    if splits:
        labels, classes, more = _classes_of_splits(inner, splits, where=where, depth=depth)
        notes += more
    else:
        labels, classes = _classes(inner, where=where, depth=depth)
        if split is None and depth == 1:
            notes += _same_folders_within(inner)
    return Layout(kept, inner, labels, classes, tuple(notes))


def _heads(paths: Sequence[str]) -> list[str]:
    """The outermost folders, sorted; empty where an image lies in none."""
    if any("/" not in path for path in paths):
        return []
    return sorted({path.split("/", 1)[0] for path in paths})


def _unwrapped(paths: list[str], *, depth: int) -> tuple[list[str], list[str]]:
    """Without the outer folders that hold nothing but one folder, as long as classes are left."""
    passed = []
    while True:
        heads = _heads(paths)
        if len(heads) != 1 or any(path.count("/") <= depth for path in paths):
            break
        passed.append(heads[0])
        paths = [path.split("/", 1)[1] for path in paths]
    if not passed:
        return paths, []
    named = "/".join(passed)
    return paths, [f"everything lies in the folder {named!r}, whose folders are the classes"]


def _take_split(
    kept: list[int], paths: list[str], split: str, *, where: str
) -> tuple[list[int], list[str]]:
    """The files of one split, paths from within it."""
    wanted = split.strip("/")
    every = paths
    while paths:
        inside = [i for i, path in enumerate(paths) if path.startswith(wanted + "/")]
        if inside:
            return [kept[i] for i in inside], [paths[i][len(wanted) + 1 :] for i in inside]
        heads = _heads(paths) or sorted({p.split("/", 1)[0] for p in paths if "/" in p})
        core = _without_common_words(heads)
        alike = [one for one in heads if same_split(one, wanted) or same_split(core[one], wanted)]
        if len(alike) > 1:
            raise InputError(
                f"{where}: split {split!r} may be any of {name_some(alike)}; name one of them."
            )
        if alike:
            wanted = alike[0]
            continue
        if len(heads) == 1 and all("/" in path for path in paths):
            paths = [path.split("/", 1)[1] for path in paths]
            continue
        # Splits within each class.
        parts = [path.split("/") for path in paths]
        for fits in (str.__eq__, same_split):
            within = [i for i, one in enumerate(parts) if len(one) > 2 and fits(one[1], wanted)]
            if within:
                inner = ["/".join((parts[i][0], *parts[i][2:])) for i in within]
                return [kept[i] for i in within], inner
        break
    known = sorted({path.split("/", 1)[0] for path in every if "/" in path})
    raise InputError(
        f"{where} has no folder of images {split!r}; it has {name_some(known) or 'no folders'}."
    )


def same_split(folder: str, wanted: str) -> bool:
    """Whether a folder or value is called like a split, or stands for the same purpose."""
    kind = split_kind(wanted)
    return folder.lower() == wanted.lower() or (kind is not None and split_kind(folder) == kind)


def _splits(paths: list[str]) -> tuple[list[str], list[str]]:
    """The outermost folders, where they are the splits of one set; and what to say of them."""
    heads = sorted({path.split("/", 1)[0] for path in paths if "/" in path})
    core = _without_common_words(heads)
    kinds = {one: kind for one in heads if (kind := split_kind(one) or split_kind(core[one]))}
    if heads and len(kinds) == len(heads) == len(_heads(paths)):
        return heads, [
            f"the folders {', '.join(heads)} are taken as splits of one set, not as classes; "
            "split: takes one of them"
        ]
    if len(set(kinds.values())) > 1:
        others = [head for head in heads if head not in kinds] or ["images of no folder"]
        return [], [
            f"the folders {', '.join(kinds)} are called like splits, but stand beside "
            f"{name_some(others, most=3)} and are taken as classes; split: takes one of them"
        ]
    within = {parts[1] for path in paths if len(parts := path.split("/")) > 2}
    if len({split_kind(one) for one in within} - {None}) > 1 and all(map(split_kind, within)):
        return [], [
            f"every class holds the splits {', '.join(sorted(within))}, which are taken together; "
            "split: takes one of them"
        ]
    return [], []


def _same_folders_within(paths: Sequence[str]) -> list[str]:
    """What to say where every class holds the same folders, as folds, domains and cameras do."""
    within: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        within.setdefault(parts[0], set()).update(parts[1:2] if len(parts) > 2 else ())
    shared = set.intersection(*within.values()) if len(within) > 1 else set[str]()
    if len(shared) < 2 or any(len(shared) <= len(one) / 2 for one in within.values()):
        return []
    if any(map(split_kind, shared)):
        # Splits within the classes are told of already.
        return []
    return [
        f"the folders {name_some(sorted(within), most=3)} are the classes, and each of them holds "
        f"the folders {name_some(sorted(shared), most=3)}; if these are the classes, split: takes "
        "one of the outer folders, and depth: 2 makes a class of each pair"
    ]


def _classes_of_splits(
    paths: list[str], splits: list[str], *, where: str, depth: int
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Classes below the folders of the splits, by name the same in all of them."""
    of_split = np.array([splits.index(path.split("/", 1)[0]) for path in paths])
    below = [path.split("/", 1)[1] for path in paths]
    names: list[str | None] = [None] * len(paths)
    bare, own = [], {}
    for index, split in enumerate(splits):
        rows = np.flatnonzero(of_split == index).tolist()
        inner, _ = _unwrapped([below[row] for row in rows], depth=depth)
        if not any("/" in path for path in inner):
            bare.append(split)
            continue
        labels, classes = _classes(inner, where=f"{where}/{split}", depth=depth)
        own[split] = set(classes)
        for row, label in zip(rows, labels, strict=True):
            names[row] = classes[label]
    if not own:
        return np.zeros(len(paths), np.int64), ("all",), []
    if len(own) > 1 and not set.intersection(*own.values()):
        raise InputError(
            f"{where}: its folders {', '.join(own)} are called like splits but share no class; "
            f"they hold {'; '.join(name_some(sorted(one), most=3) for one in own.values())}. "
            "Take one of them with split:."
        )
    classes = tuple(sorted(set.union(*own.values())))
    code_of = {name: index for index, name in enumerate(classes)}
    labels = np.array([-1 if name is None else code_of[name] for name in names], np.int64)
    if not bare:
        return labels, classes, []
    note = f"the images of {', '.join(bare)} lie in no folder of a class and have no label"
    return labels, classes, [note]


def _classes(paths: Sequence[str], *, where: str, depth: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class of every image and the names of the classes."""
    folders = [path.split("/")[:-1] for path in paths]
    if depth == 1 and not any(folders):
        return np.zeros(len(paths), np.int64), ("all",)
    loose = [path for path, inside in zip(paths, folders, strict=True) if len(inside) < depth]
    if loose:
        kind = "folders of classes" if depth == 1 else f"classes {depth} folders deep"
        raise InputError(
            f"{where} holds {kind} and, beside them, images of no class: "
            f"{name_some(loose, most=3)}. Move these into a folder."
        )
    counts = Counter("/".join(inside[:depth]) for inside in folders)
    classes = sorted(counts)
    code_of = {name: position for position, name in enumerate(classes)}
    labels = [code_of["/".join(inside[:depth])] for inside in folders]
    return np.array(labels, np.int64), tuple(classes)
