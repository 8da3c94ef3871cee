"""Values of the losses against their formulas, written out in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.zoo.methods.barlow_twins import cross_correlation_loss
from benchmarks.zoo.methods.mae import standardise
from benchmarks.zoo.methods.moco import info_nce
from benchmarks.zoo.methods.simclr import nt_xent
from benchmarks.zoo.methods.simsiam import negative_cosine
from benchmarks.zoo.methods.swav import cross_entropy, sinkhorn
from benchmarks.zoo.methods.vicreg import covariance_term, variance_term

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8, deadline=None)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@few
@given(seeds)
def test_nt_xent(seed: int) -> None:
    first, second = draw(seed, 2, 6, 5)
    z, n = unit(np.concatenate([first, second])), 12
    terms = []
    for i in range(n):
        partner = (i + 6) % n
        others = sum(np.exp(z[i] @ z[k] / 0.3) for k in range(n) if k != i)
        terms.append(-np.log(np.exp(z[i] @ z[partner] / 0.3) / others))
    assert float(nt_xent(first, second, temperature=0.3)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_nt_xent_of_collapsed_projections_is_the_logarithm_of_the_others() -> None:
    same = np.ones((6, 5), np.float32)
    assert float(nt_xent(same, same, temperature=0.2)) == pytest.approx(np.log(11), rel=1e-5)


@few
@given(seeds)
def test_info_nce(seed: int) -> None:
    query, key = unit(draw(seed, 2, 6, 5))
    queue = unit(draw(seed + 1, 9, 5))
    terms = []
    for q, k in zip(query, key, strict=True):
        right = np.exp(q @ k / 0.2)
        terms.append(-np.log(right / (right + np.exp(queue @ q / 0.2).sum())))
    value = info_nce(*(np.float32(a) for a in (query, key, queue)), temperature=0.2)
    assert float(value) == pytest.approx(np.mean(terms), rel=1e-4)


@few
@given(seeds)
def test_negative_cosine(seed: int) -> None:
    p, z = draw(seed, 2, 7, 4)
    expected = -np.mean(np.sum(unit(p) * unit(z), axis=1))
    assert float(negative_cosine(p, z)) == pytest.approx(expected, abs=1e-6)


@few
@given(seeds)
def test_cross_correlation(seed: int) -> None:
    first, second = draw(seed, 2, 40, 5)
    c = np.corrcoef(first, second, rowvar=False)[:5, 5:]
    expected = np.sum((1 - np.diag(c)) ** 2) + 0.1 * (np.sum(c**2) - np.sum(np.diag(c) ** 2))
    value = float(cross_correlation_loss(np.float32(first), np.float32(second), redundancy=0.1))
    assert value == pytest.approx(expected, rel=1e-3)


@few
@given(seeds, st.floats(0.05, 3.0))
def test_vicreg_terms(seed: int, scale: float) -> None:
    z = scale * draw(seed, 30, 6)
    deviation = np.sqrt(z.var(axis=0, ddof=1) + 1e-4)
    assert float(variance_term(np.float32(z))) == pytest.approx(
        np.maximum(0, 1 - deviation).mean(), abs=1e-5
    )
    c = np.cov(z, rowvar=False)
    expected = (np.sum(c**2) - np.sum(np.diag(c) ** 2)) / 6
    assert float(covariance_term(np.float32(z))) == pytest.approx(expected, rel=1e-3)


@few
@given(seeds, st.integers(1, 4))
def test_sinkhorn_is_the_iteration_on_exponentials(seed: int, rounds: int) -> None:
    scores = np.tanh(draw(seed, 12, 4))
    q = np.exp(scores / 0.2)
    for _ in range(rounds):
        q /= q.sum(axis=0)
        q /= q.sum(axis=1, keepdims=True)
    got = np.asarray(sinkhorn(np.float32(scores), epsilon=0.2, rounds=rounds))
    np.testing.assert_allclose(got, q, rtol=2e-4, atol=1e-6)


def test_sinkhorn_fills_clusters_evenly_in_the_end() -> None:
    # One cluster is everybody's favourite.
    scores = np.tanh(draw(0, 12, 4)) * 0.1 + np.array([1.0, 0, 0, 0])
    even = np.asarray(sinkhorn(np.float32(scores), epsilon=0.05, rounds=200)).sum(axis=0)
    uneven = np.asarray(sinkhorn(np.float32(scores), epsilon=0.05, rounds=0)).sum(axis=0)
    np.testing.assert_allclose(even, 3.0, rtol=1e-3)
    assert uneven[0] > 11.9


@few
@given(seeds)
def test_cross_entropy(seed: int) -> None:
    logits, other = draw(seed, 2, 5, 7)
    target = np.exp(other) / np.exp(other).sum(axis=1, keepdims=True)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.mean(np.sum(target * np.log(softmax), axis=1))
    value = cross_entropy(np.float32(target), np.float32(logits))
    assert float(value) == pytest.approx(expected, rel=1e-5)


@few
@given(seeds)
def test_patches_are_standardised(seed: int) -> None:
    patches = 3 * draw(seed, 2, 4, 12) + 1
    got = np.asarray(standardise(np.float32(patches)))
    expected = (patches - patches.mean(-1, keepdims=True)) / patches.std(-1, keepdims=True, ddof=1)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
