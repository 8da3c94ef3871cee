"""Train the zoo and take what is shipped out of it.

python -m benchmarks.zoo train simclr resnet --images train.zip --unseen FOLDER --out RUNS
python -m benchmarks.zoo train-all --images train.zip --unseen FOLDER --out RUNS
python -m benchmarks.zoo export RUNS --unseen FOLDER --unseen FOLDER [--if-better]
python -m benchmarks.zoo compare RUNS --unseen FOLDER --unseen FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.zoo.compare import comparison_table
from benchmarks.zoo.curves import draw_curves, training_table
from benchmarks.zoo.export import compare_runs, export_zoo, table
from benchmarks.zoo.images import read_images
from benchmarks.zoo.methods import METHODS
from benchmarks.zoo.names import RunName
from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.train import Run, train
from mgm_jax.errors import InputError
from mgm_jax.images import open_source

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False
)

ImagesOption = Annotated[str, typer.Option("--images", help="Archive or folder of classes.")]
UnseenOption = Annotated[str, typer.Option("--unseen", help="Other classes, to watch on.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder of all runs.")]
EpochsOption = Annotated[int, typer.Option(min=1)]
PerClassOption = Annotated[int, typer.Option(min=1, help="Images of each class.")]
BatchOption = Annotated[int, typer.Option(min=2)]
RateOption = Annotated[float, typer.Option(min=0.0, help="Peak learning rate of AdamW.")]
BlurOption = Annotated[
    int, typer.Option(min=1, help="Pixels of the views that the blur is meant for; ours have 64.")
]
DEFAULT = Recipe()


@app.command("train")
def train_command(
    method: str,
    backbone: str,
    images: ImagesOption,
    unseen: UnseenOption,
    out: OutOption = Path("zoo_runs"),
    epochs: EpochsOption = DEFAULT.epochs,
    per_class: PerClassOption = DEFAULT.per_class,
    batch: BatchOption = DEFAULT.batch,
    rate: RateOption = DEFAULT.rate,
    blur_at: BlurOption = DEFAULT.blur_at,
    seed: int = DEFAULT.seed,
) -> None:
    """Train one encoder, or go on where it was cut off."""
    recipe = Recipe(
        epochs=epochs, per_class=per_class, batch=batch, rate=rate, blur_at=blur_at, seed=seed
    )
    _train([(method, backbone, seed)], recipe, images=images, unseen=unseen, out=out)


@app.command()
def train_all(
    images: ImagesOption,
    unseen: UnseenOption,
    out: OutOption = Path("zoo_runs"),
    epochs: EpochsOption = DEFAULT.epochs,
    per_class: PerClassOption = DEFAULT.per_class,
    batch: BatchOption = DEFAULT.batch,
    rate: RateOption = DEFAULT.rate,
    blur_at: BlurOption = DEFAULT.blur_at,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Runs as METHOD-BACKBONE or METHOD-BACKBONE-SEED; all by default."),
    ] = None,
) -> None:
    """Train every method on every backbone that it can train, one after the other."""
    wanted = only or [f"{m}-{b}" for m, one in METHODS.items() for b in one.backbones]
    recipe = Recipe(epochs=epochs, per_class=per_class, batch=batch, rate=rate, blur_at=blur_at)
    _train([_parse(text) for text in wanted], recipe, images=images, unseen=unseen, out=out)


@app.command()
def export(
    runs: Annotated[Path, typer.Argument(help="Folder of all runs.")],
    unseen: Annotated[list[str], typer.Option(help="Images of other classes; repeatable.")],
    out: Annotated[Path, typer.Option("--out", "-o")] = Path("mgm_jax/zoo"),
    seed: int = DEFAULT.seed,
    if_better: Annotated[
        bool,
        typer.Option(
            help="Only those better than what is shipped, beyond the 95 % interval on a set, "
            "and worse beyond it on none."
        ),
    ] = False,
) -> None:
    """Write the last weights of the finished runs of a seed to the package, and print a table."""
    sets = [read_images(open_source(source)) for source in unseen]
    only = None
    if if_better:
        compared = compare_runs(runs, out, seed=seed, unseen=sets)
        typer.echo(comparison_table(compared))
        only = [one.name for one in compared if one.is_better]
    export_zoo(runs, out, seed=seed, unseen=sets, only=only)
    typer.echo(table(out, sets))


@app.command()
def compare(
    runs: Annotated[Path, typer.Argument(help="Folder of all runs.")],
    unseen: Annotated[list[str], typer.Option(help="Images of other classes; repeatable.")],
    shipped: Annotated[Path, typer.Option("--shipped")] = Path("mgm_jax/zoo"),
    seed: int = DEFAULT.seed,
) -> None:
    """Print what the finished runs of a seed are worth beside the shipped encoders."""
    sets = [read_images(open_source(source)) for source in unseen]
    typer.echo(comparison_table(compare_runs(runs, shipped, seed=seed, unseen=sets)))


@app.command()
def curves(
    study: Annotated[Path, typer.Argument(help="Output of examples/zoo_training.yaml.")],
    picture: Annotated[Path, typer.Argument(help="PNG to write; a CSV beside it.")],
) -> None:
    """Draw the geometry over training, means and intervals over seeds."""
    curve = training_table(pd.read_parquet(study / "models.parquet"))
    draw_curves(curve, picture)
    curve.to_csv(picture.with_suffix(".csv"), index=False)
    typer.echo(curve.to_string(index=False, float_format="{:.3f}".format))


def _parse(text: str) -> tuple[str, str, int]:
    method, backbone, *rest = text.split("-")
    return method, backbone, int(rest[0]) if rest else DEFAULT.seed


def _train(
    wanted: list[tuple[str, str, int]], recipe: Recipe, *, images: str, unseen: str, out: Path
) -> None:
    for method, backbone, _ in wanted:
        if method not in METHODS or backbone not in METHODS[method].backbones:
            known = ", ".join(f"{m}-{b}" for m, one in METHODS.items() for b in one.backbones)
            raise typer.BadParameter(f"{method}-{backbone} is not one of {known}")
    seen = read_images(open_source(images), per_class=recipe.per_class)
    other = read_images(open_source(unseen))
    for method, backbone, seed in wanted:
        run = Run(
            method=method,
            backbone=backbone,
            recipe=replace(recipe, seed=seed),
            folder=out / str(RunName(method=method, backbone=backbone, seed=seed)),
        )
        for entry in train(run, seen, other)[-1:]:
            typer.echo(f"{run.name}: {entry}")


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
