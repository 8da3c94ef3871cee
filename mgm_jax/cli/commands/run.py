"""``mgm run`` and ``mgm demo``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from mgm_jax.cli.execute import run_and_report
from mgm_jax.cli.options import (
    CacheGb,
    Data,
    Out,
    RunOptions,
    StudyContext,
    StudyFile,
    TransformsFrom,
    Work,
    bytes_of,
    import_transforms,
)
from mgm_jax.errors import InputError


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
    transforms_from: TransformsFrom = None,
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
    views: Annotated[
        int | None, typer.Option(help="Views an image, without a study file.", show_default="32")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Images with views, without one.", show_default="60")
    ] = None,
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
    from mgm_jax.cli.first_look import quick_study, study_of_features
    from mgm_jax.study import read_study
    from mgm_jax.sweep.run.executors.choose import choose_executor

    if download and offline:
        raise InputError("give --download or --offline, not both")
    options = RunOptions(
        retry_failed=retry_failed,
        cache_limit=bytes_of(cache_gb),
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
    if transforms_from and executor != "local":
        raise InputError("--transforms-from goes with --executor local")
    import_transforms(transforms_from)
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
            # A shell that fills in a pattern leaves all files but the first behind the option.
            is_study = study.suffix.lower() in (".yaml", ".yml")
            advice = "" if is_study else "; a pattern belongs in quotes, as shells fill it in"
            raise InputError(
                "give either a study file, or --encoder and --images, or --features, not both: "
                f"{study} stands where a study file does{advice}"
            )
        _refuse_with("a study file", split=split, views=views, count=count)
        context = StudyContext(base=study.parent, file=study, work=work, callables=callables)
        run_and_report(
            read_study(study).with_callables(callables), out, context=context, options=options
        )
        return
    if features and out and not (encoder or encoder_from or images or setting):
        _refuse_with("--features", split=split, views=views, count=count)
        made = study_of_features(features, labels=labels, scores=scores)
        run_and_report(made, out, context=StudyContext(base=Path.cwd(), work=work), options=options)
        return
    named = [*(encoder or ()), *(f"callable:{one}" for one in callables)]
    if not (named and images and out):
        raise InputError(
            "give a study file, or --encoder, --images and -o: for example\n"
            "  mgm run --encoder checkpoint.pth --encoder resnet18 --images photos/ -o results/\n"
            "or, of features that are there already, --features and -o"
        )
    made = quick_study(
        named,
        images,
        setting,
        views=32 if views is None else views,
        count=60 if count is None else count,
        split=split,
    )
    context = StudyContext(base=Path.cwd(), work=work, callables=callables)
    run_and_report(made, out, context=context, options=options)


# Where a study file says what an option says.
_IN_A_STUDY = {
    "split": "split: at the image set",
    "views": "views: under augmentation",
    "count": "images: under augmentation",
}


def _refuse_with(what: str, **options: object) -> None:
    """Raise InputError for an option that would not be heeded."""
    for name, value in options.items():
        if value is not None:
            raise InputError(
                f"--{name} goes with --images, not with {what}; in a study file write "
                f"{_IN_A_STUDY[name]}"
            )


def demo(out: Out = "demo_output", work: Work = None) -> None:
    """Run the built-in study: the zoo on images that come along; needs no other files."""
    from mgm_jax.study import read_study

    with resources.as_file(resources.files("mgm_jax") / "demo.yaml") as file:
        run_and_report(
            read_study(file),
            out,
            context=StudyContext(base=Path.cwd(), work=work),
            options=RunOptions(),
        )
