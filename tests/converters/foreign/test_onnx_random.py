"""The untrained twin of a graph: each weight drawn by what it enters, all else as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mgm_jax.errors import InputError

onnx = pytest.importorskip("onnx", reason="graphs of ONNX")

from mgm_converters.foreign.onnx_random import redraw  # noqa: E402

DRAWN = np.random.default_rng(0)
VALUES = {
    "kernel": DRAWN.normal(3.0, 5.0, (64, 48, 3, 3)),
    "bias": DRAWN.normal(3.0, 5.0, 64),
    **{f"norm{i}": DRAWN.uniform(2.0, 5.0, 64) for i in range(4)},
    "matrix": DRAWN.normal(3.0, 5.0, (96, 64)),
    "shift": DRAWN.normal(3.0, 5.0, (1, 96)),
    "scale": DRAWN.normal(3.0, 5.0, 96),
    "positions": DRAWN.normal(3.0, 5.0, (1, 40, 96)),
    "mask": np.where(DRAWN.random((40, 96)) < 0.5, 0.0, -100.0),
    "epsilon": np.array([0.25]),
}


def graph_of(*, layer: str = "Conv") -> Any:
    node, weights = onnx.helper.make_node, dict(VALUES)
    constant = onnx.numpy_helper.from_array(weights.pop("scale").astype(np.float32))
    nodes = [
        node(layer, ["x", "kernel", "bias"], ["a"]),
        node("BatchNormalization", ["a", *(f"norm{i}" for i in range(4))], ["b"]),
        # The matrix is turned before it is used.
        node("Transpose", ["matrix"], ["turned"]),
        node("MatMul", ["b", "turned"], ["c"]),
        node("Constant", [], ["scale"], value=constant),
        node("Mul", ["c", "scale"], ["d"]),
        node("Add", ["d", "shift"], ["e"]),
        node("Add", ["positions", "e"], ["f"]),
        node("Add", ["f", "mask"], ["g"]),
        node("Add", ["g", "epsilon"], ["h"]),
    ]
    tensors = [
        onnx.numpy_helper.from_array(value.astype(np.float32), name=name)
        for name, value in weights.items()
    ]
    graph = onnx.helper.make_graph(nodes, "all kinds", [], [], tensors)
    return onnx.helper.make_model(graph)


def weights_of(model: Any) -> dict[str, np.ndarray]:
    result = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    (constant,) = (one for one in model.graph.node if one.op_type == "Constant")
    return result | {"scale": onnx.numpy_helper.to_array(constant.attribute[0].t)}


def test_every_weight_is_drawn_by_what_it_enters() -> None:
    model = graph_of()
    count = redraw(model, seed=1, source="graph")
    result = weights_of(model)
    kept = ("mask", "epsilon")
    assert count == sum(value.size for name, value in VALUES.items() if name not in kept)
    for name in kept:
        np.testing.assert_array_equal(result[name], VALUES[name].astype(np.float32))
    for name, value in {"bias": 0, "shift": 0, "scale": 1, "norm0": 1, "norm1": 0}.items():
        assert (result[name] == value).all(), name
    assert (result["norm2"] == 0).all() and (result["norm3"] == 1).all()
    deviations = {
        "kernel": np.sqrt(2 / (48 * 9)),
        "matrix": np.sqrt(2 / (96 + 64)),
        "positions": 0.02,
    }
    for name, deviation in deviations.items():
        drawn = result[name].astype(np.float64)
        # Five standard errors of mean and deviation of as many normal values.
        error = 5 * deviation / np.sqrt(drawn.size)
        assert abs(drawn.mean()) < error and abs(drawn.std() - deviation) < error, name


def test_a_seed_decides_the_draw() -> None:
    drawn = []
    for seed in (1, 1, 2):
        redraw(model := graph_of(), seed=seed, source="graph")
        drawn.append(weights_of(model)["kernel"])
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()


def test_a_graph_of_unknown_layers_has_no_twin() -> None:
    with pytest.raises(InputError, match=r"graph: init: random .* the others enter FusedConv"):
        redraw(graph_of(layer="FusedConv"), seed=0, source="graph")
