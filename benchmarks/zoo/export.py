"""Which of the trained weights are shipped, and the table that says what they are."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from safetensors import safe_open

from mgm_jax.errors import InputError
from mgm_jax.files import whole_file

#: One encoder, and all of them, in bytes.
MOST, MOST_IN_ALL = 1_200_000, 14_000_000

_RUN = re.compile(r"(?P<name>[a-z_]+-[a-z]+)-s(?P<seed>\d+)")


def export_zoo(runs: Path, out: Path, *, seed: int) -> list[Path]:
    """Copy the last weights of every finished run of a seed, named by method and backbone.

    Args:
        runs: folder with one folder a run.
        out: folder of the shipped weights.
        seed: which of several runs of a method.

    Returns:
        The files that were written.

    Raises:
        InputError: no finished run, or more bytes than may be shipped.
    """
    chosen: dict[str, Path] = {}
    for folder in sorted(runs.iterdir()):
        match = _RUN.fullmatch(folder.name)
        if match and int(match["seed"]) == seed and (folder / "log.jsonl").is_file():
            lines = (folder / "log.jsonl").read_text().splitlines()
            epochs = json.loads((folder / "recipe.json").read_text())["epochs"]
            last = len(lines) - 1
            if last == epochs or match["name"].startswith("untrained"):
                chosen[match["name"]] = folder / f"{folder.name}-e{last:02d}.safetensors"
    if not chosen:
        raise InputError(f"{runs}: no finished run of seed {seed}")
    sizes = {name: file.stat().st_size for name, file in chosen.items()}
    heavy = [name for name, size in sizes.items() if size > MOST]
    if heavy or sum(sizes.values()) > MOST_IN_ALL:
        raise InputError(
            f"{', '.join(heavy) or 'all together'}: at most {MOST} bytes an encoder and "
            f"{MOST_IN_ALL} in all may be shipped, got {sizes}"
        )
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, file in chosen.items():
        with whole_file(out / f"{name}.safetensors") as part:
            shutil.copyfile(file, part)
        written.append(out / f"{name}.safetensors")
    return written


def table(folder: Path) -> str:
    """A Markdown table of shipped weights, from what the files say of themselves."""
    lines = [
        "| encoder | method | paradigm | epochs | minutes | k-NN accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "numpy") as opened:
            said = opened.metadata()
        training = json.loads(said["mgm_training"])
        accuracies = "; ".join(f"{name} {share:.3f}" for name, share in training["knn"].items())
        lines.append(
            f"| {file.stem} | {said['mgm_method']} | {said['mgm_paradigm']} "
            f"| {training['epochs']} | {training['minutes']} | {accuracies} |"
        )
    return "\n".join(lines)
