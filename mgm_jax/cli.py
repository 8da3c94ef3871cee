"""The ``mgm`` commands: thin, each one call into the rooms below and a table for people."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mgm_jax.errors import InputError

app = typer.Typer(
    name="mgm",
    help="Measure the geometry of the feature spaces of vision encoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StudyFile = Annotated[Path | None, typer.Argument(metavar="STUDY.yaml", help="The study file.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the results.")]
Results = Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a study's results.")]


#: Columns of a screen that holds the summary with its intervals.
_WIDE = 150


@app.command()
def run(
    study: StudyFile = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoint, converted folder or architecture; may be repeated."),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(help="Folder of classes, .npz, digits or tfds:name/split; may be repeated."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="Augmentation setting; may be repeated.")
    ] = None,
    views: Annotated[int, typer.Option(help="Views an image, without a study file.")] = 32,
    count: Annotated[int, typer.Option(help="Images with views, without a study file.")] = 60,
    out: Out = None,
) -> None:
    """Embed and measure everything a study names; stopped work goes on where it stopped.

    Without a study file, --encoder, --images and -o make one and write it beside the results.
    """
    from mgm_jax.study import read_study

    if study is not None:
        if encoder or images or setting:
            raise InputError("give either a study file or --encoder and --images, not both")
        _run(read_study(study), out, base=study.parent)
        return
    if not (encoder and images and out):
        raise InputError(
            "give a study file, or --encoder, --images and -o: for example\n"
            "  mgm run --encoder checkpoint.pth --encoder resnet18 --images photos/ -o results/"
        )
    made = _quick_study(encoder, images, setting, views=views, count=count)
    out.mkdir(parents=True, exist_ok=True)
    (out / "study.yaml").write_text(made.to_yaml(), encoding="utf-8")
    _run(made, out, base=Path.cwd())


@app.command()
def demo(out: Out = Path("demo_output")) -> None:
    """Run the built-in study: untrained encoders on handwritten digits; needs no other files."""
    from mgm_jax.study import read_study

    with resources.as_file(resources.files("mgm_jax") / "demo.yaml") as file:
        _run(read_study(file), out, base=Path.cwd())


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Checkpoint, folder of Hugging Face, hf:owner/name, timm:name, or a name of "
            "`mgm models`.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder of Flax weights.")],
    model: Annotated[
        str | None, typer.Option(help="Architecture or published name, instead of recognising it.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the encoder.")] = None,
    padding: Annotated[
        str | None, typer.Option(help="torchvision or tf-same, for a ResNet.")
    ] = None,
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
    from converters import convert as convert_checkpoint

    result = convert_checkpoint(
        source,
        out,
        model=model,
        name=name,
        padding=padding,
        head=head,
        verify=verify,
        overwrite=overwrite,
        fetch=download,
    )
    for line in result.report.lines():
        typer.echo(line)


@app.command()
def models() -> None:
    """List the published encoders, then the architectures that can be had untrained."""
    from mgm_jax.encoders import ARCHITECTURES, PUBLISHED
    from mgm_jax.encoders.listing import address_lines, architecture_rows, published_rows

    _print_table(*published_rows(PUBLISHED.values()))
    typer.echo("\nAddresses, and the SHA-256 or its first digits where known:\n")
    for line in address_lines(PUBLISHED.values()):
        typer.echo(line)
    typer.echo("\nArchitectures, untrained under their names:\n")
    _print_table(*architecture_rows(ARCHITECTURES))


@app.command()
def embed(study: Annotated[Path, typer.Argument(metavar="STUDY.yaml")], out: Out = None) -> None:
    """First stage of run: convert, make views, embed, store."""
    from mgm_jax.study import read_study

    _stages(read_study(study), out, base=study.parent, until="embed")


@app.command()
def measure(study: Annotated[Path, typer.Argument(metavar="STUDY.yaml")], out: Out = None) -> None:
    """First two stages of run: embed what is missing, measure, write the tables."""
    from mgm_jax.study import read_study

    _stages(read_study(study), out, base=study.parent, until="measure")


@app.command()
def compare(
    results: Results,
    images: Annotated[str | None, typer.Option(help="Image set, where there are several.")] = None,
) -> None:
    """Cluster the encoders of finished results by their metrics."""
    import pandas as pd

    from mgm_jax.analysis import cluster_models

    models = _read_models(results)
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
        _print_table(("group", "encoder", "paradigm"), rows)


@app.command()
def report(results: Results) -> None:
    """Write report.html from the tables of finished results."""
    from mgm_jax.report import write_report

    typer.echo(f"report: {write_report(results)}")


def _run(study: Any, out: Path | None, *, base: Path) -> None:
    from mgm_jax.report import headline_of_results, write_report

    result = _stages(study, out, base=base, until="measure")
    if not result.cells:
        first = result.failures[0] if result.failures else None
        raise InputError(
            "nothing could be measured" + (f"; {first.where}: {first.what}" if first else "")
        )
    page = write_report(result.out)
    _print_summary(result.out)
    headline = headline_of_results(result.out)
    typer.echo(f"\n{headline.title}\n{headline.lead}")
    typer.echo(f"\ntables: {result.out}\nreport: {page}")
    if result.failures:
        typer.echo(f"{len(result.failures)} part(s) failed; they are named in the report", err=True)
        raise typer.Exit(1)


def _stages(study: Any, out: Path | None, *, base: Path, until: Literal["embed", "measure"]) -> Any:
    from mgm_jax.sweep import run_study

    if out is None and study.output is None:
        raise InputError("give -o OUT, or output: in the study file")
    folder = out if out is not None else base / study.output
    try:
        return run_study(
            study, folder.resolve(), base=base.resolve(), convert=_convert, until=until
        )
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None


def _convert(file: Path, entry: Any, cache: Path) -> Path:
    """Convert a checkpoint into the study's cache, once for each content and converter version."""
    from converters import CONVERTER_VERSION
    from converters import convert as convert_checkpoint
    from mgm_jax.files import file_sha256, safe_name

    parts = (file_sha256(file)[:12], f"c{CONVERTER_VERSION}", entry.model or "recognised")
    folder = cache / safe_name("-".join((file.name, *parts)), most=160)
    if not folder.exists():
        made = convert_checkpoint(file, folder, model=entry.model)
        if made.report.doubt:
            # In a study nobody sees the report; `model:` of the entry is its --model.
            typer.echo(f"{file.name}: {made.report.doubt}", err=True)
    return folder


def _quick_study(
    encoders: list[str],
    images: list[str],
    settings: list[str] | None,
    *,
    views: int,
    count: int,
) -> Any:
    from mgm_jax.study import make_study

    augmentation: dict[str, Any] = {"views": views, "images": count}
    if settings:
        augmentation["settings"] = settings
    return make_study(
        {
            "name": "A first look",
            "encoders": [{"source": _absolute(one)} for one in encoders],
            "images": [{"source": _absolute(one)} for one in images],
            "augmentation": augmentation,
        },
        where="options",
    )


def _absolute(source: str) -> str:
    """A path as seen from here, so that the written study runs from anywhere; a name as it is."""
    path = Path(source).expanduser()
    is_path = path.exists() or ("/" in source and ":" not in source)
    return str(path.resolve()) if is_path else source


def _read_models(results: Path) -> Any:
    import pandas as pd

    file = results / "models.parquet"
    if not file.exists():
        raise InputError(f"{results}: no results of a study here (models.parquet is missing)")
    return pd.read_parquet(file)


def _print_summary(out: Path) -> None:
    import pandas as pd

    from mgm_jax.report.tables import features_alone

    summary = pd.read_parquet(out / "summary.parquet")
    summary = features_alone(summary, summary=summary, models=_read_models(out))
    shown = {
        "nnk_degree": "degree",
        "nnk_diameter": "diameter",
        "nnk_affinity": "affinity",
        "nnk_affinity_excess": "excess",
        "pca_dimension": "PCA dim.",
    }
    picked = summary[summary["metric"].isin(shown)]
    keys = ["encoder", "images", "setting", "strength", "tap"]
    rows = []
    # Intervals need a wide screen; a narrow one shows the means, the tables have the rest.
    wide = _console().width >= _WIDE
    several = len(set(summary["images"])) > 1
    for _, cell in picked.groupby(keys, sort=False):
        encoder, images, setting, strength = next(
            zip(*(cell[key] for key in keys[:4]), strict=True)
        )
        block = cell.set_index("metric")
        values = [
            f"{line['mean']:.3g}" + (f" [{line['low']:.3g}, {line['high']:.3g}]" if wide else "")
            for line in (block.loc[metric] for metric in shown)
        ]
        at = setting if setting == "semantic" else f"{setting}@{strength:g}"
        rows.append((str(encoder), *([str(images)] if several else []), at, *values))
    header = ("encoder", *(["images"] if several else []), "setting", *shown.values())
    _print_table(header, rows)


def _print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, name in enumerate(header):
        table.add_column(name, overflow="fold", no_wrap=place == 0)
    for row in rows:
        # Text, not markup: a name may hold square brackets.
        table.add_row(*(Text(value) for value in row))
    _console().print(table)


def _console() -> Any:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        # A pipe has no width; nothing is cut there.
        console.width = 200
    return console


def main() -> None:
    """Entry point of ``mgm``: bad input is one clear message and status 2."""
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
