"""Numbers that ``docs/concepts.md`` quotes are what the code gives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mgm_jax.metrics import manifold_metrics

CONCEPTS = Path(__file__).parents[2] / "docs" / "concepts.md"


@pytest.mark.nightly
def test_degrees_of_flat_manifolds():
    quoted = re.search(r"it is ([\d., ]+) and ([\d.]+) \(means of 500", CONCEPTS.read_text("utf-8"))
    assert quoted
    degrees = []
    for dimension in (2, 5, 10, 20, 50):
        random = np.random.default_rng(0)
        inside = random.normal(size=(500, dimension)) / np.sqrt(dimension)
        frame = np.linalg.qr(random.normal(size=(512, dimension + 1)))[0]
        points = inside @ frame[:, :-1].T + 5 * frame[:, -1]
        degrees.append(manifold_metrics(points, k=50).nnk_degree.mean())
    expected = [float(value) for value in (*quoted[1].split(", "), quoted[2])]
    assert degrees == pytest.approx(expected, abs=0.06)
