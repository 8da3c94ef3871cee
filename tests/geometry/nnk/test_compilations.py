"""What the NNK graph compiles: nothing for other numbers of groups, no idle fallback."""

from __future__ import annotations

import numpy as np
import pytest

from mgm_jax.geometry.nnk import graph as nnk
from mgm_jax.geometry.nnk.graph import nnk_graph
from tests.compilations import compiled


def test_more_groups_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Batches are shared out evenly.
    monkeypatch.setattr(nnk, "workers_for", lambda mesh: 2)
    random = np.random.default_rng(0)
    nnk._group_weights.clear_cache()
    nnk_graph(random.normal(size=(32 * 16, 9)), groups=np.arange(512) % 32)
    before = nnk._group_weights._cache_size()
    with compiled() as programs:
        nnk_graph(random.normal(size=(64 * 16, 9)), groups=np.arange(1024) % 64)
    assert not programs
    # One program without the fallback, and one of a single group where a point needed it.
    assert before <= 2


@pytest.mark.slow
def test_the_fallback_is_compiled_where_a_point_needs_it() -> None:
    nnk._group_weights.clear_cache()
    options = dict(groups=np.arange(240) // 40, k=12)
    random = np.random.default_rng(0)
    nnk_graph(random.normal(size=(240, 64)), **options)
    assert nnk._group_weights._cache_size() == 1
    # Points of three dimensions depend on each other, more than the fast way can settle.
    flat = nnk_graph(random.normal(size=(240, 3)) @ random.normal(size=(3, 64)), **options)
    assert nnk._group_weights._cache_size() == 2
    assert flat.kkt.max() < 1e-9
