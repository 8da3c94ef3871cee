"""The commands that look after an output folder: ``mgm status``, ``gc`` and ``upload``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mgm_jax.cli.options import Results
from mgm_jax.cli.terminal import say
from mgm_jax.interrupts import stoppable


def status(
    results: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of a study's results, or s3://, gs://...")
    ],
) -> None:
    """Say how far the studies of a folder are: cells done, running, failed, and the time left."""
    from mgm_jax.sweep import bucket_status, is_url, study_status

    status = bucket_status(results) if is_url(results) else study_status(Path(results))
    for one in status:
        for line in one.lines():
            typer.echo(line)


def gc(
    results: Results,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it, do not only say it.")] = False,
    forget: Annotated[
        list[str] | None,
        typer.Option(help="Study (its file or name) that no longer counts; may be repeated."),
    ] = None,
) -> None:
    """Say what no study of a folder refers to, and remove it with --yes."""
    from mgm_jax.sweep import collect_garbage, find_garbage

    forgotten = tuple(forget or ())
    work = collect_garbage if yes else find_garbage
    garbage = work(results.resolve(), forget=forgotten)
    for line in garbage.lines():
        typer.echo(line)
    if garbage.paths:
        typer.echo("removed" if yes else "nothing was removed; --yes does it")


def upload(
    results: Results,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/folder, gs://...")],
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Copy the embeddings too, not tables alone.")
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Copy all that `mgm run -o URL` goes on from, finished or not."),
    ] = False,
) -> None:
    """Copy finished tables and the report to a bucket; only what has changed is sent."""
    from mgm_jax.sweep import upload_results

    with stoppable():
        done = upload_results(
            results.resolve(), url, embeddings=embeddings, everything=everything, say=say
        )
    files, size = done.sent
    typer.echo(
        f"{done.url}: {files} files sent ({size / 1e6:.3g} MB), {done.kept} there already, "
        f"{done.removed} removed"
    )
