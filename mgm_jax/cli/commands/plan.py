"""``mgm plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mgm_jax.cli.options import (
    CacheGb,
    Data,
    Out,
    TransformsFrom,
    bytes_of,
    import_transforms,
)
from mgm_jax.cli.published import missing_of, published_of
from mgm_jax.errors import InputError
from mgm_jax.interrupts import stoppable


def plan(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")],
    out: Out = None,
    trial: Annotated[
        bool, typer.Option(help="Measure the speed of this host for the time that it will take.")
    ] = True,
    transforms_from: TransformsFrom = None,
    data: Data = None,
    cache_gb: CacheGb = 64,
) -> None:
    """Say what a study will cost before it runs: what is fetched, passes, disk, hours.

    Published encoders that are not at hand are planned with random weights. Checkpoints are
    converted into the output folder, which the run need not do again; nothing else is written.
    """
    from mgm_jax.conversion import convert_entry, open_model
    from mgm_jax.data_folder import with_data
    from mgm_jax.study import read_study
    from mgm_jax.sweep import plan_study

    import_transforms(transforms_from)
    parsed, notes = with_data(read_study(study), data)
    base = study.parent.resolve()
    names = published_of(parsed)
    missing = missing_of(names)
    where = out or parsed.output
    if where is None:
        raise InputError("give -o OUT, or output: in the study file")
    with stoppable():
        result = plan_study(
            parsed,
            where if out is not None else str(base / where),
            base=base,
            convert=convert_entry,
            open_model=open_model,
            missing=missing,
            trial=trial,
            cache_limit=bytes_of(cache_gb),
        )
    typer.echo("\n".join((*result.lines(), *notes)))
