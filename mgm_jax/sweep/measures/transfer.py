"""One measure of one encoder on one target: embeddings in, rows of the transfer table out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from mgm_jax.errors import InputError, name_some
from mgm_jax.files.seals import digest_of
from mgm_jax.probe.features import MEMORY_LIMIT, Features
from mgm_jax.probe.few_shot import few_shot_probe
from mgm_jax.probe.knn import knn_probe
from mgm_jax.probe.linear import ProbeResult, linear_probe
from mgm_jax.probe.ridge import RidgeResult, ridge_probe
from mgm_jax.probe.scores.transfer_scores import transfer_scores
from mgm_jax.probe.scoring import (
    OF_CLASSES,
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
        return digest_of(content)[:24]

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
        ids, labels = self.cell.points()[rows].tolist(), self.cell.labels()[rows]
        known = labels >= 0
        if self.measure == "few-shot" and self.target.values is None:
            with _decomposed():
                return _few_shot(x.take(known).whole(), labels[known], transfer, seed=seed)
        classes, least = self.cell.images.source.classes, {}
        sought = labels
        if self.target.values is not None:
            sought = self.target.values.values[list(self.cell.plan.indices)][rows]
            labels = np.where(np.isnan(sought).any(axis=1), -1, 0)
            classes, least = ("all",), {"least_classes": 1}
        split = split_target(
            ids,
            labels,
            classes=classes,
            has_test=self.target.has_test,
            transfer=transfer,
            seed=seed,
            **least,
        )
        sets = _Sets(x, sought, split, transfer, seed, devices)
        with _decomposed():
            if self.target.values is not None:
                kind = self.target.values.kind
                takes = " and ".join(MEASURES_OF[kind])
                said = [f"{kind} are measured by {takes} alone; other measures left out"]
                return Outcome(_columns(self.measure, sets, kind=kind), said)
            results = _MEASURES.get(self.measure, _score)(self.measure, sets)
        few = f"classes with too few images, left out: {name_some(split.left_out)}"
        return Outcome(results, [few] if split.left_out else [])


@contextmanager
def _decomposed() -> Iterator[None]:
    """A body in which a decomposition of extreme numbers may not converge: no other's fault."""
    try:
        yield
    except (np.linalg.LinAlgError, FloatingPointError) as error:
        raise InputError(f"the features cannot be decomposed: {error}") from error


class _Sets(NamedTuple):
    """What a measure looks at: features, what is sought of each row, and how they are split."""

    x: Features
    sought: np.ndarray
    split: Split
    transfer: Transfer
    seed: int
    devices: Mesh | None

    @property
    def learn(self) -> np.ndarray:
        """Rows to learn from, where no penalty is chosen on validation."""
        return np.sort(np.concatenate([self.split.train, self.split.validation]))

    def of(self, rows: np.ndarray) -> tuple[Features, np.ndarray]:
        """Features and what is sought of some rows."""
        return self.x.take(rows), self.sought[rows]

    def fit(self, measure: str, score: ScoreName) -> ProbeResult | RidgeResult:
        """The linear or the ridge probe."""
        options: dict[str, Any] = {
            "l2_penalties": self.transfer.l2_penalties,
            "measure": score,
            "level": self.transfer.level,
            "seed": self.seed,
            "memory_limit": MEMORY_OF_A_MEASURE,
        }
        train, validation, test = (self.of(rows) for rows in self.split[:3])
        if measure == "linear":
            return linear_probe(train, validation, test, devices=self.devices, **options)
        # Its penalty is chosen by leaving one out; validation images are images to learn from.
        return ridge_probe(self.of(self.learn), None, test, **options)

    def rows(
        self,
        measure: str,
        scores: Sequence[ScoreName],
        scored: Callable[[ScoreName], tuple[float, float, float]],
        *,
        classes: int,
        result: ProbeResult | RidgeResult | None = None,
    ) -> list[dict[str, Any]]:
        """A row a score of a probe: its value and the ends of its interval."""
        same: dict[str, Any] = {
            "kind": "probe",
            "measure": measure,
            "level": self.transfer.level,
            "n_train": len(self.learn),
            "n_test": len(self.split.test),
            "classes": classes,
        }
        if result is not None:
            same["strength"] = result.l2_penalty
        if isinstance(result, ProbeResult):
            same["converged"] = bool(result.refit_converged)
        return [
            _row(metric=score, **dict(zip(("value", "low", "high"), scored(score), strict=True)))
            | same
            for score in scores
        ]


def _columns(measure: str, sets: _Sets, *, kind: str) -> list[dict[str, Any]]:
    """Several labels, or real values, ``[m, c]``."""
    scores = OF_SEVERAL if kind == "several labels" else OF_VALUES
    result = sets.fit(measure, scores[0])
    x, truth = sets.of(sets.split.test)
    logits = result.logits(x)

    def scored(score: ScoreName) -> tuple[float, float, float]:
        ends = score_interval(logits, truth, score=score, level=sets.transfer.level, seed=sets.seed)
        return score_of(logits, truth, score=score), *ends

    return sets.rows(measure, scores, scored, classes=truth.shape[1], result=result)


def _penalised(measure: str, sets: _Sets) -> list[dict[str, Any]]:
    result = sets.fit(measure, "top1")
    best = result.logits(sets.x.take(sets.split.test)).argmax(axis=1)
    return _answers(measure, result.classes[best], sets, result)


def _knn(measure: str, sets: _Sets) -> list[dict[str, Any]]:
    (train, labels), (test, truth) = sets.of(sets.learn), sets.of(sets.split.test)
    votes = knn_probe(
        (train.whole(), labels),
        (test.whole(), truth),
        k=min(sets.transfer.k, len(labels)),
        level=sets.transfer.level,
    )
    # Of a wrong answer it does not matter which one it is.
    return _answers(measure, np.where(votes.correct, truth, -1), sets)


def _answers(
    measure: str,
    answers: np.ndarray,
    sets: _Sets,
    result: ProbeResult | RidgeResult | None = None,
) -> list[dict[str, Any]]:
    """A row a score of a classifier's answers to the test images."""
    truth = sets.sought[sets.split.test]
    known, codes = np.unique(truth, return_inverse=True)
    right = answers == truth

    def scored(score: ScoreName) -> tuple[float, float, float]:
        return answer_interval(right, codes, score=score, level=sets.transfer.level, seed=sets.seed)

    return sets.rows(measure, OF_CLASSES, scored, classes=len(known), result=result)


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


def _score(measure: str, sets: _Sets) -> list[dict[str, Any]]:
    """A score of the images that probes learn from; test images stay unseen."""
    name = measure.replace("-", "_")
    x, labels = sets.of(sets.learn)
    value = transfer_scores(x.whole(), labels, scores=(name,)).to_dict()[name]  # type: ignore[arg-type]
    return [
        _row(kind="score", measure=name, metric="score", value=value)
        | {"n_train": len(labels), "n_test": 0, "classes": len(np.unique(labels))}
    ]


def _row(**values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(ROW_COLUMNS)
    return empty | {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


_MEASURES = {"linear": _penalised, "ridge": _penalised, "knn": _knn}
_OPTIONS = {
    "linear": ("test_share", "validation_share", "l2_penalties", "level"),
    "ridge": ("test_share", "l2_penalties", "level"),
    "knn": ("test_share", "k", "level"),
    "few-shot": ("way", "shots", "queries", "episodes", "level"),
}
# Options that had another name when the digests of records began.
_OLD_NAMES = {"l2_penalties": "strengths"}
