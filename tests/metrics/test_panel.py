"""The panel of baseline metrics against plain formulas and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.metrics import panel as panel_of
from tests.geometry.clouds import cloud, squared_gaps, unit


def test_values_are_those_of_the_definitions():
    points = cloud("relu", n=60)[:, :50]
    values = panel_of(points)
    placed = unit(points)
    gaps = squared_gaps(placed)
    pairs = ~np.eye(60, dtype=bool)
    singular = np.linalg.svd(points.astype(np.float64), compute_uv=False)
    share = singular / singular.sum() + 1e-7
    eigenvalues = np.linalg.eigvalsh(np.cov(points.astype(np.float64).T))
    assert values.rankme == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-4)
    assert values.nesum == pytest.approx(eigenvalues.sum() / eigenvalues.max(), rel=1e-4)
    assert values.uniformity == pytest.approx(np.log(np.exp(-2 * gaps[pairs]).mean()), abs=1e-4)
    assert values.mean_cosine == pytest.approx((placed @ placed.T)[pairs].mean(), abs=1e-6)
    tenth = np.sqrt(np.sort(gaps, axis=1)[:, 10])
    assert values.typical_distance == pytest.approx(np.median(tenth), abs=1e-6)


def test_few_points_take_the_farthest_there_is():
    assert panel_of(np.eye(3)).typical_distance == pytest.approx(2**0.5, abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*")
def test_a_collapsed_encoder_shows_in_every_metric():
    random = np.random.default_rng(0)
    spread = panel_of(random.normal(size=(40, 32)))
    collapsed = panel_of(random.normal(size=32) + 1e-3 * random.normal(size=(40, 32)))
    assert collapsed.rankme < 2 < spread.rankme
    assert collapsed.mean_cosine > 0.999 and abs(spread.mean_cosine) < 0.1
    assert collapsed.typical_distance < 0.01 < spread.typical_distance
    assert collapsed.uniformity > -0.01 > spread.uniformity


def test_forms_of_the_panel():
    values = panel_of(cloud("random", n=30))
    assert values.to_pandas().iloc[0].to_dict() == values.to_dict()
    assert "typical_distance" in values._repr_html_()


def test_too_few_points_are_refused():
    with pytest.raises(InputError, match="at least 3 rows"):
        panel_of(np.eye(2))
