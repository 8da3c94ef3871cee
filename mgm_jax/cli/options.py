"""What several commands take: options as a user types them, and as they are handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mgm_jax.errors import InputError

if TYPE_CHECKING:
    from mgm_jax.sweep import Executor

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

TransformsFrom = Annotated[
    list[str] | None,
    typer.Option(
        help="Transforms of your own: package.module, which registers them; its code is run. "
        "May be repeated."
    ),
]
Results = Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a study's results.")]


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
class StudyContext:
    """Where a study comes from, where it is worked on, and what the command adds to it.

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


def bytes_of(gigabytes: float) -> int:
    """Bytes of --cache-gb.

    Raises:
        InputError: less than none, or no end.
    """
    if not 0 <= gigabytes < float("inf"):
        raise InputError(f"--cache-gb must be 0 or more, got {gigabytes}")
    return int(gigabytes * 1e9)


def import_transforms(modules: list[str] | None) -> None:
    """Run the modules of --transforms-from, which register transforms.

    Raises:
        InputError: one that cannot be imported, or registers none.
    """
    if modules:
        from mgm_jax.images import transforms_from

        for module in modules:
            transforms_from(module)
