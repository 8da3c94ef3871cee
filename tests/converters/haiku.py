"""Stand-ins under the module names of BYOL's code, to write its pickles without that code."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

State = Mapping[str, np.ndarray]


class _ByolExperimentState(NamedTuple):
    online_params: Any
    target_params: Any
    online_state: Any
    target_state: Any
    opt_state: Any


class ScaleByLarsState(NamedTuple):
    mu: Any


class FlatMapping(dict):
    def __reduce__(self) -> Any:
        return FlatMapping, (dict(self),)


_PLACES = {
    _ByolExperimentState: "byol.byol_experiment",
    ScaleByLarsState: "byol.utils.optimizers",
    FlatMapping: "haiku._src.data_structures",
}


@contextmanager
def _places() -> Iterator[None]:
    """The modules as they stand while the file is written, and gone when it is read."""
    before = set(sys.modules)
    for made, position in _PLACES.items():
        steps = position.split(".")
        for end in range(1, len(steps) + 1):
            name = ".".join(steps[:end])
            sys.modules.setdefault(name, types.ModuleType(name))
        made.__module__, made.__qualname__ = position, made.__name__
        setattr(sys.modules[position], made.__name__, made)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("byol", "haiku"):
                del sys.modules[name]


def haiku_trees(state: State) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and statistics under Haiku's names, from canonical weights of a bottleneck."""
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    for name, value in state.items():
        owner, _, leaf = name.rpartition(".")
        steps = owner.split(".")
        if len(steps) == 1:
            path = f"initial_{'conv' if owner == 'conv1' else 'batchnorm'}"
        else:
            block = f"block_group_{int(steps[0][-1]) - 1}/~/block_{steps[1]}/~/"
            if steps[2] == "downsample":
                path = block + ("shortcut_conv" if steps[3] == "0" else "shortcut_batchnorm")
            else:
                kind, number = steps[2][:-1], int(steps[2][-1]) - 1
                path = f"{block}{'conv' if kind == 'conv' else 'batchnorm'}_{number}"
        path = f"res_net50/~/{path}"
        if value.ndim == 4:
            params[path] = {"w": value.transpose(2, 3, 1, 0)}
        elif leaf in ("weight", "bias"):
            key = "scale" if leaf == "weight" else "offset"
            params.setdefault(path, {})[key] = value.reshape(1, 1, 1, -1)
        else:
            mean = f"{path}/~/{'mean' if leaf == 'running_mean' else 'var'}_ema"
            wide = value.reshape(1, 1, 1, -1)
            stats[mean] = {"average": wide, "hidden": wide * 0.5, "counter": np.int32(9)}
    params["projector/linear"] = {"w": np.ones((2, 2), np.float32)}
    params["predictor/linear_1"] = {"w": np.ones((2, 2), np.float32)}
    params["classifier"] = {"w": np.ones((2, 2), np.float32), "b": np.ones(2, np.float32)}
    return params, stats


def write_byol(file: Path, state: State, *, protocol: int = 2, extra: Any = None) -> Path:
    """BYOL's checkpoint: the state of the experiment beside step and random key."""
    params, stats = haiku_trees(state)
    with _places():
        online, averages = (
            FlatMapping({k: FlatMapping(v) for k, v in tree.items()}) for tree in (params, stats)
        )
        content = {
            "experiment_state": _ByolExperimentState(
                online, online, averages, averages, ScaleByLarsState(online)
            ),
            "step": np.int64(300),
            "rng": np.zeros(2, np.uint32),
        }
        file.write_bytes(pickle.dumps(content | (extra or {}), protocol=protocol))
    return file
