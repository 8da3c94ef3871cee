"""Which of the trained weights are shipped, what they are worth, and the table that says so."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks.zoo.compare import Comparison, difference
from benchmarks.zoo.images import Images
from benchmarks.zoo.methods import METHODS
from benchmarks.zoo.names import parse_name
from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.watch import K
from mgm_converters import convert
from mgm_converters.reading.safetensors_file import read_safetensors
from mgm_jax.errors import InputError
from mgm_jax.files.whole import whole_file
from mgm_jax.probe.knn import KnnAccuracy, knn_accuracy

#: One encoder, and all of them, in bytes.
MAX_BYTES, MAX_BYTES_IN_ALL = 1_200_000, 14_000_000

_USUAL = Recipe()


def finished_runs(runs: Path, *, seed: int) -> dict[str, Path]:
    """Last weights of every finished run of a seed, by method and backbone.

    Raises:
        InputError: there is none.
    """
    chosen: dict[str, Path] = {}
    for folder in sorted(runs.iterdir()):
        name = parse_name(folder.name)
        if name and name.seed == seed and (folder / "log.jsonl").is_file():
            last = len((folder / "log.jsonl").read_text().splitlines()) - 1
            epochs = json.loads((folder / "recipe.json").read_text())["epochs"]
            if last == epochs or not METHODS[name.method].trains:
                chosen[name.family] = folder / f"{replace(name, epoch=last)}.safetensors"
    if not chosen:
        raise InputError(f"{runs}: no finished run of seed {seed}")
    return chosen


def compare_runs(runs: Path, out: Path, *, seed: int, unseen: Sequence[Images]) -> list[Comparison]:
    """Every finished run of a seed beside the shipped encoder of its name, where there is one.

    Args:
        runs: folder with one folder a run.
        out: folder of the shipped weights.
        seed: which of several runs of a method.
        unseen: image sets of other classes.

    Raises:
        InputError: no finished run, or none of a shipped encoder.
    """
    compared = [
        Comparison(name=name, new=accuracies(file, unseen), shipped=accuracies(shipped, unseen))
        for name, file in finished_runs(runs, seed=seed).items()
        if (shipped := out / f"{name}.safetensors").is_file()
    ]
    if not compared:
        raise InputError(f"{out} holds no encoder of a name of {runs}; export without comparing")
    return compared


def export_zoo(
    runs: Path,
    out: Path,
    *,
    seed: int,
    unseen: Sequence[Images],
    only: Collection[str] | None = None,
) -> list[Path]:
    """Write the last weights of finished runs of a seed, named by method and backbone.

    What the folder has besides stays: its encoders may be of several recipes, each says its own.

    Args:
        runs: folder with one folder a run.
        out: folder of the shipped weights.
        seed: which of several runs of a method.
        unseen: image sets of other classes; the files state the k-NN accuracy on each.
        only: names of those to write; None for all.

    Returns:
        The files that were written.

    Raises:
        InputError: no finished run, one of ``only`` that is none, or more bytes than may be
            shipped.
    """
    chosen = finished_runs(runs, seed=seed)
    missing = set(only or ()) - set(chosen)
    if missing:
        raise InputError(
            f"only: {', '.join(sorted(missing))} of {runs} is no finished run; finished are "
            f"{', '.join(chosen)}"
        )
    if only is not None:
        chosen = {name: file for name, file in chosen.items() if name in only}
    stay = {file.stem: file for file in out.glob("*.safetensors")}
    sizes = {name: file.stat().st_size for name, file in (stay | chosen).items()}
    heavy = [name for name, size in sizes.items() if size > MAX_BYTES]
    if heavy or sum(sizes.values()) > MAX_BYTES_IN_ALL:
        raise InputError(
            f"{', '.join(heavy) or 'all together'}: at most {MAX_BYTES} bytes an encoder and "
            f"{MAX_BYTES_IN_ALL} in all may be shipped, got {sizes}"
        )
    out.mkdir(parents=True, exist_ok=True)
    return [_ship(file, out / f"{name}.safetensors", unseen) for name, file in chosen.items()]


def _ship(file: Path, to: Path, unseen: Sequence[Images]) -> Path:
    tensors, metadata = read_safetensors(file)
    training = json.loads(metadata["mgm_training"])
    training["knn"] = {name: result.accuracy for name, result in accuracies(file, unseen).items()}
    metadata["mgm_training"] = json.dumps(training)
    with whole_file(to) as part:
        save_file(tensors, part, metadata=metadata)
    return to


def accuracies(file: Path, unseen: Sequence[Images]) -> dict[str, KnnAccuracy]:
    """k-NN accuracy of a weights file on each set, through the converter as a user has it."""
    encoder = convert(file, verify=False).encoder
    return {
        one.name: knn_accuracy(np.asarray(encoder(one.pixels)), one.labels, k=K) for one in unseen
    }


def raw_pixels(images: Images) -> KnnAccuracy:
    """k-NN accuracy of the pixels themselves."""
    return knn_accuracy(images.pixels.reshape(len(images), -1) / 255.0, images.labels, k=K)


def table(folder: Path, unseen: Sequence[Images]) -> str:
    """A Markdown table: what the shipped files say of themselves, accuracies with intervals.

    Intervals are of differences on the same images, by resampling the images: to raw pixels, and
    to the untrained network of the same backbone where it is in the folder.

    Args:
        folder: of the shipped weights.
        unseen: image sets.
    """
    pixels = {one.name: raw_pixels(one) for one in unseen}
    files = {file.stem: file for file in sorted(folder.glob("*.safetensors"))}
    by_file = {stem: accuracies(file, unseen) for stem, file in files.items()}
    heads = ["encoder", "method", "paradigm", "epochs", "rate", "blur at", "minutes"]
    sets = [cell for name in pixels for cell in (name, "above raw pixels", "above untrained")]
    raw = [cell for one in pixels.values() for cell in (f"{one.accuracy:.3f}", "", "")]
    lines = [
        _row(heads + sets),
        "|---" * len(heads + sets) + "|",
        _row(["raw pixels", *[""] * (len(heads) - 1), *raw]),
    ]
    for stem, file in files.items():
        _, said = read_safetensors(file)
        training = json.loads(said["mgm_training"])
        twin = f"untrained-{stem.rpartition('-')[2]}"
        cells = [stem, said["mgm_method"], said["mgm_paradigm"], *_recipe(training)]
        cells.append(str(training["minutes"]))
        for name, own in by_file[stem].items():
            other = by_file[twin][name] if twin in by_file and twin != stem else None
            cells += [f"{own.accuracy:.3f}", _above(own, pixels[name]), _above(own, other)]
        lines.append(_row(cells))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _recipe(training: Mapping[str, Any]) -> list[str]:
    """Cells of what the recipes of a folder differ in; a file without one of them is usual."""
    if not training["epochs"]:
        return ["0", "", ""]
    said = _USUAL.to_dict() | training
    return [str(said["epochs"]), f"{said['rate']:g}", str(said["blur_at"])]


def _above(one: KnnAccuracy, other: KnnAccuracy | None) -> str:
    if other is None:
        return ""
    low, high = difference(one.correct, other.correct)
    return f"{one.accuracy - other.accuracy:+.3f} ({low:+.3f} to {high:+.3f})"
