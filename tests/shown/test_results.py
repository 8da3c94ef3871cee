"""Every public result has a table, one line and a picture; all show themselves in one way."""

from __future__ import annotations

import inspect
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mgm_jax as mgm
from mgm_jax.geometry.variants.multiscale import MEASURES
from mgm_jax.shown.matrix import matrix_svg
from mgm_jax.shown.plot import curve_svg, intervals_svg
from mgm_jax.shown.result import Result
from mgm_jax.shown.tree import tree_svg

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 40)
X = (RNG.standard_normal((120, 8)) + 4 * np.eye(3, 8)[LABELS]).astype(np.float32)
TABLE = pd.DataFrame(
    {"degree": [3.0, 3.1, 3.3, 9.0, 9.2, 9.3], "rank": [1.0, 1.2, 0.9, 5.0, 5.1, 4.7]},
    index=[f"<model> {name}" for name in "abcdef"],
)
NOT_RESULTS = {"Encoder", "InputError"}


def of_columns(kind: type, **given: Any) -> Any:
    """A result whose other fields hold two points: what it is made by is compiled elsewhere."""
    left = [field.name for field in fields(kind) if field.name not in given]
    return kind(
        **given,
        **{
            name: np.array([1.0, 2.0]) == 1 if name == "resolved" else np.array([1.0, 2.0])
            for name in left
        },
    )


def monitor() -> mgm.Monitor:
    kept = mgm.Monitor(every=1, k=5)
    for step in (0, 1):
        kept.record(step, {"rankme": 4.0 + step, "mean_cosine": 0.1})
    return kept


def study() -> mgm.StudyResults:
    tables = {"models": pd.DataFrame({"encoder": ["<a>", "b"], "nnk_degree": [3.0, 4.0]})}
    return mgm.StudyResults(folder=".", tables=tables, headline="Found.", page="x.html")  # type: ignore[arg-type]


def prediction() -> mgm.TransferPrediction:
    scores = pd.DataFrame({"task": TABLE["degree"] + 0.1}, index=TABLE.index)
    return mgm.predict_transfer(TABLE, scores, permutations=20, resamples=20)


PROBED = (X[::2], LABELS[::2]), (X[1::4], LABELS[1::4]), (X[3::4], LABELS[3::4])
MAKERS: dict[str, Any] = {
    "ClusterStability": lambda: mgm.cluster_stability(TABLE, resamples=10),
    "CurvatureAngles": lambda: of_columns(mgm.CurvatureAngles),
    "FewShotResult": lambda: mgm.few_shot_probe(X, LABELS, way=3, shot=2, queries=3, episodes=20),
    "IntrinsicDimension": lambda: mgm.intrinsic_dimension(
        X, estimators=("two_nn", "gride"), scales=(1, 4)
    ),
    "KnnAccuracy": lambda: mgm.knn_probe(PROBED[0], PROBED[2], k=5),
    "KnnGraph": lambda: mgm.knn_graph(X, k=5),
    "LabelAgreement": lambda: mgm.label_agreement([1, 1, 2, 2], list("aabb"), permutations=20),
    "LevinaBickel": lambda: mgm.levina_bickel(X, k=4),
    "LocalPca": lambda: mgm.local_pca(X, k=5),
    "ManifoldMetrics": lambda: mgm.manifold_metrics(X, groups=LABELS, k=10),
    "ModelClusters": lambda: mgm.cluster_models(TABLE),
    "ModelComparison": lambda: mgm.compare_models(
        *(mgm.manifold_metrics(one, groups=LABELS, k=10) for one in (X, X[:, ::-1] ** 3)),
        resamples=20,
    ),
    "ModelSimilarity": lambda: mgm.model_similarity({"a": X, "<b>": X**3}, k=5, resamples=20),
    "Monitor": monitor,
    "Multiscale": lambda: mgm.Multiscale(
        points=np.array([9, 5]),
        mean=dict.fromkeys(MEASURES, np.array([3.0, 2.0])),
        sd=dict.fromkeys(MEASURES, np.array([0.3, 0.2])),
        share=0.3,
        kernel="cosine",
    ),
    "NnkGraph": lambda: of_columns(
        mgm.NnkGraph, indices=np.array([[1], [0]]), weights=np.full((2, 1), 0.9), kernel="cosine"
    ),
    "PcaComponents": lambda: of_columns(mgm.PcaComponents, threshold=0.1),
    "ProbeResult": lambda: mgm.linear_probe(*PROBED, l2_penalties=3),
    "RidgeResult": lambda: mgm.ridge_probe(*PROBED, l2_penalties=3),
    "StudyResults": study,
    "TransferPrediction": prediction,
    "TransferScores": lambda: mgm.transfer_scores(X, LABELS),
    "TwoNN": lambda: mgm.two_nn(X, groups=LABELS),
}


def test_every_public_type_of_result_is_here() -> None:
    types = {name for name in mgm.__all__ if inspect.isclass(getattr(mgm, name))}
    assert types - NOT_RESULTS == set(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.filterwarnings("ignore")
def test_a_result_shows_itself(name: str) -> None:
    result = MAKERS[name]()
    assert isinstance(result, getattr(mgm, name)) and isinstance(result, Result)
    assert "_repr_html_" not in vars(type(result))
    line = repr(result)
    assert "\n" not in line and line.startswith(f"{name}(")
    if name != "StudyResults":
        assert len(result.to_pandas()) > 0
    shown = result._repr_html_()
    assert "<table" in shown and "<model>" not in shown and "<a>" not in shown
    pictures = re.findall(r"<svg.*?</svg>", shown, flags=re.DOTALL)
    assert pictures
    for picture in pictures:
        ElementTree.fromstring(picture)


def numbers(svg: str, tag: str, attribute: str) -> list[float]:
    return [float(node.get(attribute, "nan")) for node in ElementTree.fromstring(svg).iter(tag)]


def test_curves_are_true_to_their_values() -> None:
    svg = curve_svg([1, 10, 100], {"y": np.array([0.0, 1.0, 2.0])}, across="x", logarithmic=True)
    across, up = numbers(svg, "circle", "cx"), numbers(svg, "circle", "cy")
    # Pixels are written with one digit.
    assert np.diff(across, 2)[0] == pytest.approx(0, abs=0.21)
    assert np.diff(up, 2)[0] == pytest.approx(0, abs=0.21) and up[0] > up[2]
    nothing = curve_svg([1, 2], {"y": np.full(2, np.nan)}, across="x")
    assert nothing == "<span>no value is defined</span>"


def test_intervals_are_true_to_their_values() -> None:
    svg = intervals_svg(
        ["a", "b"],
        np.array([1.0, np.nan]),
        low=np.array([0.0, np.nan]),
        high=np.array([4.0, np.nan]),
    )
    (dot,) = numbers(svg, "circle", "cx")
    (low,), (high,) = numbers(svg, "line", "x1"), numbers(svg, "line", "x2")
    assert (dot - low) / (high - low) == pytest.approx(0.25, abs=0.01)


def test_the_matrix_is_darkest_where_largest() -> None:
    values = np.array([[1.0, 0.2], [0.2, np.nan]])
    cells = [
        node.get("fill") for node in ElementTree.fromstring(matrix_svg("ab", values)).iter("rect")
    ]
    assert cells == ["hsl(202,100%,35%)", "hsl(202,100%,95%)", "hsl(202,100%,95%)"]


def test_the_tree_merges_at_its_heights() -> None:
    linkage = np.array([[0, 1, 1.0, 2], [2, 3, 4.0, 3]])
    svg = tree_svg("abc", linkage, "abc", np.array([1, 1, 2]), cut=2.0)
    paths = [node.get("d", "") for node in ElementTree.fromstring(svg).iter("path")]
    heights = [float(re.findall(r"H([\d.]+)", path)[0]) for path in paths]
    (cut,) = numbers(svg, "line", "x1")
    # Leaves stand at height 0, where the first merge begins.
    zero = float(re.findall(r"M([\d.]+)", paths[0])[0])
    assert (heights[0] - zero) * 4 == pytest.approx(heights[1] - zero, abs=0.5)
    assert heights[0] < cut < heights[1]
