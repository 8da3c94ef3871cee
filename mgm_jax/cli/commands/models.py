"""``mgm models``: what can be named."""

from __future__ import annotations

import typer

from mgm_jax.cli.terminal import print_table


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
