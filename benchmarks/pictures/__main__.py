"""Draw a picture of finished results.

python -m benchmarks.pictures intervals demo_output docs/demo.png
python -m benchmarks.pictures depth RESULTS docs/untrained_depth.png --metric mean_cosine
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.pictures import depth as depth_picture
from benchmarks.pictures import intervals as interval_picture

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False
)

Metrics = Annotated[list[str] | None, typer.Option("--metric", help="May be repeated.")]
Images = Annotated[str | None, typer.Option(help="Image set; by default the first.")]


@app.command()
def intervals(results: Path, picture: Path, metric: Metrics = None, images: Images = None) -> None:
    """Dots with intervals: a row an encoder, a column a metric."""
    interval_picture.draw_intervals(
        results, picture, metrics=metric or interval_picture.METRICS, images=images
    )


@app.command()
def depth(results: Path, picture: Path, metric: Metrics = None, images: Images = None) -> None:
    """Metrics against depth: a panel a metric, a line a network."""
    depth_picture.draw_depth(
        results, picture, metrics=metric or depth_picture.METRICS, images=images
    )


if __name__ == "__main__":
    app()
