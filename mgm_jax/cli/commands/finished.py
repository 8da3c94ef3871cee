"""``mgm compare`` and ``report``: what is made of finished results."""

from __future__ import annotations

from typing import Annotated

import typer

from mgm_jax.cli.options import Results
from mgm_jax.cli.terminal import print_table, read_models


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


def report(results: Results) -> None:
    """Write report.html from the tables of finished results."""
    from mgm_jax.report import write_report

    typer.echo(f"report: {write_report(results)}")
