"""A study is run: where, how far, and what is told when it has ended."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mgm_jax.cli.options import RunOptions, StudyContext
from mgm_jax.cli.published import refuse_missing
from mgm_jax.cli.terminal import print_summary, say, say_failures, say_notes
from mgm_jax.errors import InputError
from mgm_jax.interrupts import stoppable

if TYPE_CHECKING:
    from mgm_jax.study import Study
    from mgm_jax.sweep import StudyResult

#: File beside the results of a study that the command line made.
QUICK_STUDY = "study.yaml"


def run_and_report(
    study: Study, out: str | None, *, context: StudyContext, options: RunOptions
) -> None:
    """All stages, the report, and a summary on the screen; ends with status 1 if a part failed.

    Raises:
        InputError: nothing could be measured.
    """
    from mgm_jax.report import headline_of_results, write_report

    with stoppable(), _folder(study, out, context=context, options=options) as folder:
        result = _stages(study, folder, context=context, options=options)
        result.refuse_nothing()
        if not result.writes:
            return
        page = write_report(result.out)
        headline = headline_of_results(result.out)
        typer.echo(f"{headline.title}\n{headline.lead}\n")
        print_summary(result.out)
        for what in result.small:
            typer.echo(what)
        typer.echo(f"\ntables: {result.out}\nreport: {page}")
        say_notes(result.notes)
    say_failures(result.failures)


def run_part(
    study: Study, out: str | None, *, file: Path, work: Path | None, options: RunOptions
) -> StudyResult:
    """The stages up to ``options.until``, without a report."""
    context = StudyContext(base=file.parent, file=file, work=work)
    with stoppable(), _folder(study, out, context=context, options=options) as folder:
        return _stages(study, folder, context=context, options=options)


def _folder(
    study: Study, out: str | None, *, context: StudyContext, options: RunOptions
) -> AbstractContextManager[Path]:
    """The folder to run in; an output that the study names is seen from the study."""
    from mgm_jax.sweep import is_url, output_folder

    if out is None:
        if study.output is None:
            raise InputError("give -o OUT, or output: in the study file")
        out = study.output if is_url(study.output) else _below(context.base, study.output)
    if not out.strip():
        # As a path it would be the folder that this is run in.
        raise InputError("-o must name a folder; got an empty text")
    return output_folder(str(out), say=say, work=context.work, executor=options.executor)


def _below(base: Path, output: str) -> str:
    return str(base / output) if output.strip() else ""


def _stages(
    study: Study, folder: Path, *, context: StudyContext, options: RunOptions
) -> StudyResult:
    from mgm_jax.compile_cache import keep_programs
    from mgm_jax.conversion import convert_entry, open_model
    from mgm_jax.data_folder import with_data
    from mgm_jax.sweep import run_study

    keep_programs()
    study, notes = with_data(study, options.data)
    for note in notes:
        say(note)
    if not (options.download or options.offline):
        refuse_missing(study)
    # A study of the command line is written beside its results, and told from others by that.
    file = folder / QUICK_STUDY if context.file is None else context.file
    return run_study(
        study,
        folder,
        base=context.base.resolve(),
        convert=partial(convert_entry, fetch=options.download),
        callables=context.callables,
        open_model=open_model,
        until=options.until,
        retry_failed=options.retry_failed,
        origin=str(file.resolve()),
        executor=options.executor,
        cache_limit=options.cache_limit,
        keep=None if context.file is not None else QUICK_STUDY,
        say=say,
    )
