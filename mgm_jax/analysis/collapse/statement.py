"""Are untrained encoders collapsed: do they map all images to nearly the same direction?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from mgm_jax.analysis.collapse.comparison import Estimate, FamilyComparison
from mgm_jax.analysis.collapse.families import (
    CONTROL_FAMILY,
    COSINE,
    MEASURES,
    FamilyCollapse,
    family_kind,
    family_name,
    measure_values,
    require_columns,
    untrained_families,
)
from mgm_jax.analysis.collapse.wording import headline_of, statement_of
from mgm_jax.errors import InputError, name_some


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """What untrained encoders do to different images, family by family.

    Attributes:
        families: one entry a family of untrained encoders, the most collapsed first, the raw
            pixels last.
        differences: one row a pair of families and a measure: ``measure, family, other,
            difference, low, high``, paired over the groups of images that both saw.
        claim: the paper's third claim (an untrained ResNet is collapsed, an untrained ViT is
            not): ``holds``, ``fails``, ``open`` (an interval spans the threshold) or
            ``untested`` (not both families are there).
        headline: the result in one sentence, without numbers.
        statement: the result in one sentence, with numbers and intervals.
        images: name of the image set.
        threshold: mean cosine from which a family counts as collapsed.
        level: coverage of the intervals.
    """

    families: tuple[FamilyCollapse, ...]
    differences: pd.DataFrame
    claim: str
    headline: str
    statement: str
    images: str
    threshold: float
    level: float

    def to_pandas(self) -> pd.DataFrame:
        """One row a family and measure: value, low, high, seeds, groups, verdict."""
        rows = [
            {"family": family.family, "measure": name, **asdict(value), "verdict": family.verdict}
            for family in self.families
            for name, value in family.measures.items()
        ]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        from html import escape

        table = self.to_pandas().to_html(index=False, escape=True, float_format="{:.3g}".format)
        return f"<p><b>{escape(self.headline)}</b></p><p>{escape(self.statement)}</p>{table}"


def collapse_statement(
    groups_df: pd.DataFrame,
    models_df: pd.DataFrame,
    *,
    images: str | None = None,
    threshold: float = 0.9,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Collapse:
    """Judge whether the untrained encoders of each family are collapsed.

    A family is *collapsed* where the mean cosine between different images is at least
    ``threshold`` with its whole interval and above that of the raw pixels, *not collapsed*
    where the whole interval lies below, and *undecided* otherwise. The threshold is our choice;
    NNK diameter, typical distance and RankMe stand beside it and do not enter the verdict.

    Intervals resample the groups of images (semantic manifolds) by bootstrap, the same ones for
    every family, and carry the few seeds by Student's t. Families are compared on the same
    images, so their differences are paired over groups.

    Args:
        groups_df: table ``groups``: ``encoder, images, setting, group`` and ``nnk_diameter``;
            only the rows of the setting ``semantic`` are used.
        models_df: table ``models``: ``encoder, family, paradigm, images`` and ``mean_cosine``,
            ``typical_distance``, ``rankme``; of an encoder with several taps the first row counts.
        images: the image set to judge on; None where the tables hold one only, else its first.
        threshold: mean cosine in -1 .. 1 from which a family is collapsed.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
        level: coverage of the intervals in 0 .. 1.

    Raises:
        InputError: a column is missing, the image set is unknown, or no encoder is untrained.

    Example::

        collapse = collapse_statement(
            pd.read_parquet("out/groups.parquet"), pd.read_parquet("out/models.parquet")
        )
        print(collapse.statement)
    """
    require_columns(groups_df, ("encoder", "images", "setting", "group"), name="groups_df")
    require_columns(
        models_df, ("encoder", "family", "paradigm", "images", COSINE.name), name="models_df"
    )
    images = _choose_images(models_df, images)
    models = models_df.loc[models_df["images"] == images].drop_duplicates("encoder")
    semantic = _first_taps(
        groups_df.loc[(groups_df["images"] == images) & (groups_df["setting"] == "semantic")],
        models,
    )
    encoders = untrained_families(models)
    if not set(encoders) - {CONTROL_FAMILY}:
        raise InputError(
            f"models_df: no encoder on {images!r} has the paradigm 'untrained'. "
            "Add untrained encoders to the study, or leave this comparison out."
        )
    comparisons = {
        measure.name: FamilyComparison.make(
            {
                family: values
                for family, names in encoders.items()
                if (values := measure_values(measure, names, semantic, models)) is not None
            },
            bounds=(measure.low, measure.high),
            resamples=resamples,
            seed=seed,
            level=level,
        )
        for measure in MEASURES
    }
    judged = (
        _judge(family, names, comparisons, threshold=threshold)
        for family, names in encoders.items()
    )
    families = tuple(sorted(judged, key=_reading_order))
    claim = _claim(families)
    return Collapse(
        families=families,
        differences=_differences(comparisons),
        claim=claim,
        headline=headline_of(families, claim, images),
        statement=statement_of(families, level=level),
        images=images,
        threshold=threshold,
        level=level,
    )


def _choose_images(models: pd.DataFrame, images: str | None) -> str:
    known = list(dict.fromkeys(map(str, models["images"])))
    if not known:
        raise InputError("models_df: expected at least one row, got none.")
    if images is not None and images not in known:
        raise InputError(f"images: expected one of {name_some(known)}, got {images!r}.")
    return images or known[0]


def _first_taps(semantic: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Rows of the tap that stands for each encoder in ``models``."""
    if "tap" not in semantic.columns or "tap" not in models.columns:
        return semantic
    return semantic.merge(models[["encoder", "tap"]], on=["encoder", "tap"])


def _judge(
    family: str,
    encoders: tuple[str, ...],
    comparisons: Mapping[str, FamilyComparison],
    *,
    threshold: float,
) -> FamilyCollapse:
    """What was measured on one family, and whether it is collapsed."""
    measured = {name: one for name, one in comparisons.items() if family in one.values}
    measures = {name: one.estimate(family) for name, one in measured.items()}
    by_seed = {name: one.seed_values(family) for name, one in measured.items()}
    is_control = family == CONTROL_FAMILY
    cosines = comparisons[COSINE.name]
    control = cosines.mean(CONTROL_FAMILY) if CONTROL_FAMILY in cosines.values else float("-inf")
    return FamilyCollapse(
        family=family,
        name=family_name(family),
        control=is_control,
        encoders=encoders,
        measures=measures,
        seed_values={name: values for name, values in by_seed.items() if values is not None},
        verdict="control"
        if is_control
        else _verdict(measures.get(COSINE.name), control=control, threshold=threshold),
    )


def _reading_order(family: FamilyCollapse) -> tuple[bool, float, str]:
    """The most collapsed family first, the raw pixels last."""
    cosine = family.measures.get(COSINE.name)
    return family.control, -cosine.value if cosine else 0.0, family.family


def _verdict(cosine: Estimate | None, *, control: float, threshold: float) -> str:
    if cosine is None:
        return "undecided"
    low, high = cosine.low, cosine.high
    if not np.isfinite(low):
        low = high = cosine.value
    if low >= threshold and cosine.value > control:
        return "collapsed"
    return "not collapsed" if high < threshold else "undecided"


def _claim(families: tuple[FamilyCollapse, ...]) -> str:
    resnets = {one.verdict for one in families if family_kind(one.family) == "resnet"}
    vits = {one.verdict for one in families if family_kind(one.family) == "vit"}
    if not resnets or not vits:
        return "untested"
    if "not collapsed" in resnets or "collapsed" in vits:
        return "fails"
    return "holds" if resnets == {"collapsed"} and vits == {"not collapsed"} else "open"


def _differences(comparisons: Mapping[str, FamilyComparison]) -> pd.DataFrame:
    rows = [
        {"measure": name, **row} for name, one in comparisons.items() for row in one.differences()
    ]
    columns = ["measure", "family", "other", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
