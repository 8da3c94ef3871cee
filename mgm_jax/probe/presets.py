"""Published protocols by name, as frozen configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jax.sharding import Mesh

from mgm_jax.errors import InputError, name_some
from mgm_jax.probe.features import MEMORY_LIMIT
from mgm_jax.probe.few_shot import FewShotResult, few_shot_probe
from mgm_jax.probe.linear import ProbeResult, linear_probe
from mgm_jax.probe.scoring import ScoreName


@dataclass(frozen=True, kw_only=True)
class LinearProtocol:
    """Many-shot linear classification of frozen features.

    Attributes:
        strengths: weight decays, evenly spread over the logarithms from 1e-6 to 1e5.
        mean_per_class: data sets that are scored so.
        map11: data sets of several labels an image; all others are scored by top-1.
        level: coverage of the interval.
    """

    strengths: int
    mean_per_class: tuple[str, ...] = ()
    map11: tuple[str, ...] = ()
    level: float = 0.95

    def measure(self, dataset: str | None) -> ScoreName:
        """How a data set is scored."""
        if dataset in self.map11:
            return "map11"
        return "mean_per_class" if dataset in self.mean_per_class else "top1"

    def run(
        self,
        train: tuple[Any, Any],
        validation: tuple[Any, Any] | None,
        test: tuple[Any, Any],
        *,
        dataset: str | None = None,
        seed: int = 0,
        devices: Mesh | Sequence[Any] | None = None,
        memory_limit: int = MEMORY_LIMIT,
    ) -> ProbeResult:
        """Fit the probe as the protocol does; see :func:`~mgm_jax.probe.linear.linear_probe`.

        Args:
            train: features ``[n, d]`` and labels.
            validation: likewise; None holds out a fifth of train.
            test: likewise.
            dataset: name of the data set, which says how it is scored.
            seed: of the held-out fifth and of the bootstrap.
            devices: that share the rows.
            memory_limit: bytes of features up to which they are held in memory.
        """
        return linear_probe(
            train,
            validation,
            test,
            strengths=self.strengths,
            measure=self.measure(dataset),
            level=self.level,
            seed=seed,
            devices=devices,
            memory_limit=memory_limit,
        )


@dataclass(frozen=True, kw_only=True)
class FewShotProtocol:
    """Episodes of nearest class means.

    Attributes:
        way: classes of an episode.
        shots: images of each class that make its mean; one result each.
        queries: images of each class that are told apart.
        episodes: how many are drawn.
        level: coverage of the interval.
    """

    way: int
    shots: tuple[int, ...]
    queries: int
    episodes: int
    level: float = 0.95

    def run(self, x: Any, labels: Any, *, seed: int = 0) -> dict[int, FewShotResult]:
        """Result of each shot; see :func:`~mgm_jax.probe.few_shot.few_shot_probe`."""
        return {
            shot: few_shot_probe(
                x,
                labels,
                way=self.way,
                shot=shot,
                queries=self.queries,
                episodes=self.episodes,
                level=self.level,
                seed=seed,
            )
            for shot in self.shots
        }


# L. Ericsson, H. Gouk, T. M. Hospedales, "How well do self-supervised models transfer?", CVPR 2021,
# sections 4.1 and 4.2.
_ERICSSON_2021_LINEAR = LinearProtocol(
    strengths=45,
    mean_per_class=("aircraft", "caltech101", "flowers", "pets"),
    map11=("voc2007",),
)
_ERICSSON_2021_FEW_SHOT = FewShotProtocol(way=5, shots=(5, 20, 50), queries=15, episodes=600)

PROTOCOLS: Mapping[str, LinearProtocol | FewShotProtocol] = MappingProxyType(
    {
        "ericsson2021/linear": _ERICSSON_2021_LINEAR,
        "ericsson2021/few-shot": _ERICSSON_2021_FEW_SHOT,
    }
)
"""Protocols by name."""


def find_protocol(name: str) -> LinearProtocol | FewShotProtocol:
    """The protocol of a name.

    Raises:
        InputError: there is none.

    >>> find_protocol("ericsson2021/few-shot").shots
    (5, 20, 50)
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol must be one of {name_some(PROTOCOLS)}; got {name!r}.")
    return PROTOCOLS[name]
