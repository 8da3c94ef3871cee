"""A monitor of the geometry of features while a model trains: history, files, warnings in words."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError
from mgm_jax.geometry.points.groups import encode_groups
from mgm_jax.shown.result import Result

if TYPE_CHECKING:
    import pandas as pd

# Below these the features of trained encoders on natural images are not found: a mean cosine this
# high leaves an angle of 8 degrees between images.
_ONE_DIRECTION = 0.99
_FEW_RANKS = 2.0
_LOST_RANKS = 0.1


class CollapseWarning(UserWarning):
    """Features of a model in training have collapsed, or are about to."""


class Monitor(Result):
    """Measures features every so many steps, keeps what it found, and warns of collapse.

    Every measurement is one row of ``history`` and of the CSV file, which is complete after each
    of them, so that a run that is cut off leaves all it had. A folder that has a history already
    is gone on with: rows of later steps than the first new one are dropped, as of a run that goes
    on from a checkpoint.

    Args:
        every: steps from one measurement to the next.
        reference_images: what ``encode`` is given at each measurement: a fixed batch of images,
            or of views ``[images, views, ...]`` if ``encode`` returns features of that shape.
        labels: one integer or string an image, for ``knn_accuracy``; None leaves it out.
        folder: where ``geometry.csv`` and TensorBoard's events are written; None writes none.
        k: candidates of a neighbourhood, as in ``snapshot``.
        anchors: rows whose neighbourhoods are measured, as in ``snapshot``.
        tensorboard: whether to write events under ``folder`` (extra ``monitor``).
        wandb: project of Weights & Biases to log to, offline unless its own settings say
            otherwise (extra ``monitor``); None logs none.

    Raises:
        InputError: ``every`` below 1, events without a folder, a library that is not installed.

    Example:
        >>> monitor = Monitor(every=10, reference_images=np.eye(12, dtype=np.float32), k=3)
        >>> monitor(10, lambda images: 2 * images)["rankme"] > 11
        True
        >>> monitor(11, lambda images: images) is None
        True
    """

    def __init__(
        self,
        *,
        every: int = 100,
        reference_images: Any = None,
        labels: Any = None,
        folder: str | Path | None = None,
        k: int = 15,
        anchors: int = 256,
        tensorboard: bool = False,
        wandb: str | None = None,
    ) -> None:
        import jax

        from mgm_jax.training.snapshot import points_of, snapshot

        if every < 1:
            raise InputError(f"every must be at least 1 step; got {every}.")
        if tensorboard and folder is None:
            raise InputError("tensorboard=True needs a folder for the events; got folder=None.")
        self.every = every
        self.reference_images = reference_images
        self.labels = labels
        images = len(labels) if hasattr(labels, "__len__") else 0
        self._codes = None if labels is None else encode_groups(labels, images, name="labels").codes
        self.history: list[dict[str, float]] = []
        self._file = None if folder is None else Path(folder) / "geometry.csv"
        measure = jax.jit(lambda x, y: snapshot(x, y, k=k, anchors=anchors))
        self._snapshot = lambda x, y: measure(points_of(x), y)
        self._warned: set[str] = set()
        self._events = _tensorboard(Path(folder)) if tensorboard and folder is not None else None
        self._run = None if wandb is None else _wandb(wandb, folder)
        if self._file is not None and self._file.is_file():
            self.history = _read(self._file)

    def __call__(self, step: int, encode: Callable[[Any], Any]) -> dict[str, float] | None:
        """Measure ``encode(reference_images)`` where the step is due.

        Args:
            step: number of the training step.
            encode: from the reference images to features ``[n, d]`` or ``[images, views, d]``: a
                JAX array, a NumPy array or a PyTorch tensor.

        Returns:
            What was measured, or None where the step is not due.
        """
        if step % self.every:
            return None
        if self.reference_images is None:
            raise InputError(
                "reference_images must be given to measure an encoder; "
                "or hand features over with .log(step, features)."
            )
        return self.log(step, encode(self.reference_images))

    def log(self, step: int, features: Any) -> dict[str, float]:
        """Measure features that are there already, whatever the step.

        Args:
            step: number of the training step.
            features: ``[n, d]`` or ``[images, views, d]``.

        Returns:
            Name of each metric to its value.

        Warns:
            CollapseWarning: once, until the features have recovered.
        """
        values = self._snapshot(features, self._codes)
        return self.record(step, values)

    def record(self, step: int, snapshot: Mapping[str, Any]) -> dict[str, float]:
        """Keep a snapshot that was taken inside a training step; see ``log``."""
        values = {name: float(np.asarray(value)) for name, value in snapshot.items()}
        self.history = [row for row in self.history if row["step"] < step]
        self.history.append({"step": step} | values)
        if self._file is not None:
            _write(self._file, self.history)
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"geometry/{name}", value, step)
            self._events.flush()
        if self._run is not None:
            self._run.log({f"geometry/{name}": value for name, value in values.items()}, step=step)
        self._warn(step, values)
        return values

    def to_pandas(self) -> pd.DataFrame:
        """The history: a row a measurement, indexed by step, a column a metric."""
        import pandas as pd

        frame = pd.DataFrame(self.history or {"step": []})
        return frame.set_index(frame.pop("step").astype(int))

    def close(self) -> None:
        """End the files of TensorBoard and Weights & Biases."""
        if self._events is not None:
            self._events.close()
        if self._run is not None:
            self._run.finish()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Number of measurements and the last of them."""
        if not self.history:
            return f"Monitor(every={self.every}, nothing measured)"
        last = ", ".join(f"{name}={value:.4g}" for name, value in self.history[-1].items())
        return f"Monitor(every={self.every}, {len(self.history)} measured, last: {last})"

    def _warn(self, step: int, values: Mapping[str, float]) -> None:
        said = collapse_in_words(values, self.history)
        for kind, sentence in said.items():
            if kind not in self._warned:
                warnings.warn(f"step {step}: {sentence}", CollapseWarning, stacklevel=4)
        self._warned = set(said)

    def _picture(self) -> str:
        from mgm_jax.shown.plot import curve_svg

        if not self.history:
            return "<span>nothing was measured yet</span>"
        steps = [row["step"] for row in self.history]
        shown = ("rankme", "mean_cosine", "nnk_degree", "two_nn")
        return "".join(
            curve_svg(
                steps,
                {name: np.array([row.get(name, np.nan) for row in self.history])},
                across=f"{name} over steps",
                width=280,
                height=120,
            )
            for name in shown
        )

    def _shown_table(self) -> pd.DataFrame:
        return self.to_pandas().tail(10)


def collapse_in_words(
    values: Mapping[str, float], history: list[dict[str, float]]
) -> dict[str, str]:
    """Signs of collapse in a measurement, each as a sentence; empty where there are none.

    >>> sorted(collapse_in_words({"mean_cosine": 0.999, "rankme": 1.5}, []))
    ['few ranks', 'one direction']
    """
    said = {}
    cosine, rank = values.get("mean_cosine", math.nan), values.get("rankme", math.nan)
    if any(math.isnan(value) for value in (cosine, rank)):
        said["undefined"] = (
            "the features are zero, equal or not finite for some images, so their geometry is "
            "undefined: complete collapse, or a loss that diverged."
        )
    if cosine > _ONE_DIRECTION:
        said["one direction"] = (
            f"all images point in nearly one direction (mean cosine {cosine:.4f}): complete "
            "collapse, unless the features have a large common offset that a head takes off."
        )
    if rank < _FEW_RANKS:
        said["few ranks"] = f"the features use hardly more than one dimension (RankMe {rank:.2f})."
    highest = max((row.get("rankme", math.nan) for row in history), default=math.nan)
    if rank < _LOST_RANKS * highest:
        said["lost ranks"] = (
            f"the effective rank fell to {rank:.1f} from {highest:.1f}: dimensional collapse."
        )
    return said


def _read(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [
            {
                name: int(float(value)) if name == "step" else float(value)
                for name, value in row.items()
                if value not in ("", None)
            }
            for row in rows
        ]
    except (ValueError, TypeError) as error:
        raise InputError(
            f"folder must hold a geometry.csv of a monitor, numbers under names; {path} has "
            f"something else ({error}). Move it away, or name another folder."
        ) from error


def _write(path: Path, history: list[dict[str, float]]) -> None:
    from mgm_jax.files.whole import whole_file

    names = list(dict.fromkeys(name for row in history for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(history)


def _tensorboard(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise InputError(
            "tensorboard=True needs tensorboardX: pip install 'mgm_jax[monitor]'."
        ) from error
    return SummaryWriter(str(folder))


def _wandb(project: str, folder: str | Path | None) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise InputError("wandb=... needs wandb: pip install 'mgm_jax[monitor]'.") from error
    import os

    mode = os.environ.get("WANDB_MODE", "offline")
    return wandb.init(project=project, dir=None if folder is None else str(folder), mode=mode)
