"""Do two models see the same images alike? Seven measures of it, pair by pair."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from mgm_jax.analysis.similarity import cka, rsa, subspaces
from mgm_jax.analysis.similarity.coordinates import coordinates_of
from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.knn.graph import KnnGraph, knn_graph
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.intervals import bootstrap_intervals
from mgm_jax.progress import progress
from mgm_jax.shown.result import Result

Measure = Literal["mutual_knn", "cka", "rsa", "procrustes", "svcca", "pwcca", "gulp"]

MEASURES: tuple[Measure, ...] = get_args(Measure)
_MIN_IMAGES = 5
# What a model has with itself; of all others 1.
_WITH_ITSELF = {"gulp": 0.0}
_SECOND_MOMENTS = {"procrustes", "svcca", "pwcca", "gulp"}


@dataclass(frozen=True, kw_only=True)
class ModelSimilarity(Result):
    """How alike models are, pair by pair.

    Attributes:
        table: one row a pair and measure: ``encoder_a, encoder_b, measure``, ``value``, ``low`` and
            ``high``, which are NaN for a measure without an interval. ``gulp`` is a distance, 0 for
            equal models; all others are 1 for equal ones.
        images: number of images.
        k: neighbours that ``mutual_knn`` compares.
        chance: ``mutual_knn`` of unrelated models, k / (n - 1); that of ``cka`` is 0.
        level: coverage of the intervals.
    """

    table: pd.DataFrame
    images: int
    k: int
    chance: float
    level: float

    def to_pandas(self) -> pd.DataFrame:
        """The table."""
        return self.table

    @property
    def measures(self) -> tuple[str, ...]:
        """What was measured."""
        return tuple(dict.fromkeys(self.table["measure"]))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, as they were given."""
        return tuple(dict.fromkeys([*self.table["encoder_a"], *self.table["encoder_b"]]))

    def matrix(self, measure: str = "cka") -> pd.DataFrame:
        """Values of a measure, models x models; 1 on the diagonal, of ``gulp`` 0.

        Raises:
            InputError: a measure that is not in the table.
        """
        if measure not in self.measures:
            raise InputError(f"measure must be one of {name_some(self.measures)}; got {measure!r}.")
        rows = self.table[self.table["measure"] == measure]
        names = list(self.models)
        square = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
        square *= _WITH_ITSELF.get(measure, 1.0)
        for one, other, value in zip(
            rows["encoder_a"], rows["encoder_b"], rows["value"], strict=True
        ):
            square.loc[one, other] = square.loc[other, one] = value
        return square

    def __repr__(self) -> str:
        """Numbers of models and images and the range of every measure in one line."""
        said = []
        for measure in self.measures:
            values = self.table.loc[self.table["measure"] == measure, "value"].to_numpy(np.float64)
            said.append(f"{measure} {values.min():.3f} to {values.max():.3f}")
        return (
            f"ModelSimilarity({len(self.models)} models, {self.images} images: {', '.join(said)})"
        )

    def _line(self) -> str:
        return f"{self!r}; mutual_knn of {self.k} neighbours is {self.chance:.3f} by chance"

    def _picture(self) -> str:
        from mgm_jax.shown.matrix import matrix_svg

        return "".join(
            matrix_svg(self.models, self.matrix(measure).to_numpy(), title=measure)
            for measure in self.measures
        )


def model_similarity(
    embeddings: Mapping[str, Any],
    *,
    measures: Sequence[Measure] = ("mutual_knn", "cka"),
    k: int = 10,
    ridge: float = 1e-2,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> ModelSimilarity:
    """Compare models by their embeddings of the same images; widths may differ.

    None of the measures but ``pwcca`` changes with rotation, reflection or scale of either side.

    - ``mutual_knn``: mean share of the k nearest images (cosine, exact graphs) that two models have
      in common; k / (n - 1) by chance.
    - ``cka``: debiased linear centred kernel alignment. Unlike the plain one it is 0 on average for
      unrelated embeddings, however wide, so it can fall slightly below 0.
    - ``rsa``: Spearman correlation of the Euclidean distances of pairs of images: all pairs of up
      to 2 048 images, two million random ones of more. 0 on average for unrelated embeddings.
    - ``procrustes``: ``|X'Y|_* / (|X| |Y|)``, the cosine after the best rotation. Its arc cosine is
      a metric.
    - ``svcca``: mean canonical correlation of the directions that hold 99 % of either variance.
    - ``pwcca``: canonical correlations of all directions, each weighted by the share of the
      features that it carries, once by either model, and averaged.
    - ``gulp``: distance of the predictions of ridge regressions, over all tasks alike: 0 for
      models that predict the same, at most the root of both numbers of directions.

    The last four grow (``gulp`` falls) with the width of the embeddings over the number of images:
    unrelated models of as many directions as images are found alike. Take several times more images
    than features, or ``cka``.

    Intervals are over images: of ``mutual_knn`` by bootstrap with the graphs held fixed, of
    ``cka`` and ``rsa`` by the jackknife (a bootstrap would put an image beside its own copy), of
    ``procrustes`` by the infinitesimal one; the other three have none.

    Args:
        embeddings: model name to ``[n, d]``, row i the same image in all; n at least 5 and above k.
        measures: which ones, in this order.
        k: number of neighbours.
        ridge: penalty of ``gulp``, above 0, where the total variance of a model is 1.
        resamples: bootstrap resamples.
        seed: of the resamples, and of the pairs of ``rsa``.
        level: coverage of the intervals, between 0 and 1.

    Returns:
        A ``ModelSimilarity``. Beside the embeddings, memory is a d x d matrix a model (n x n
        where there are fewer images than features); of ``cka`` an n x n one up to 4 096 images.

    Raises:
        InputError: fewer than two models, unequal numbers of rows, unusable points, an unknown
            measure, options out of range.

    References:
        Kornblith et al., "Similarity of neural network representations revisited", ICML 2019.
        Song et al., "Feature selection via dependence maximization", JMLR 2012, eq. 5. Huh et
        al., "The Platonic representation hypothesis", ICML 2024 (mutual k-NN). Kriegeskorte et
        al., "Representational similarity analysis", Frontiers in Systems Neuroscience 2, 2008.
        Williams et al., "Generalized shape metrics on neural representations", NeurIPS 2021
        (Procrustes). Raghu et al., "SVCCA", NeurIPS 2017. Morcos et al., "Insights on
        representational similarity in neural networks with canonical correlation", NeurIPS 2018
        (PWCCA). Boix-Adsera et al., "GULP: a prediction-based metric between representations",
        NeurIPS 2022.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(30, 4))
        >>> same = model_similarity({"a": x, "b": 3 * x[:, ::-1]}, k=5)
        >>> same.table["value"].round(6).tolist()
        [1.0, 1.0]
    """
    asked = _check_measures(measures)
    if not isinstance(embeddings, Mapping):
        raise InputError(
            "embeddings must be names of models to their embeddings, such as {'a': x, 'b': y}; got "
            f"{type(embeddings).__name__}."
        )
    if not ridge > 0:
        raise InputError(f"ridge must be above 0; got {ridge}.")
    tables = list(embeddings.items())
    for name, x in tables[1:]:
        names = (f"embeddings[{tables[0][0]!r}]", f"embeddings[{name!r}]")
        refuse_other_order(tables[0][1], x, names=names)
    points = {
        str(name): np.asarray(
            check_points(x, name=f"embeddings[{name!r}]", cosine="mutual_knn" in asked)
        )
        for name, x in embeddings.items()
    }
    n = _check(points)
    pairs = list(combinations(points, 2))
    views: dict[str, _Views] = {}
    compared: list[dict[str, tuple[float, float, float]]] = []
    shares: list[np.ndarray] = []
    with progress("similarity", total=len(points) + len(pairs), unit="step") as bar:
        shared = rsa.pairs_of(n, seed=seed) if "rsa" in asked else None
        for name, x in points.items():
            views[name] = _Views.make(x, asked, k=k, pairs=shared)
            bar.advance()
        for one, other in pairs:
            first, second = views[one], views[other]
            compared.append(_compared(first, second, asked, pairs=shared, ridge=ridge, level=level))
            if first.graph is not None and second.graph is not None:
                shares.append(mutual_neighbours(first.graph, second.graph))
            bar.advance()
    _tell_of_few_images(views, asked, n)
    # All pairs at once, as they are of the same images: the draws cost most.
    intervals = bootstrap_intervals(shares, resamples=resamples, seed=seed, level=level)
    for results, share, interval in zip(compared, shares, intervals, strict=False):
        results["mutual_knn"] = float(share.mean()), *interval
    rows = [
        (one, other, measure, *results[measure])
        for (one, other), results in zip(pairs, compared, strict=True)
        for measure in asked
    ]
    columns = ["encoder_a", "encoder_b", "measure", "value", "low", "high"]
    return ModelSimilarity(
        table=pd.DataFrame(rows, columns=columns), images=n, k=k, chance=k / (n - 1), level=level
    )


def mutual_neighbours(first: KnnGraph, second: KnnGraph) -> np.ndarray:
    """Share of the k neighbours of each point that two graphs have in common, ``[n]``.

    Raises:
        InputError: graphs of different shapes.
    """
    if first.indices.shape != second.indices.shape:
        raise InputError(
            f"first and second must have equal n and k, got {first.indices.shape} and "
            f"{second.indices.shape}; build both on the same images with the same k."
        )
    # Neighbours of a row are distinct, so a value that comes twice in the joined row is shared.
    joined = np.sort(np.concatenate([first.indices, second.indices], axis=1), axis=1)
    return (joined[:, 1:] == joined[:, :-1]).sum(1) / first.k


@dataclass(frozen=True, kw_only=True, eq=False)
class _Views:
    """What the measures need of one model; None where none of those asked for does."""

    graph: KnnGraph | None
    kernel: cka.Gram | cka.Features | None
    hsic: np.ndarray | None
    ranks: np.ndarray | None
    moments: subspaces.Moments | None

    @classmethod
    def make(
        cls, x: np.ndarray, asked: tuple[Measure, ...], *, k: int, pairs: rsa.Pairs | None
    ) -> _Views:
        graph = kernel = hsic = None
        if "mutual_knn" in asked:
            with warnings.catch_warnings():
                # Copies of an image are each other's neighbours in every model.
                warnings.filterwarnings("ignore", message=".*duplicate.*")
                graph = knn_graph(x, k=k)
        if "cka" in asked:
            kernel = cka.prepare(x)
            hsic = kernel.hsic(kernel)  # type: ignore[arg-type]
        second = _SECOND_MOMENTS & set(asked)
        return cls(
            graph=graph,
            kernel=kernel,
            hsic=hsic,
            ranks=None if pairs is None else rsa.distance_ranks(x, pairs),
            moments=subspaces.Moments.make(coordinates_of(x)) if second else None,
        )


def _compared(
    one: _Views,
    other: _Views,
    asked: tuple[Measure, ...],
    *,
    pairs: rsa.Pairs | None,
    ridge: float,
    level: float,
) -> dict[str, tuple[float, float, float]]:
    """Value, low and high of every measure of two models but ``mutual_knn``."""
    results: dict[str, tuple[float, float, float]] = {}
    nan = float("nan")
    if one.hsic is not None and other.hsic is not None:
        cross = one.kernel.hsic(other.kernel)  # type: ignore[union-attr, arg-type]
        results["cka"] = cka.cka_of(cross, one.hsic, other.hsic, level=level)
    if pairs is not None and one.ranks is not None and other.ranks is not None:
        results["rsa"] = rsa.rsa_of(one.ranks, other.ranks, pairs, level=level)
    if one.moments is not None and other.moments is not None:
        first, second = one.moments, other.moments
        joint = subspaces.principal_products(first, second)
        if not min(first.values[0], second.values[0]) > 0:
            return results | dict.fromkeys(_SECOND_MOMENTS, (nan, nan, nan))
        if "procrustes" in asked:
            results["procrustes"] = subspaces.procrustes(first, second, joint, level=level)
        if "svcca" in asked:
            results["svcca"] = subspaces.svcca(first, second, joint), nan, nan
        if "pwcca" in asked:
            results["pwcca"] = subspaces.pwcca(first, second, joint), nan, nan
        if "gulp" in asked:
            results["gulp"] = subspaces.gulp(first, second, joint, ridge=ridge), nan, nan
    return results


def _tell_of_few_images(views: Mapping[str, _Views], asked: tuple[Measure, ...], n: int) -> None:
    """Warn where canonical correlations are 1 because there are no more images than directions."""
    moments = {name: one.moments for name, one in views.items() if one.moments is not None}
    for measure in ("svcca", "pwcca"):
        if measure not in asked:
            continue
        kept = {
            name: one.rank if measure == "pwcca" else one.directions(subspaces.SVCCA_SHARE)
            for name, one in moments.items()
        }
        # Two subspaces of the n - 1 dimensions of centred images meet in what exceeds these.
        largest = sorted(kept.values())[-2:]
        forced = sum(largest) - (n - 1)
        if forced > 0:
            warnings.warn(
                f"{measure} of {n} images: models span up to {largest[-1]} directions, so that at "
                f"least {forced} canonical correlations of a pair are 1 whatever the embeddings "
                "are. Take several times more images than features, or measure cka.",
                stacklevel=3,
            )


def _check_measures(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    asked = (measures,) if isinstance(measures, str) else tuple(measures)
    unknown = [name for name in asked if name not in MEASURES]
    if unknown or not asked:
        raise InputError(
            f"measures must be some of {name_some(MEASURES)}; got {name_some(unknown) or 'none'}."
        )
    return tuple(dict.fromkeys(asked))  # type: ignore[return-value]


def _check(points: dict[str, np.ndarray]) -> int:
    if len(points) < 2:
        raise InputError(f"embeddings: expected at least two models, got {len(points)}.")
    sizes = {name: len(x) for name, x in points.items()}
    if len(set(sizes.values())) > 1 or min(sizes.values()) < _MIN_IMAGES:
        raise InputError(
            f"embeddings: expected the same images, at least {_MIN_IMAGES}, in every model; got "
            f"{name_some(f'{name}: {size} rows' for name, size in sizes.items())}."
        )
    return next(iter(sizes.values()))
