"""The commands that look after an output folder: ``mgm status``, ``gc``, ``upload``; failures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mgm_jax.interrupts import stoppable

# Lines on image sets that are shown on the screen.
_MAX_NOTES = 12

#: Failures that are named on the screen.
_MAX_FAILURES = 5

Results = Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a study's results.")]


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


def say(text: str) -> None:
    """Tell something that is no result."""
    typer.echo(text, err=True)


def say_notes(notes: Sequence[str]) -> None:
    """Tell what was passed over in the image sets, and how their folders were understood."""
    for line in notes[:_MAX_NOTES]:
        say(line)
    if len(notes) > _MAX_NOTES:
        say(f"and {len(notes) - _MAX_NOTES} more of these in study.json and the report")


def say_failures(failures: Any) -> None:
    """Name what failed, the first few, and end with status 1."""
    if not failures:
        return
    for one in failures[:_MAX_FAILURES]:
        typer.echo(f"failed: {one.where}: {one.what}", err=True)
    typer.echo(
        f"{len(failures)} part(s) failed; `mgm status` and the report name all, "
        "--retry-failed tries them again",
        err=True,
    )
    raise typer.Exit(1)
