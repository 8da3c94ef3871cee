"""The study behind `mgm run` without a study file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgm_jax.study import Study, make_study


def quick_study(
    encoders: list[str],
    images: list[str],
    settings: list[str] | None,
    *,
    views: int,
    count: int,
    split: str | None = None,
) -> Study:
    """A study of some encoders on some images, everything else as it is by default.

    Args:
        encoders: sources; paths are taken as seen from here.
        images: sources, likewise.
        settings: augmentation settings; None for those of a study.
        views: of each image.
        count: images with views.
        split: the split of every image set that is taken; None for everything.

    Raises:
        InputError: a source or number that no study may have.
    """
    augmentation: dict[str, Any] = {"views": views, "images": count}
    if settings:
        augmentation["settings"] = settings
    return make_study(
        {
            "name": "A first look",
            "encoders": [{"source": _absolute(one)} for one in encoders],
            "images": [
                {"source": _absolute(one)} | ({"split": split} if split else {}) for one in images
            ],
            "augmentation": augmentation,
        },
        where="options",
    )


def study_of_features(
    features: list[str], *, labels: str | None = None, scores: str | None = None
) -> Study:
    """A study of models of which features are at hand; see ``docs/howto/features.md``.

    Args:
        features: files, or globs of them: a model a file.
        labels: file of their labels; None takes what the files state.
        scores: file of known transfer scores; None predicts nothing.

    Raises:
        InputError: something that no study may have.
    """
    beside = {"labels": _absolute(labels)} if labels else {}
    content: dict[str, Any] = {
        "name": "A first look at features",
        "features": [
            {
                "source": str(Path(one).expanduser().absolute()) if one.strip() else one,
                **beside,
            }
            for one in features
        ],
    }
    if scores:
        content["transfer"] = {"scores": _absolute(scores)}
    return make_study(content, where="options")


def _absolute(source: str) -> str:
    """A path as seen from here, so that the written study runs from anywhere; a name as it is."""
    if not source.strip():
        # As a path it would be the folder that this is run in.
        return source
    path = Path(source).expanduser()
    is_path = path.exists() or ("/" in source and ":" not in source)
    return str(path.resolve()) if is_path else source
