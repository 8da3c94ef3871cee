"""Local PCA on the host against singular values, and the ties and zeros in between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.local.spectrum import centred_gram, local_spectrum
from tests.geometry.clouds import KINDS, cloud, unit


def _spectrum(gram: np.ndarray, mask: np.ndarray, threshold: float = 0.95):
    with double_precision():
        centred = np.asarray(centred_gram(gram, mask))
    return local_spectrum(centred, threshold=threshold)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_covariance(kind):
    points = unit(cloud(kind))[: 8 * 14].reshape(8, 14, -1)
    differences = points[:, 1:] - points[:, :1]
    gram = differences @ differences.transpose(0, 2, 1)
    counts = np.array([1, 2, 3, 5, 8, 11, 12, 13])
    got = _spectrum(gram, np.arange(13) < counts[:, None], threshold=0.9)
    for point, count in enumerate(counts):
        candidates = points[point, 1 : 1 + count]
        singular = np.linalg.svd(candidates - candidates.mean(0), compute_uv=False)
        expected = np.zeros(13)
        expected[: singular.size] = singular[:13] ** 2
        scale = max(expected[0], 1e-9)
        np.testing.assert_allclose(got.spectrum[point], expected, atol=1e-12 * scale + 1e-15)
        if count > 2:
            short = np.cumsum(expected) / expected.sum() < 0.9 - 1e-12
            assert got.dimension[point] == short.sum() + 1
            ratio = expected.sum() ** 2 / (expected**2).sum()
            assert got.participation_ratio[point] == pytest.approx(ratio, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), absent=st.integers(0, 4))
def test_absent_candidates_and_the_origin_do_not_matter(seed: int, absent: int) -> None:
    points = np.random.default_rng(seed).standard_normal((7, 4))
    mask = np.arange(7) < 7 - absent
    shifted = np.stack([points, points + 10, np.where(mask[:, None], points, 99)])
    got = _spectrum(shifted @ shifted.transpose(0, 2, 1), np.stack([mask] * 3), threshold=0.9)
    expected = np.zeros(7)
    expected[:4] = np.linalg.eigvalsh(np.cov(points[mask].T, bias=True))[::-1] * mask.sum()
    np.testing.assert_allclose(got.spectrum, np.stack([expected] * 3), atol=1e-11)
    assert len(set(got.dimension.tolist())) == 1


def test_equal_directions_settle_at_the_threshold():
    # 21 corners of a regular simplex spread evenly over 20 directions; 19 hold exactly 0.95.
    gram = np.eye(21)[None]
    got = _spectrum(gram, np.ones((1, 21), bool))
    assert got.dimension.tolist() == [19]
    np.testing.assert_allclose(got.participation_ratio, [20])


def test_candidates_that_coincide_have_no_dimension():
    gram = np.stack([np.full((4, 4), 0.3), np.zeros((4, 4)), np.eye(4)])
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
    got = _spectrum(gram, mask)
    assert got.dimension.tolist() == [0, 0, 0]
    assert got.participation_ratio.tolist() == [0, 0, 0]
