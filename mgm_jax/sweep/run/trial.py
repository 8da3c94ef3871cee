"""A short trial on this host: how many views a second, how long one cell takes to measure."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mgm_jax.embeddings import EmbeddingStore, embed, manifest_for
from mgm_jax.encoders.any_encoder import AnyEncoder
from mgm_jax.features import StoredFeatures
from mgm_jax.metrics import manifold_metrics
from mgm_jax.progress import progress
from mgm_jax.sweep.plan.cells import Cell
from mgm_jax.sweep.plan.forecast import network_of
from mgm_jax.sweep.plan.workload import Workload

#: Views of one batch of the trial.
VIEWS = 32
# Points of the largest group that are measured for the time of a cell.
_POINTS = 2048


def trial(work: Workload) -> tuple[dict[str, float], float]:
    """Measure the speed of every network of a study, and of measuring.

    The first batch of a network compiles and is not counted; images are read and views are made
    as in the run. Measuring is timed on random points with the groups of a cell.

    Args:
        work: the study; nothing is left in its output folder.

    Returns:
        Views a second by :func:`~mgm_jax.sweep.plan.forecast.network_of`, and seconds a cell.
    """
    networks: dict[str, tuple[AnyEncoder, Cell]] = {}
    for cell in work.cells:
        encoder = cell.subject.encoder
        if not isinstance(encoder, StoredFeatures):
            # With augmentation, where there is some: its cells come last.
            networks[network_of(encoder)] = encoder, cell
    with progress("trial", total=len(networks) + 1, unit="network") as bar:
        rates = {}
        for name, (encoder, cell) in networks.items():
            rates[name] = _rate(encoder, cell)
            bar.advance(1)
        seconds = _seconds_a_cell(work)
        bar.advance(1)
    return rates, seconds


def _rate(encoder: AnyEncoder, cell: Cell) -> float:
    count = min(len(cell.plan.indices), VIEWS)
    views = max(1, VIEWS // count)
    plan = replace(cell.plan, indices=cell.plan.indices[:count], views=views, chunk_images=count)
    source = cell.images.source
    taken = []
    # The same work twice: the first time compiles, the second counts.
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            manifest = manifest_for(encoder, source, plan, tap=cell.tap)
            store = EmbeddingStore.open(Path(folder), manifest)
            begin = time.perf_counter()
            embed([encoder], source, plan, [store], on_error="skip", batch_views=VIEWS)
            taken.append(time.perf_counter() - begin)
    return plan.rows / taken[-1]


def _seconds_a_cell(work: Workload) -> float:
    cells = [cell for cell in work.cells if work.is_measured(cell)]
    if not cells:
        return 0.0
    each = {}
    for cell in cells:
        # Cells of one plan and width cost the same.
        key = (cell.images.name, cell.plan, cell.manifest.width)
        if key not in each:
            each[key] = _measuring(cell, work)
    own = [each[cell.images.name, cell.plan, cell.manifest.width] for cell in cells]
    return float(np.mean(own))


def _measuring(cell: Cell, work: Workload) -> float:
    _, codes, sizes = np.unique(cell.groups(), return_inverse=True, return_counts=True)
    # Whole groups of the cell, as many as make about so many points; one at least.
    kept = np.cumsum(sizes) <= max(_POINTS, sizes[0])
    rows = np.flatnonzero(kept[codes] & (sizes[codes] > 2))
    if not rows.size:
        return 0.0
    points = np.random.default_rng(0).standard_normal((rows.size, cell.manifest.width))
    options = work.study.metrics
    taken = []
    for _ in range(2):
        begin = time.perf_counter()
        manifold_metrics(
            points.astype(np.float32), groups=codes[rows], k=None, kernel=options.kernel
        )
        taken.append(time.perf_counter() - begin)
    return taken[-1] * len(codes) / rows.size
