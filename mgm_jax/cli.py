"""The ``mgm`` commands: thin, each one call into the rooms below and a table for people."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from mgm_jax import upkeep
from mgm_jax.errors import InputError, OldNameWarning, name_some
from mgm_jax.interrupts import stoppable
from mgm_jax.terminal import print_summary, print_table, read_models
from mgm_jax.upkeep import Results

if TYPE_CHECKING:
    from mgm_jax.encoders.catalogue.published import Published
    from mgm_jax.study import Study
    from mgm_jax.sweep import Executor, StudyResult

#: File beside the results of a study that the command line made.
QUICK_STUDY = "study.yaml"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a command says of a run; the study says everything else.

    Attributes:
        until: the last stage.
        retry_failed: try again what failed in an earlier run.
        cache_limit: bytes of decoded images below the results.
        executor: where the work is done; None for this process.
        download: fetch published encoders that are not in the cache.
        offline: go on without those that are not.
        data: folder that sources ``data:NAME`` of the study lie in; None for ``MGM_JAX_DATA``.
    """

    until: Literal["embed", "measure", "probe"] = "probe"
    retry_failed: bool = False
    cache_limit: int = 2**36
    executor: Executor | None = None
    download: bool = False
    offline: bool = False
    data: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a study comes from and where it is worked on.

    Attributes:
        base: folder that relative paths of the study start from.
        file: of the study; None for one that the command line made.
        work: folder to work in, where the results go to a bucket.
        callables: encoders that the command line names as functions.
    """

    base: Path
    file: Path | None = None
    work: Path | None = None
    callables: Mapping[str, Any] = field(default_factory=dict)


app = typer.Typer(
    name="mgm",
    help="Measure the geometry of the feature spaces of vision encoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StudyFile = Annotated[Path | None, typer.Argument(metavar="STUDY.yaml", help="The study file.")]
Out = Annotated[
    str | None, typer.Option("-o", "--out", help="Folder of the results, or s3://, gs://...")
]
Work = Annotated[
    Path | None,
    typer.Option(help="Folder to work in where the results go to a bucket; by default a cache."),
]
CacheGb = Annotated[
    float,
    typer.Option("--cache-gb", help="Disk for decoded images below the results, in GB; 0: none."),
]

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the sets that a study names data:...; or MGM_JAX_DATA."),
]

app.command()(upkeep.status)
app.command()(upkeep.gc)
app.command()(upkeep.upload)


@app.command()
def run(
    study: StudyFile = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoint, converted folder, zoo:NAME, architecture, torch:timm/NAME, "
            "torch:hf/NAME or onnx:FILE; may be repeated."
        ),
    ] = None,
    encoder_from: Annotated[
        list[str] | None,
        typer.Option(
            help="Encoder of your own: package.module:function, which returns mgm.wrap(...) or "
            "encoders by name; its code is run. May be repeated."
        ),
    ] = None,
    transforms_from: Annotated[
        list[str] | None,
        typer.Option(
            help="Transforms of your own: package.module, which registers them; its code is run. "
            "May be repeated."
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(help="Folder of classes, .zip, .tar, .npz, digits, tfds:name; repeatable."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split of the images to take, such as val, without a study file."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="Augmentation setting; may be repeated.")
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(help="File of features, or a glob: a model a file; may be repeated."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Labels of these features: .csv, .parquet, .npy, .txt.")
    ] = None,
    scores: Annotated[
        str | None, typer.Option(help="Known transfer scores of these models: .csv, .parquet.")
    ] = None,
    views: Annotated[int, typer.Option(help="Views an image, without a study file.")] = 32,
    count: Annotated[int, typer.Option(help="Images with views, without a study file.")] = 60,
    out: Out = None,
    work: Work = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed in an earlier run.")
    ] = False,
    cache_gb: CacheGb = 64,
    data: Data = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch published encoders that are not there yet.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave published encoders out that are not there.")
    ] = False,
    executor: Annotated[str, typer.Option(help="Where the work is done: local or ray.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to use; by default one on this machine.")
    ] = None,
    cpus: Annotated[float, typer.Option(help="CPUs of one Ray task.")] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs of one Ray task.")] = 0,
    coordinator: Annotated[
        str | None, typer.Option(help="host:port of process 0, where no scheduler tells.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes that share the work; 1: this one alone.")
    ] = None,
    process: Annotated[int | None, typer.Option(help="Number of this process, from 0.")] = None,
) -> None:
    """Embed and measure everything a study names; stopped work goes on where it stopped.

    Without a study file, --encoder, --images and -o make one and write it beside the results.

    Several processes with one output folder share the work: started by Slurm, Open MPI,
    Kubernetes or on a TPU pod they find each other; elsewhere give --coordinator, --processes
    and --process.
    """
    from mgm_jax.first_look import quick_study, study_of_features
    from mgm_jax.study import read_study
    from mgm_jax.sweep.run.executors.choose import choose_executor

    if download and offline:
        raise InputError("give --download or --offline, not both")
    options = RunOptions(
        retry_failed=retry_failed,
        cache_limit=_bytes_of(cache_gb),
        download=download,
        offline=offline,
        data=data,
        executor=choose_executor(
            executor,
            address=address,
            cpus=cpus,
            gpus=gpus,
            coordinator=coordinator,
            processes=processes,
            process=process,
        ),
    )
    for module in transforms_from or ():
        from mgm_jax.images import transforms_from as register_transforms

        if executor != "local":
            raise InputError("--transforms-from goes with --executor local")
        register_transforms(module)
    callables: dict[str, Any] = {}
    if encoder_from:
        from mgm_jax.encoders.callables.given import encoders_from

        for name in encoder_from:
            callables |= encoders_from(name)
    if (labels or scores) and not features:
        raise InputError(
            "--labels and --scores go with --features; in a study file write labels: at the "
            "features, and scores: under transfer"
        )
    if study is not None:
        if encoder or images or setting or features:
            raise InputError(
                "give either a study file, or --encoder and --images, or --features, not both"
            )
        if split:
            raise InputError("--split goes with --images; in a study file write split: at the set")
        where = Place(base=study.parent, file=study, work=work, callables=callables)
        _run(read_study(study).with_callables(callables), out, where=where, options=options)
        return
    if features and out and not (encoder or encoder_from or images or setting):
        made = study_of_features(features, labels=labels, scores=scores)
        _run(made, out, where=Place(base=Path.cwd(), work=work), options=options)
        return
    named = [*(encoder or ()), *(f"callable:{one}" for one in callables)]
    if not (named and images and out):
        raise InputError(
            "give a study file, or --encoder, --images and -o: for example\n"
            "  mgm run --encoder checkpoint.pth --encoder resnet18 --images photos/ -o results/\n"
            "or, of features that are there already, --features and -o"
        )
    made = quick_study(named, images, setting, views=views, count=count, split=split)
    where = Place(base=Path.cwd(), work=work, callables=callables)
    _run(made, out, where=where, options=options)


@app.command()
def plan(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")],
    out: Out = None,
    trial: Annotated[
        bool, typer.Option(help="Measure the speed of this host for the time that it will take.")
    ] = True,
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

    parsed, notes = with_data(read_study(study), data)
    base = study.parent.resolve()
    names = _published_of(parsed)
    missing = _missing_of(names)
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
            cache_limit=_bytes_of(cache_gb),
        )
    typer.echo("\n".join((*result.lines(), *notes)))


@app.command()
def demo(out: Out = "demo_output", work: Work = None) -> None:
    """Run the built-in study: the zoo on images that come along; needs no other files."""
    from mgm_jax.study import read_study

    with resources.as_file(resources.files("mgm_jax") / "demo.yaml") as file:
        _run(read_study(file), out, where=Place(base=Path.cwd(), work=work), options=RunOptions())


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Checkpoint, folder of Hugging Face, hf:owner/name, timm:name, zoo:name, or a "
            "name of `mgm models`.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder of Flax weights.")],
    model: Annotated[
        str | None, typer.Option(help="Architecture or published name, instead of recognising it.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the encoder.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input, pixels.")] = None,
    mean: Annotated[
        str | None, typer.Option(help="Of the input, on [0, 1]: 0.485,0.456,0.406 or one value.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Its deviation, like --mean.")] = None,
    method: Annotated[str | None, typer.Option(help="How it was trained, e.g. SimCLR-v1.")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads of a ViT.")] = None,
    padding: Annotated[
        str | None, typer.Option(help="torchvision or tf-same, for a ResNet.")
    ] = None,
    copy: Annotated[
        str | None,
        typer.Option(help="Of several copies of the encoder, which: teacher, momentum, online..."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="What stands before the names of the encoder.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Key of the file under which the encoder lies.")
    ] = None,
    limits: Annotated[
        float, typer.Option(help="Raise the limits on what a file may unfold to, as a factor.")
    ] = 1.0,
    head: Annotated[bool, typer.Option("--head", help="Keep the linear classifier.")] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch a published encoder from its address.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing folder.")] = False,
    verify: Annotated[
        bool, typer.Option(help="Compare with PyTorch at every tap, where torch is installed.")
    ] = True,
) -> None:
    """Convert a checkpoint to Flax: recognised, mapped, verified, written with its source."""
    from mgm_converters import convert as convert_checkpoint
    from mgm_converters.reading.limits import Limits

    result = convert_checkpoint(
        source,
        out,
        model=model,
        name=name,
        size=size,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        method=method,
        heads=heads,
        padding=padding,
        copy=copy,
        prefix=prefix,
        key=key,
        limits=Limits().times(limits),
        head=head,
        verify=verify,
        overwrite=overwrite,
        fetch=download,
    )
    for line in result.report.lines():
        typer.echo(line)


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers with commas between them."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option}: expected numbers with commas, got {text!r}") from None


@app.command()
def models() -> None:
    """List the zoo, the published encoders, and the architectures that can be had untrained."""
    from mgm_jax.encoders import ARCHITECTURES, PUBLISHED
    from mgm_jax.encoders.catalogue.listing import (
        address_lines,
        architecture_rows,
        published_rows,
        zoo_rows,
    )
    from mgm_jax.zoo import zoo_encoders

    zoo = zoo_encoders()
    if zoo:
        typer.echo("The zoo, trained by this project and shipped with it:\n")
        print_table(*zoo_rows(zoo))
        typer.echo("\nPublished encoders:\n")
    print_table(*published_rows(PUBLISHED.values()))
    typer.echo("\nAddresses, and the SHA-256 or its first digits where known:\n")
    for line in address_lines(PUBLISHED.values()):
        typer.echo(line)
    typer.echo("\nArchitectures, untrained under their names:\n")
    print_table(*architecture_rows(ARCHITECTURES))


@app.command()
def embed(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml")],
    out: Out = None,
    work: Work = None,
    cache_gb: CacheGb = 64,
) -> None:
    """First stage of run: convert, make views, embed, store."""
    from mgm_jax.study import read_study

    options = RunOptions(until="embed", cache_limit=_bytes_of(cache_gb))
    result = _part(read_study(study), out, file=study, work=work, options=options)
    _say(result)


@app.command()
def measure(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml")],
    out: Out = None,
    work: Work = None,
) -> None:
    """First two stages of run: embed what is missing, measure, write the tables."""
    from mgm_jax.study import read_study

    options = RunOptions(until="measure")
    result = _part(read_study(study), out, file=study, work=work, options=options)
    _say(result)


@app.command()
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
    result = _part(made, out, file=study, work=work, options=RunOptions())
    if result.writes:
        typer.echo(f"{result.transfers} rows in {result.out / 'transfer.parquet'}")
    _say(result)


@app.command()
def compare(
    results: Results,
    images: Annotated[str | None, typer.Option(help="Image set, where there are several.")] = None,
) -> None:
    """Cluster the encoders of finished results by their metrics."""
    import pandas as pd

    from mgm_jax.analysis import cluster_models

    models = read_models(results)
    if images is not None:
        models = models[models["images"] == images]
    # Encoders read at taps of their own still stand side by side; two taps of one are two rows.
    twice = models.duplicated(["encoder", "images"], keep=False)
    models["encoder"] += (" · " + models["tap"]).where(twice, "")
    for name, block in models.groupby("images", sort=False):
        numbers = block.set_index("encoder").select_dtypes("number").drop(columns=["seed", "width"])
        clusters = cluster_models(numbers)
        typer.echo(f"{name}: {clusters.groups} group(s), silhouette {clusters.silhouette:.2f}")
        table = clusters.to_pandas()
        of_paradigm = pd.Series(block["paradigm"].to_numpy(), index=block["encoder"])
        rows = [
            (str(group), str(encoder), str(of_paradigm[encoder]))
            for encoder, group in table["group"].items()
        ]
        print_table(("group", "encoder", "paradigm"), rows)


@app.command()
def report(results: Results) -> None:
    """Write report.html from the tables of finished results."""
    from mgm_jax.report import write_report

    typer.echo(f"report: {write_report(results)}")


def _run(study: Study, out: str | None, *, where: Place, options: RunOptions) -> None:
    from mgm_jax.report import headline_of_results, write_report

    with stoppable(), _folder(study, out, where=where, options=options) as folder:
        result = _stages(study, folder, where=where, options=options)
        if not result.cells:
            first = result.failures[0] if result.failures else None
            raise InputError(
                "nothing could be measured" + (f"; {first.where}: {first.what}" if first else "")
            )
        if not result.writes:
            return
        page = write_report(result.out)
        headline = headline_of_results(result.out)
        typer.echo(f"{headline.title}\n{headline.lead}\n")
        print_summary(result.out)
        for what in result.small:
            typer.echo(what)
        typer.echo(f"\ntables: {result.out}\nreport: {page}")
        upkeep.say_notes(result.notes)
    upkeep.say_failures(result.failures)


def _say(result: StudyResult) -> None:
    """Notes and failures, once: all processes of a job know them, and the one that writes speaks.

    The others end with status 0, as Open MPI would kill the one that writes if they did not.
    """
    if result.writes:
        upkeep.say_notes(result.notes)
        upkeep.say_failures(result.failures)


def _part(
    study: Study, out: str | None, *, file: Path, work: Path | None, options: RunOptions
) -> StudyResult:
    where = Place(base=file.parent, file=file, work=work)
    with stoppable(), _folder(study, out, where=where, options=options) as folder:
        return _stages(study, folder, where=where, options=options)


def _folder(
    study: Study, out: str | None, *, where: Place, options: RunOptions
) -> AbstractContextManager[Path]:
    """The folder to run in; an output that the study names is seen from the study."""
    from mgm_jax.sweep import is_url, output_folder

    if out is None:
        if study.output is None:
            raise InputError("give -o OUT, or output: in the study file")
        out = study.output if is_url(study.output) else str(where.base / study.output)
    return output_folder(str(out), say=upkeep.say, work=where.work, executor=options.executor)


def _bytes_of(gigabytes: float) -> int:
    if not 0 <= gigabytes < float("inf"):
        raise InputError(f"--cache-gb must be 0 or more, got {gigabytes}")
    return int(gigabytes * 1e9)


def _stages(study: Study, folder: Path, *, where: Place, options: RunOptions) -> StudyResult:
    from mgm_jax.compile_cache import keep_programs
    from mgm_jax.conversion import convert_entry, open_model
    from mgm_jax.data_folder import with_data
    from mgm_jax.sweep import run_study

    keep_programs()
    study, notes = with_data(study, options.data)
    for note in notes:
        upkeep.say(note)
    if not (options.download or options.offline):
        _refuse_missing(study)
    # A study of the command line is written beside its results, and told from others by that.
    file = folder / QUICK_STUDY if where.file is None else where.file
    return run_study(
        study,
        folder,
        base=where.base.resolve(),
        convert=partial(convert_entry, fetch=options.download),
        callables=where.callables,
        open_model=open_model,
        until=options.until,
        retry_failed=options.retry_failed,
        origin=str(file.resolve()),
        executor=options.executor,
        cache_limit=options.cache_limit,
        keep=None if where.file is not None else QUICK_STUDY,
        say=upkeep.say,
    )


def _published_of(study: Study) -> list[str]:
    """Names of the published encoders whose weights a study wants."""
    from mgm_jax.encoders.catalogue.published import is_published_source, published_sources

    return [
        name
        for entry in study.encoders
        if is_published_source(entry.source) and entry.init is None
        for name in published_sources(entry.source)
    ]


def _missing_of(names: list[str]) -> tuple[Published, ...]:
    """Which of some published encoders have to be fetched first."""
    if not names:
        return ()
    from mgm_converters.reading.source import not_at_hand

    return not_at_hand(names)


def _refuse_missing(study: Study) -> None:
    """Say what has to be fetched first, before anything else is done."""
    names = _published_of(study)
    if missing := _missing_of(names):
        size = sum(4 * one.parameters for one in missing) / 1e9
        raise InputError(
            f"encoders: {len(missing)} of {len(names)} published encoders are not in the cache: "
            f"{name_some(one.name for one in missing)}. Add --download to fetch them (about "
            f"{size:.1f} GB), or --offline to go on without them; `mgm plan` says more"
        )


def main() -> None:
    """Run a command: whatever a user can mend is one clear message and status 2."""
    warnings.formatwarning = _note
    # A terminal that has no letters for a name gets its code points instead of an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except InputError as error:
        _end(str(error))
    except OSError as error:
        # A disk, a folder or a share; which one, the error says.
        named = " -> ".join(str(name) for name in (error.filename, error.filename2) if name)
        _end(": ".join(part for part in (named, error.strerror or str(error)) if part))
    except MemoryError as error:
        _end(f"the memory of this machine does not suffice ({error})")


_format = warnings.formatwarning


def _note(message: Warning | str, category: type[Warning], *where: Any, **line: Any) -> str:
    """An old name is a note to the user; every other warning is what it is elsewhere."""
    if issubclass(category, OldNameWarning):
        return f"note: {message}\n"
    return _format(message, category, *where, **line)


def _end(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
