"""``mgm convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mgm_jax.errors import InputError


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
