"""Estimators for scikit-learn: its own checks, and the functions they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.manifold import SpectralEmbedding
from sklearn.neighbors import KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import mgm_jax as mgm
from mgm_jax.sklearn import Gride, KNNGraph, LevinaBickel, NNKGraph, TwoNN


# Among what is checked are rows of zeros, which have no cosine.
@parametrize_with_checks(
    [NNKGraph(k=5, kernel="gaussian"), KNNGraph(metric="euclidean"), LevinaBickel()]
)
@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn_pass(estimator, check) -> None:
    check(estimator)


# They differ from LevinaBickel in what they ask of one function.
@pytest.mark.nightly
@parametrize_with_checks([TwoNN(), Gride()])
@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn_pass_for_other_dimensions(estimator, check) -> None:
    check(estimator)


def cloud(n: int = 80) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 6)).astype(np.float32)


@pytest.mark.parametrize("kernel", ["cosine", "gaussian"])
def test_nnk_of_the_fitted_points_is_the_graph(kernel: str) -> None:
    x = cloud()
    x = np.concatenate([x, x[:3]])
    graph = mgm.nnk_graph(x, k=5, kernel=kernel, duplicates="drop")  # type: ignore[arg-type]
    dense = np.zeros((83, 83))
    rows = np.broadcast_to(np.arange(83)[:, None], graph.indices.shape)
    np.add.at(dense, (rows, graph.indices), graph.weights)
    result = NNKGraph(k=5, kernel=kernel).fit_transform(x)  # type: ignore[arg-type]
    np.testing.assert_allclose(result.toarray(), dense, atol=1e-9)
    assert result.diagonal().max() == 0


def test_nnk_of_new_points_is_a_row_of_the_graph_with_them() -> None:
    x = cloud()
    fitted = NNKGraph(k=5).fit(x[:-1])
    whole = mgm.nnk_graph(x, k=5)
    expected = np.zeros(79)
    expected[whole.indices[-1]] = whole.weights[-1]
    np.testing.assert_allclose(fitted.transform(x[-1:]).toarray()[0], expected, atol=1e-9)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_knn_is_that_of_scikit_learn(metric: str) -> None:
    x = cloud()
    theirs = KNeighborsTransformer(mode="distance", n_neighbors=4, metric=metric)
    own = KNNGraph(k=4, metric=metric)  # type: ignore[arg-type]
    for points in (x[:50], x[50:]):
        expected = theirs.fit(x[:50]).transform(points).toarray()
        np.testing.assert_allclose(own.fit(x[:50]).transform(points).toarray(), expected, atol=2e-6)


def test_graphs_feed_what_takes_them_precomputed() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(40, 3)) + centre for centre in (0, 30)])
    pipeline = make_pipeline(
        KNNGraph(k=20, metric="euclidean"), DBSCAN(eps=5, min_samples=3, metric="precomputed")
    )
    labels = pipeline.fit_predict(x)
    assert len({*labels[:40]}) == len({*labels[40:]}) == 1 and labels[0] != labels[-1]
    weights = NNKGraph(k=5).fit_transform(x)
    embedding = SpectralEmbedding(n_components=1, affinity="precomputed", random_state=0)
    assert embedding.fit_transform((weights + weights.T).toarray()).shape == (80, 1)


def test_dimensions_are_those_of_the_functions() -> None:
    x = cloud(300)
    two_nn = TwoNN().fit(x)
    assert two_nn.dimension_ == pytest.approx(mgm.two_nn(x).dimension[0])
    assert two_nn.low_ < two_nn.dimension_ < two_nn.high_
    assert LevinaBickel(k=9).fit(x).dimension_ == pytest.approx(
        mgm.levina_bickel(x, k=9).average[0]
    )
    result = mgm.intrinsic_dimension(x, estimators=["gride"], scales=[4])
    assert Gride(n1=4).fit(x).dimension_ == result.dimension[0]


@pytest.mark.parametrize("estimator", [NNKGraph, KNNGraph])
@pytest.mark.parametrize("k", [0, 2.0, "3"])
def test_k_must_be_a_whole_number(estimator, k) -> None:
    points = np.random.default_rng(0).normal(size=(12, 3))
    with pytest.raises(mgm.InputError, match="k must be a whole number of at least 1"):
        estimator(k=k).fit(points).transform(points)


def test_tensors_that_require_gradients_are_taken() -> None:
    torch = pytest.importorskip("torch")
    x = cloud()
    held = torch.tensor(x, requires_grad=True)
    for estimator in (KNNGraph(k=3), TwoNN()):
        np.testing.assert_array_equal(_fitted(estimator, held), _fitted(estimator, x), strict=True)


def _fitted(estimator: KNNGraph | TwoNN, x: object) -> np.ndarray:
    fitted = estimator.fit(x)
    if isinstance(fitted, TwoNN):
        return np.asarray(fitted.dimension_)
    return fitted.transform(x).toarray()
