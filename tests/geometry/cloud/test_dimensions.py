"""Several estimators of dimension in one call: against references, and on known manifolds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist
from scipy.special import beta

import mgm_jax as mgm
from mgm_jax.errors import InputError
from mgm_jax.geometry.cloud.gride import ratio_fit
from mgm_jax.geometry.cloud.shared_neighbours import overlap_error
from mgm_jax.geometry.cloud.spanning_trees import tree_dimension, tree_length


def flat(m: int, n: int, *, seed: int = 0) -> np.ndarray:
    """Normal points of m dimensions, turned into twelve."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((12, m)))[0]
    return rng.standard_normal((n, m)) @ frame.T


def sorted_distances(x: np.ndarray) -> np.ndarray:
    # What is searched are points of float32 less their mean.
    return np.sort(cdist(x, x), axis=1)[:, 1:]


@pytest.mark.parametrize("n1", [1, 2, 8])
def test_gride_is_the_maximum_of_its_likelihood(n1: int) -> None:
    x = flat(3, 200)
    distances, n2 = sorted_distances(x), 2 * n1
    logs = np.log(distances[:, n2 - 1] / distances[:, n1 - 1])

    def loss(d: float) -> float:
        """Less the logarithm of the density of Denti et al. (2022), equation 5."""
        density = np.log(d) + (n2 - n1 - 1) * np.log(np.expm1(d * logs))
        return -np.sum(density - np.log(beta(n2 - n1, n1)) - ((n2 - 1) * d + 1) * logs)

    best = minimize_scalar(loss, bounds=(0.5, 20), method="bounded", options={"xatol": 1e-9}).x
    result = mgm.intrinsic_dimension(x, estimators=["gride"], scales=[n1])
    assert result.dimension[0] == pytest.approx(best, rel=1e-5)
    assert result.radius[0] == pytest.approx(distances[:, n2 - 1].mean(), rel=1e-5)


def test_the_influence_is_what_leaving_out_a_point_does() -> None:
    distances = sorted_distances(flat(3, 400))
    near, far = distances[:, 3], distances[:, 7]
    fit = ratio_fit(near, far, n1=4, n2=8)
    for row in (0, 17, 200):
        rest = np.arange(400) != row
        without = ratio_fit(near[rest], far[rest], n1=4, n2=8).dimension
        assert fit.dimension - without == pytest.approx(fit.influence[row], abs=2e-4)
    assert fit.influence.sum() == pytest.approx(0, abs=1e-8)


def test_the_error_counts_what_neighbourhoods_share() -> None:
    rng = np.random.default_rng(0)
    neighbours = np.array([rng.permutation(np.delete(np.arange(40), i))[:6] for i in range(40)])
    influence = rng.standard_normal(40)
    sets = [{i, *row} for i, row in enumerate(neighbours.tolist())]
    shares = np.array([[len(one & other) / 7 for other in sets] for one in sets])
    expected = np.sqrt(influence @ shares @ influence)
    assert overlap_error(influence, neighbours) == pytest.approx(expected)


def test_intervals_are_as_wide_as_estimates_spread() -> None:
    """Errors of independent points would be half as large at 32 neighbours."""
    result = [
        mgm.intrinsic_dimension(
            flat(2, 300, seed=seed), estimators=("two_nn", "levina_bickel", "gride"), scales=(1, 4)
        )
        for seed in range(40)
    ]
    spread = np.std([one.dimension for one in result], axis=0)
    error = np.mean([(one.high - one.low) / (2 * 1.96) for one in result], axis=0)
    # A standard deviation of 40 is right within 11 % in two of three cases.
    assert np.all(error > 0.7 * spread) and np.all(error < 1.8 * spread)
    centre = np.mean([one.dimension for one in result], axis=0)
    covers = np.mean([(one.low < centre) & (centre < one.high) for one in result], axis=0)
    assert np.all(covers >= 0.85)


def test_trees_are_those_of_scipy() -> None:
    x = flat(3, 90)
    distances = cdist(x, x)
    assert tree_length(distances**2) == pytest.approx(minimum_spanning_tree(distances).sum())


def test_tree_dimension_of_a_line_is_one() -> None:
    line = np.linspace(0, 1, 128)[:, None]
    assert tree_dimension((line - line.T) ** 2, rng=np.random.default_rng(0)) == pytest.approx(
        1, abs=0.1
    )
    # Simplex: the length is proportional to n - 1, faster than any power below 1 at these sizes.
    assert np.isinf(tree_dimension(2.0 * (1 - np.eye(128)), rng=np.random.default_rng(0)))


@pytest.mark.parametrize(("m", "tolerance"), [(1, 0.25), (2, 0.25), (5, 0.6)])
def test_all_estimators_find_known_dimensions(m: int, tolerance: float) -> None:
    result = mgm.intrinsic_dimension(flat(m, 700), scales=(1, 2, 4))
    table = result.to_pandas()
    assert table["estimator"].tolist() == ["two_nn", "levina_bickel", *["gride"] * 3, "mst"]
    assert (table["dimension"] - m).abs().max() < tolerance
    assert (table["low"] < table["dimension"]).all()
    assert (table["dimension"] < table["high"]).all()
    plain = mgm.two_nn(flat(m, 700)).dimension[0], mgm.levina_bickel(flat(m, 700)).average[0]
    assert result.dimension[:2] == pytest.approx(plain, rel=1e-6)


def test_noise_shows_at_small_scales_alone() -> None:
    """A circle with noise in ten dimensions: near neighbours see the noise, far ones the circle."""
    rng = np.random.default_rng(0)
    angle = rng.random(1500) * 2 * np.pi
    x = np.concatenate([np.cos(angle)[:, None], np.sin(angle)[:, None], np.zeros((1500, 8))], 1)
    result = mgm.intrinsic_dimension(x + 0.01 * rng.standard_normal(x.shape), estimators="gride")
    assert result.dimension[0] > 4 and result.dimension[-1] < 2


def test_repeats_are_left_out_and_containers_taken() -> None:
    x = flat(2, 200)
    plain = mgm.intrinsic_dimension(x)
    repeated = mgm.intrinsic_dimension(pd.DataFrame(np.concatenate([x, x[:30]])))
    assert (repeated.points, repeated.left_out) == (200, 30)
    np.testing.assert_allclose(repeated.dimension[:-1], plain.dimension[:-1], rtol=1e-4)
    assert repr(plain).startswith("IntrinsicDimension(200 points: two_nn ")


def test_what_cannot_be_estimated_is_refused() -> None:
    x = flat(2, 50)
    with pytest.raises(InputError, match=r"at least 128 distinct points for 'mst'; got 50"):
        mgm.intrinsic_dimension(x)
    with pytest.raises(InputError, match="more than 60 distinct points for 'levina_bickel'"):
        mgm.intrinsic_dimension(x, estimators=["levina_bickel"], k=60)
    with pytest.raises(InputError, match="two_nn, levina_bickel, gride, mst; got fractal"):
        mgm.intrinsic_dimension(x, estimators=["fractal"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="level must be between 0 and 1"):
        mgm.intrinsic_dimension(x, estimators=["two_nn"], level=95)
    alike = mgm.intrinsic_dimension(np.eye(12), estimators=["two_nn", "levina_bickel"], k=5)
    assert np.isnan(alike.dimension).all()


def test_measures_of_a_cloud_have_public_names_and_take_tables() -> None:
    x = flat(3, 60)
    views, images = np.repeat(x, 2, axis=0), np.repeat(np.arange(60), 2)
    for measure in (mgm.rankme, mgm.alpha_req, mgm.nesum, mgm.uniformity):
        assert measure(pd.DataFrame(x)) == pytest.approx(measure(x), rel=1e-5)
    assert mgm.alignment(views, images) == 0 and mgm.lidar(views, images) > 2
    assert repr(mgm.two_nn(x)).startswith("TwoNN(dimension ")
    groups = np.arange(60) % 2
    assert repr(mgm.levina_bickel(x, k=5, groups=groups)).endswith(" in 2 groups)")
