"""The published encoders that a study wants, and those that are not at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mgm_jax.errors import InputError, name_some

if TYPE_CHECKING:
    from mgm_jax.encoders.catalogue.published import Published
    from mgm_jax.study import Study


def published_of(study: Study) -> list[str]:
    """Names of the published encoders whose weights a study wants."""
    from mgm_jax.encoders.catalogue.published import is_published_source, published_sources

    return [
        name
        for entry in study.encoders
        if is_published_source(entry.source) and entry.init is None
        for name in published_sources(entry.source)
    ]


def missing_of(names: list[str]) -> tuple[Published, ...]:
    """Which of some published encoders have to be fetched first."""
    if not names:
        return ()
    from mgm_converters.reading.files.source import not_at_hand

    return not_at_hand(names)


def refuse_missing(study: Study) -> None:
    """Say what has to be fetched first, before anything else is done."""
    names = published_of(study)
    if missing := missing_of(names):
        size = sum(4 * one.parameters for one in missing) / 1e9
        raise InputError(
            f"encoders: {len(missing)} of {len(names)} published encoders are not in the cache: "
            f"{name_some(one.name for one in missing)}. Add --download to fetch them (about "
            f"{size:.1f} GB), or --offline to go on without them; `mgm plan` says more"
        )
