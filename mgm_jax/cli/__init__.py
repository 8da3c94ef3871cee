"""The ``mgm`` commands: thin, each one call into the rooms below and a table for people.

The ``commands`` are what a user types. ``run`` and the ``stages`` take their ``options`` and end in
``execute``, which opens the folder, puts paths for ``data:`` and ``published:`` sources, runs the
study and tells in the ``terminal`` what came of it; ``plan`` says what that would cost.
``first_look`` makes the study of those who wrote none. ``ending`` turns errors into one message and
a status.
"""

from __future__ import annotations

from typing import Annotated

import typer

from mgm_jax import __version__
from mgm_jax.cli.commands import convert, finished, models, plan, run, stages, upkeep
from mgm_jax.cli.ending import run_command


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mgm_jax {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="mgm",
    help="Measure the geometry of the feature spaces of vision encoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _of_all(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Say which.")
    ] = False,
) -> None:
    """Measure the geometry of the feature spaces of vision encoders."""


for command in (
    run.run,
    plan.plan,
    run.demo,
    convert.convert,
    models.models,
    stages.embed,
    stages.measure,
    stages.probe,
    finished.compare,
    finished.report,
    upkeep.status,
    upkeep.gc,
    upkeep.upload,
):
    app.command()(command)


def main() -> None:
    """Run a command: whatever a user can mend is one clear message and status 2."""
    run_command(app)
