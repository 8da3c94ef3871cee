"""The example of packaged encoders, with networks of their files' kinds and random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from mgm_jax.cli import app
from tests.converters.layouts import in_one_sequence, of_efficientnet_pytorch

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx", reason="graphs of ONNX")
pytest.importorskip("onnxruntime", reason="graphs of ONNX")

EXAMPLE = Path(__file__).parents[3] / "examples" / "imagenet_scale.yaml"


def graph(path: Path, *, channels_last: bool, feature: str) -> None:
    """A small graph with the feature of the example within it and another output behind it."""
    node, kinds = onnx.helper.make_node, onnx.TensorProto
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(0, 0.3, (24, 3, 16, 16)),
        "head": rng.normal(0, 0.3, (24, 2)),
        "shape": np.array([0, 24, -1], np.int64),
    }
    nodes = [node("Transpose", ["images"], ["first"], perm=[0, 3, 1, 2])] if channels_last else []
    nodes += [
        node("Conv", ["first" if channels_last else "images", "kernel"], ["a"], strides=[16, 16]),
        node("Relu", ["a"], ["b"]),
        node("Reshape", ["b", "shape"], ["c"]),
        node("Transpose", ["c"], [feature], perm=[0, 2, 1]),
        node("MatMul", [feature, "head"], ["answer"]),
    ]
    sides = ["b", 224, 224, 3] if channels_last else ["b", 3, 224, 224]
    tensors = [
        onnx.numpy_helper.from_array(
            value if value.dtype == np.int64 else value.astype(np.float32), name=name
        )
        for name, value in weights.items()
    ]
    made = onnx.helper.make_graph(
        nodes,
        "small",
        [onnx.helper.make_tensor_value_info("images", kinds.FLOAT, sides)],
        [onnx.helper.make_tensor_value_info("answer", kinds.FLOAT, ["b", 196, 2])],
        tensors,
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(made, opset_imports=[opset], ir_version=8), str(path))


@pytest.mark.nightly
def test_the_example_runs_on_files_of_these_kinds(
    tmp_path: Path, timm: Any, torchvision: Any, randomised: Any
) -> None:
    folder = tmp_path / "encoders"
    folder.mkdir()
    live = randomised(torchvision.models.mobilenet_v2())
    weights = in_one_sequence(live.state_dict())
    bare = {name: value for name, value in weights.items() if "classifier" not in name}
    torch.save(bare, folder / "mobilenet_v2.pt")
    for number in range(3):
        net = randomised(timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False))
        state = of_efficientnet_pytorch(net.state_dict())
        torch.save(state, folder / f"efficientnet_lite{number}.pth")
    graph(folder / "vit_s14_saliency.onnx", channels_last=False, feature="/Slice_output_0")
    graph(folder / "resnet50_half_nsfw.onnx", channels_last=True, feature="Reshape:0")
    study = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    study["images"] = [{"source": "photo-patches", "per_class": 4, "name": "caltech20"}]
    study["transfer"]["targets"] = study["images"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    out = tmp_path / "out"
    call = ["run", str(tmp_path / "study.yaml"), "--data", str(tmp_path), "-o", str(out)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    models = pd.read_parquet(out / "models.parquet").set_index("encoder")
    assert list(models.index) == [one["name"] for one in study["encoders"]]
    twins = models.index.str.endswith("untrained")
    assert twins.sum() == 6 and (models.loc[twins, "paradigm"] == "untrained").all()
    assert np.isfinite(models[["semantic.nnk_degree", "rankme", "knn_accuracy"]].to_numpy()).all()
    assert (out / "report.html").stat().st_size > 0 and json.loads((out / "study.json").read_text())
