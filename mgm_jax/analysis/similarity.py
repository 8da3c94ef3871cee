"""Do two models see the same images alike? Shared neighbours, and centred kernel alignment."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.knn.graph import KnnGraph, knn_graph
from mgm_jax.geometry.points.checks import check_points
from mgm_jax.intervals import bootstrap_intervals
from mgm_jax.progress import progress

_LEAST_IMAGES = 5


@dataclass(frozen=True, kw_only=True)
class ModelSimilarity:
    """How alike models are, pair by pair.

    Attributes:
        table: one row a pair and measure: ``encoder_a, encoder_b, measure`` (``mutual_knn`` or
            ``cka``), ``value``, ``low`` and ``high``.
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

    def matrix(self, measure: str = "cka") -> pd.DataFrame:
        """Values of a measure, models x models, 1 on the diagonal."""
        rows = self.table[self.table["measure"] == measure]
        names = list(dict.fromkeys([*rows["encoder_a"], *rows["encoder_b"]]))
        square = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
        for one, other, value in zip(
            rows["encoder_a"], rows["encoder_b"], rows["value"], strict=True
        ):
            square.loc[one, other] = square.loc[other, one] = value
        return square

    def _repr_html_(self) -> str:
        title = (
            f"{self.images} images; mutual_knn of {self.k} neighbours, {self.chance:.3f} by chance"
        )
        shown = self.table.to_html(index=False, float_format="%.3f", escape=True, max_rows=40)
        return f"<p>{title}</p>{shown}"


def model_similarity(
    embeddings: Mapping[str, Any],
    *,
    k: int = 10,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> ModelSimilarity:
    """Compare models by their embeddings of the same images; widths may differ.

    ``mutual_knn`` is the mean share of the k nearest images (cosine, exact graphs) that two models
    have in common. ``cka`` is the debiased linear centred kernel alignment: unlike the plain one
    it is 0 on average for unrelated embeddings, however wide, so it can fall slightly below 0.
    It does not change with rotation, reflection or scale of either side.

    Intervals are over images: of ``mutual_knn`` by bootstrap with the graphs held fixed, of
    ``cka`` by the jackknife (a bootstrap would put an image beside its own copy).

    Args:
        embeddings: model name to ``[n, d]``, row i the same image in all; n at least 5 and above k.
        k: number of neighbours.
        resamples: bootstrap resamples.
        seed: of the resamples.
        level: coverage of the intervals, between 0 and 1.

    Returns:
        A ``ModelSimilarity``. Memory is one n x n matrix of float32 a model.

    Raises:
        InputError: fewer than two models, unequal numbers of rows, unusable points.

    References:
        Kornblith et al., "Similarity of neural network representations revisited", ICML 2019.
        Song et al., "Feature selection via dependence maximization", JMLR 2012, eq. 5. Huh et
        al., "The Platonic representation hypothesis", ICML 2024 (mutual k-NN).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(30, 4))
        >>> same = model_similarity({"a": x, "b": 3 * x[:, ::-1]}, k=5)
        >>> same.table["value"].round(6).tolist()
        [1.0, 1.0]
    """
    points = {
        str(name): np.asarray(check_points(x, name=f"embeddings[{name!r}]", cosine=True))
        for name, x in embeddings.items()
    }
    n = _check(points)
    pairs = list(combinations(points, 2))
    rows = []
    with progress("similarity", total=len(points) + len(pairs), unit="step") as bar:
        graphs, grams = {}, {}
        for name, x in points.items():
            with warnings.catch_warnings():
                # Copies of an image are each other's neighbours in every model.
                warnings.filterwarnings("ignore", message=".*duplicate.*")
                graphs[name] = knn_graph(x, k=k)
            grams[name] = _Gram.make(x)
            bar.advance()
        shared = [mutual_neighbours(graphs[one], graphs[other]) for one, other in pairs]
        intervals = bootstrap_intervals(shared, resamples=resamples, seed=seed, level=level)
        for (one, other), share, (low, high) in zip(pairs, shared, intervals, strict=True):
            rows.append((one, other, "mutual_knn", float(share.mean()), low, high))
            rows.append((one, other, "cka", *_cka(grams[one], grams[other], level=level)))
            bar.advance()
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


@dataclass(frozen=True, kw_only=True)
class _Gram:
    """Gram matrix of centred points without its diagonal, ``[n, n]`` float32, and its row sums.

    Centring the points first keeps the digits that a common offset would take; it does not change
    the result.
    """

    values: np.ndarray
    sums: np.ndarray
    own: np.ndarray

    @classmethod
    def make(cls, x: np.ndarray) -> _Gram:
        centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
        # Scale does not matter, and float32 must not overflow.
        largest = max(float(np.abs(centred).max()), np.finfo(np.float32).tiny)
        scaled = (centred / largest).astype(np.float32)
        values = scaled @ scaled.T
        np.fill_diagonal(values, 0)
        sums = values.sum(1, dtype=np.float64)
        return cls(values=values, sums=sums, own=_hsic(values, sums, values, sums))


def _cka(first: _Gram, second: _Gram, *, level: float) -> tuple[float, float, float]:
    """Debiased CKA with its jackknife interval; NaN for a constant embedding."""
    from scipy.stats import norm

    cross = _hsic(first.values, first.sums, second.values, second.sums)
    scale = first.own * second.own
    known = (first.own > 0) & (second.own > 0)
    ratios = np.divide(cross, np.sqrt(np.abs(scale)), out=np.full(scale.shape, np.nan), where=known)
    value, without = float(ratios[0]), ratios[1:]
    n = len(without)
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    reach = float(norm.ppf((1 + level) / 2) * error)
    return value, value - reach, min(max(1.0, value), value + reach)


def _hsic(
    first: np.ndarray, of_first: np.ndarray, second: np.ndarray, of_second: np.ndarray
) -> np.ndarray:
    """Unbiased HSIC, up to a factor, of all images and then without each one, ``[n + 1]``.

    With K, L without diagonal: tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2 / (n-2) 1'KL1, over n(n-3).
    Leaving out a row changes each of the three terms by what a product with that row gives.
    """
    n = len(of_first)
    products = np.einsum("ij,ij->i", first, second, dtype=np.float64)
    crossed = first @ of_second.astype(np.float32) + second @ of_first.astype(np.float32)
    chain = of_first * of_second
    trace = np.concatenate([[products.sum()], products.sum() - 2 * products])
    sum_first = np.concatenate([[of_first.sum()], of_first.sum() - 2 * of_first])
    sum_second = np.concatenate([[of_second.sum()], of_second.sum() - 2 * of_second])
    chained = np.concatenate([[chain.sum()], chain.sum() - chain - crossed + products])
    m = np.concatenate([[n], np.full(n, n - 1)]).astype(np.float64)
    inner = trace + sum_first * sum_second / ((m - 1) * (m - 2)) - 2 / (m - 2) * chained
    return inner / (m * (m - 3))


def _check(points: dict[str, np.ndarray]) -> int:
    if len(points) < 2:
        raise InputError(f"embeddings: expected at least two models, got {len(points)}.")
    sizes = {name: len(x) for name, x in points.items()}
    if len(set(sizes.values())) > 1 or min(sizes.values()) < _LEAST_IMAGES:
        raise InputError(
            f"embeddings: expected the same images, at least {_LEAST_IMAGES}, in every model; got "
            f"{name_some(f'{name}: {size} rows' for name, size in sizes.items())}."
        )
    return next(iter(sizes.values()))
