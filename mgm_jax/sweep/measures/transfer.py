"""One measure of one encoder on one target: embeddings in, rows of the transfer table out."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from mgm_jax.errors import InputError, name_some
from mgm_jax.probe.features import MEMORY_LIMIT, Features
from mgm_jax.probe.few_shot import few_shot_probe
from mgm_jax.probe.knn import knn_probe
from mgm_jax.probe.linear import linear_probe
from mgm_jax.probe.ridge import ridge_probe
from mgm_jax.probe.scores.transfer_scores import transfer_scores
from mgm_jax.probe.scoring import (
    OF_SEVERAL,
    OF_VALUES,
    ScoreName,
    answer_interval,
    score_interval,
    score_of,
)
from mgm_jax.study import Transfer
from mgm_jax.sweep.plan.cells import Cell, ImageSet
from mgm_jax.sweep.plan.target_values import MEASURES_OF
from mgm_jax.sweep.plan.targets import Split, Target, split_target

#: Raise it when a change of the code changes the numbers of a measure.
TRANSFER_VERSION = 3

#: Bytes of features that one linear or ridge probe holds: up to four measures are side by side.
MEMORY_OF_A_MEASURE = MEMORY_LIMIT // 4

#: Columns of the transfer table that one measure fills.
ROW_COLUMNS = (
    *("kind", "measure", "metric", "value", "low", "high", "level", "strength", "converged"),
    *("n_train", "n_test", "classes"),
)

_METRICS: tuple[ScoreName, ...] = ("top1", "mean_per_class")


class Outcome(NamedTuple):
    """What a measure has found.

    Attributes:
        rows: of the transfer table, without the columns of the cell.
        left_out: what did not fit the target, in words.
    """

    rows: list[dict[str, Any]]
    left_out: list[str]


@dataclass(frozen=True, kw_only=True)
class TransferCell:
    """One measure of one encoder's default feature on one target.

    Attributes:
        cell: the embeddings, without augmentation.
        target: the image set and how it is split.
        measure: ``linear``, ``ridge``, ``knn``, ``few-shot``, or a score such as ``logme``.
    """

    cell: Cell
    target: Target
    measure: str

    @property
    def images(self) -> ImageSet:
        """The target's image set."""
        return self.cell.images

    @property
    def label(self) -> str:
        """The cell in one line, for progress and errors."""
        cell = self.cell
        return f"{cell.subject.name} · {cell.images.name} · {self.measure} · {cell.tap}"

    def digest(self, transfer: Transfer, *, seed: int) -> str:
        """Digest of the record: embeddings, split, options of the measure, version.

        Options of other measures do not enter: another shot does not train a linear probe again.
        """
        names = _OPTIONS.get(self.measure, ("test_share",))
        values = transfer.model_dump(mode="json")
        content = {
            "version": TRANSFER_VERSION,
            "embeddings": self.cell.manifest.digest,
            # Labels are no part of embeddings.
            "source": self.cell.images.source.subset(self.cell.plan.indices).digest,
            "has_test": self.target.has_test,
            "measure": self.measure,
            "options": {_OLD_NAMES.get(name, name): values[name] for name in names},
            "seed": seed,
        }
        if self.target.values is not None:
            columns = self.target.values.values[list(self.cell.plan.indices)]
            content["values"] = hashlib.sha256(columns.tobytes()).hexdigest()
            content["kind"] = self.target.values.kind
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]

    def run(
        self,
        x: Features,
        rows: np.ndarray,
        transfer: Transfer,
        *,
        seed: int,
        devices: Mesh | None = None,
    ) -> Outcome:
        """Measure.

        Args:
            x: embeddings of the images that could be read, ``[m, d]``. Linear and ridge probes
                read them block by block where they are large; all others hold them in memory.
            rows: which rows of the cell they are, ``[m]``.
            transfer: the options.
            seed: of the study.
            devices: that share the rows of a linear probe; None for one.

        Raises:
            InputError: the embeddings or the labels do not allow it.
        """
        ids, labels = self.cell.points()[rows], self.cell.labels()[rows]
        classes = self.cell.images.source.classes
        if self.target.values is not None:
            columns = self.target.values.values[list(self.cell.plan.indices)][rows]
            return self._run_columns(x, ids.tolist(), columns, transfer, seed, devices)
        try:
            if self.measure == "few-shot":
                known = labels >= 0
                return _few_shot(x.take(known).whole(), labels[known], transfer, seed=seed)
            split = split_target(
                ids.tolist(),
                labels,
                classes=classes,
                has_test=self.target.has_test,
                transfer=transfer,
                seed=seed,
            )
            if self.measure == "linear":
                results = _linear(x, labels, split, transfer, seed, devices)
            elif self.measure in _PROBES:
                results = _PROBES[self.measure](x, labels, split, transfer, seed)
            else:
                results = _score(x, labels, split, self.measure)
        # A decomposition of extreme numbers may not converge; the other measures may still do.
        except (np.linalg.LinAlgError, FloatingPointError) as error:
            raise InputError(f"the features cannot be decomposed: {error}") from error
        few = f"classes with too few images, left out: {name_some(split.left_out)}"
        return Outcome(results, [few] if split.left_out else [])

    def _run_columns(
        self,
        x: Features,
        ids: list[str],
        columns: np.ndarray,
        transfer: Transfer,
        seed: int,
        devices: Mesh | None,
    ) -> Outcome:
        """Measure several labels, or real values, ``[m, c]``."""
        assert self.target.values is not None
        kind = self.target.values.kind
        known = ~np.isnan(columns).any(axis=1)
        split = split_target(
            ids,
            np.where(known, 0, -1),
            classes=("all",),
            has_test=self.target.has_test,
            transfer=transfer,
            seed=seed,
            least_classes=1,
        )
        learn = np.sort(np.concatenate([split.train, split.validation]))
        metrics = OF_SEVERAL if kind == "several labels" else OF_VALUES
        test = x.take(split.test), columns[split.test]
        options: dict[str, Any] = {
            "l2_penalties": transfer.l2_penalties,
            "measure": metrics[0],
            "level": transfer.level,
            "seed": seed,
            "memory_limit": MEMORY_OF_A_MEASURE,
        }
        more: dict[str, Any] = {}
        try:
            if self.measure == "linear":
                train, validation = (
                    (x.take(part), columns[part]) for part in (split.train, split.validation)
                )
                result = linear_probe(train, validation, test, devices=devices, **options)
                more["converged"] = bool(result.refit_converged)
            else:
                result = ridge_probe((x.take(learn), columns[learn]), None, test, **options)
        except (np.linalg.LinAlgError, FloatingPointError) as error:
            raise InputError(f"the features cannot be decomposed: {error}") from error
        logits = result.logits(test[0])
        results = []
        for metric in metrics:
            low, high = score_interval(
                logits, test[1], score=metric, level=transfer.level, seed=seed
            )
            results.append(
                _row(
                    kind="probe",
                    measure=self.measure,
                    metric=metric,
                    value=score_of(logits, test[1], score=metric),
                    low=low,
                    high=high,
                    level=transfer.level,
                    strength=result.l2_penalty,
                    n_train=len(learn),
                    n_test=len(split.test),
                    classes=columns.shape[1],
                    **more,
                )
            )
        takes = " and ".join(MEASURES_OF[kind])
        return Outcome(results, [f"{kind} are measured by {takes} alone; other measures left out"])


def _linear(
    x: Features,
    labels: np.ndarray,
    split: Split,
    transfer: Transfer,
    seed: int,
    devices: Mesh | None,
) -> list[dict[str, Any]]:
    sets = ((x.take(rows), labels[rows]) for rows in split[:3])
    result = linear_probe(
        *sets,
        l2_penalties=transfer.l2_penalties,
        level=transfer.level,
        seed=seed,
        devices=devices,
        memory_limit=MEMORY_OF_A_MEASURE,
    )
    right = result.logits(x.take(split.test)).argmax(axis=1)
    answers = _answers("linear", result.classes[right], labels, split, transfer, seed)
    more = {"strength": result.l2_penalty, "converged": bool(result.refit_converged)}
    return [row | more for row in answers]


def _ridge(
    x: Features, labels: np.ndarray, split: Split, transfer: Transfer, seed: int
) -> list[dict[str, Any]]:
    # The penalty is chosen by leaving one out; validation images are images to learn from.
    learn = np.sort(np.concatenate([split.train, split.validation]))
    result = ridge_probe(
        (x.take(learn), labels[learn]),
        None,
        (x.take(split.test), labels[split.test]),
        l2_penalties=transfer.l2_penalties,
        level=transfer.level,
        seed=seed,
        memory_limit=MEMORY_OF_A_MEASURE,
    )
    right = result.logits(x.take(split.test)).argmax(axis=1)
    answers = _answers("ridge", result.classes[right], labels, split, transfer, seed)
    return [row | {"strength": result.l2_penalty} for row in answers]


def _knn(
    x: Features, labels: np.ndarray, split: Split, transfer: Transfer, seed: int
) -> list[dict[str, Any]]:
    learn = np.sort(np.concatenate([split.train, split.validation]))
    votes = knn_probe(
        (x.take(learn).whole(), labels[learn]),
        (x.take(split.test).whole(), labels[split.test]),
        k=min(transfer.k, len(learn)),
        level=transfer.level,
    )
    # Of a wrong answer it does not matter which one it is.
    answers = np.where(votes.correct, labels[split.test], -1)
    return _answers("knn", answers, labels, split, transfer, seed)


def _answers(
    measure: str,
    answers: np.ndarray,
    labels: np.ndarray,
    split: Split,
    transfer: Transfer,
    seed: int,
) -> list[dict[str, Any]]:
    """A row a metric of a classifier's answers to the test images."""
    truth = labels[split.test]
    _, codes = np.unique(truth, return_inverse=True)
    right = answers == truth
    rows = []
    for metric in _METRICS:
        value, low, high = answer_interval(
            right, codes, score=metric, level=transfer.level, seed=seed
        )
        rows.append(
            _row(
                kind="probe",
                measure=measure,
                metric=metric,
                value=value,
                low=low,
                high=high,
                level=transfer.level,
                n_train=len(split.train) + len(split.validation),
                n_test=len(split.test),
                classes=len(np.unique(truth)),
            )
        )
    return rows


def _few_shot(x: np.ndarray, labels: np.ndarray, transfer: Transfer, *, seed: int) -> Outcome:
    sizes = np.unique(labels, return_counts=True)[1]
    rows, left_out = [], []
    for shot in transfer.shots:
        name = f"{transfer.way}-way {shot}-shot"
        fitting = int((sizes >= shot + transfer.queries).sum())
        if fitting < transfer.way:
            left_out.append(
                f"{name}, left out: it takes {transfer.way} classes of "
                f"{shot + transfer.queries} images, {fitting} have as many"
            )
            continue
        result = few_shot_probe(
            x,
            labels,
            way=transfer.way,
            shot=shot,
            queries=transfer.queries,
            episodes=transfer.episodes,
            level=transfer.level,
            seed=seed,
        )
        rows.append(
            _row(
                kind="probe",
                measure=f"few_shot_{transfer.way}way_{shot}shot",
                metric="top1",
                value=result.accuracy,
                low=result.low,
                high=result.high,
                level=result.level,
                n_train=transfer.way * shot,
                n_test=transfer.way * transfer.queries,
                classes=fitting,
            )
        )
    return Outcome(rows, left_out)


def _score(x: Features, labels: np.ndarray, split: Split, measure: str) -> list[dict[str, Any]]:
    """A score of the images that probes learn from; test images stay unseen."""
    learn = np.sort(np.concatenate([split.train, split.validation]))
    name = measure.replace("-", "_")
    points = x.take(learn).whole()
    value = transfer_scores(points, labels[learn], scores=(name,)).to_dict()[name]  # type: ignore[arg-type]
    classes = len(np.unique(labels[learn]))
    return [
        _row(kind="score", measure=name, metric="score", value=value)
        | {"n_train": len(learn), "n_test": 0, "classes": classes}
    ]


def _row(**values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(ROW_COLUMNS)
    return empty | {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


_PROBES = {"ridge": _ridge, "knn": _knn}
_OPTIONS = {
    "linear": ("test_share", "validation_share", "l2_penalties", "level"),
    "ridge": ("test_share", "l2_penalties", "level"),
    "knn": ("test_share", "k", "level"),
    "few-shot": ("way", "shots", "queries", "episodes", "level"),
}
# Options that had another name when the digests of records began.
_OLD_NAMES = {"l2_penalties": "strengths"}
