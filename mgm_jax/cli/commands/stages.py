"""``mgm embed``, ``measure`` and ``probe``: a run that ends early."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mgm_jax.cli.execute import run_part
from mgm_jax.cli.options import CacheGb, Out, RunOptions, Work, bytes_of
from mgm_jax.cli.terminal import say_failures, say_notes
from mgm_jax.errors import InputError


def embed(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml")],
    out: Out = None,
    work: Work = None,
    cache_gb: CacheGb = 64,
) -> None:
    """First stage of run: convert, make views, embed, store."""
    _run_until(study, out, work, RunOptions(until="embed", cache_limit=bytes_of(cache_gb)))


def measure(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml")],
    out: Out = None,
    work: Work = None,
) -> None:
    """First two stages of run: embed what is missing, measure, write the tables."""
    _run_until(study, out, work, RunOptions(until="measure"))


def probe(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml")],
    out: Out = None,
    work: Work = None,
) -> None:
    """All stages of run but the report: embed, measure, then probes and scores on the targets."""
    from mgm_jax.study import read_study

    made = read_study(study)
    if made.transfer is None:
        raise InputError(f"{study}: names nothing to probe; add transfer: with targets")
    result = run_part(made, out, file=study, work=work, options=RunOptions())
    typer.echo(f"{result.transfers} rows in {result.out / 'transfer.parquet'}")
    say_notes(result.notes)
    say_failures(result.failures)


def _run_until(study: Path, out: str | None, work: Path | None, options: RunOptions) -> None:
    from mgm_jax.study import read_study

    result = run_part(read_study(study), out, file=study, work=work, options=options)
    say_notes(result.notes)
    say_failures(result.failures)
