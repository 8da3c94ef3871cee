"""The forecast of a study, published encoders that are not at hand included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mgm_jax.encoders.catalogue.published import (
    Published,
    is_published_source,
    published_sources,
)
from mgm_jax.images import CACHE_LIMIT
from mgm_jax.study import EncoderEntry, Study
from mgm_jax.sweep.plan.forecast import Forecast, forecast
from mgm_jax.sweep.plan.openers import Openers
from mgm_jax.sweep.plan.workload import prepare
from mgm_jax.sweep.run.outputs import refuse_url
from mgm_jax.sweep.run.trial import trial as measure
from mgm_jax.sweep.subjects import Convert, OpenModel


def plan_study(
    study: Study,
    out: str | Path,
    *,
    base: str | Path = ".",
    convert: Convert | None = None,
    open_model: OpenModel | None = None,
    missing: Sequence[Published] = (),
    trial: bool = True,
    cache_limit: int = CACHE_LIMIT,
) -> Forecast:
    """Say what a study will cost, and what of it is there.

    Args:
        study: what is to be done.
        out: folder of the results, which need not exist.
        base: folder that relative paths of the study start from.
        convert: turns a checkpoint into a folder of Flax weights below ``out``.
        open_model: opens models of other libraries.
        missing: published encoders that are not at hand; random weights stand for theirs.
        trial: whether to measure the speed of this host.
        cache_limit: bytes that decoded images may take below ``out``.

    Returns:
        The forecast.

    Raises:
        InputError: something the study names does not exist.
    """
    refuse_url(out)
    names = {one.name for one in missing}
    entries = tuple(one for entry in study.encoders for one in _planned(entry, names))
    planned = study.model_copy(update={"encoders": entries})
    openers = Openers(base=Path(base), convert=convert, open_model=open_model)
    work = prepare(planned, Path(out), openers, cache_limit=cache_limit)
    rates, seconds = measure(work) if trial else ({}, 0.0)
    return forecast(work, fetches=missing, rates=rates, cell_seconds=seconds)


def _planned(entry: EncoderEntry, missing: set[str]) -> Iterator[EncoderEntry]:
    """The entry, or one a published encoder where some of them are missing."""
    if not is_published_source(entry.source) or entry.init is not None:
        yield entry
        return
    names = published_sources(entry.source)
    if missing.isdisjoint(names):
        yield entry
        return
    for name in names:
        label = name if entry.name is None else f"{entry.name}-{name}"
        known = {"name": label, "source": f"published:{name}"}
        control = {"name": label, "source": name, "init": "random"}
        yield entry.model_copy(update=control if name in missing else known)
