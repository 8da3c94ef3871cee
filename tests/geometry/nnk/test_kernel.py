"""Kernels against their definitions, and what is refused."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.geometry.nnk.kernel import check_bandwidth, check_kernel, gaussian, shifted_cosine
from tests.geometry.clouds import cloud, squared_gaps, unit


def test_shifted_cosine_is_half_of_one_plus_the_cosine():
    points = unit(cloud("random", n=20))
    expected = (1 + points @ points.T) / 2
    got = shifted_cosine(jnp.asarray(squared_gaps(points)))
    np.testing.assert_allclose(np.asarray(got), expected, atol=1e-6)


def test_gaussian_is_the_exponential_of_the_scaled_squared_distance():
    got = gaussian(jnp.array([[0.0, 2.0], [8.0, 32.0]]), jnp.array([[1.0], [4.0]]))
    np.testing.assert_allclose(np.asarray(got), np.exp([[0, -1], [-0.25, -1]]), rtol=1e-6)


def test_one_bandwidth_serves_all_points_and_none_stays_none():
    assert check_bandwidth(2.0, 3, kernel="gaussian").tolist() == [2.0, 2.0, 2.0]
    assert check_bandwidth(None, 3, kernel="cosine") is None


@pytest.mark.parametrize(
    ("bandwidth", "kernel", "message"),
    [
        (1.0, "cosine", "belongs to kernel='gaussian'"),
        (0.0, "gaussian", "above 0"),
        (float("nan"), "gaussian", "finite"),
        (np.ones(4), "gaussian", r"shape \(4,\)"),
    ],
)
def test_impossible_bandwidths_are_refused(bandwidth, kernel, message):
    with pytest.raises(InputError, match=message):
        check_bandwidth(bandwidth, 3, kernel=kernel)


def test_an_unknown_kernel_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"cosine.*gaussian.*'linear'"):
        check_kernel("linear")
