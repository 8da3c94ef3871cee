"""A safetensors file is converted where PyTorch is not installed, to the very same encoder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mgm_converters import convert
from mgm_jax.encoders import read_encoder
from tests.launch import ROOT
from tests.zoo.weights import resnet_state, stated, vit_state, write

# Every import of the name fails, as where it is not installed.
CODE = """
import json, sys
from pathlib import Path
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from mgm_converters import convert
from mgm_jax.errors import InputError
folder = Path(sys.argv[1])
said = {}
for file in sorted(folder.glob("*.safetensors")):
    head = file.stem == "resnet"
    made = convert(file, folder / "without" / file.stem, head=head)
    said[file.stem] = made.report.lines()[-1]
    assert "torch" not in sys.modules
try:
    convert(folder / "old.pth")
except InputError as error:
    said["pth"] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet with a classifier, a ViT, and a ViT in bfloat16 that NumPy alone cannot read."""
    import jax.numpy as jnp

    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(5)
    classifier = {"fc.weight": rng.normal(size=(3, 32)), "fc.bias": rng.normal(size=3)}
    state = resnet_state() | {name: a.astype(np.float16) for name, a in classifier.items()}
    write(folder / "resnet.safetensors", state, stated())
    write(folder / "vit.safetensors", vit_state(dtype=np.float32), stated(heads=3))
    short = vit_state(dtype=jnp.bfloat16)  # type: ignore[arg-type]
    _write_bfloat16(folder / "short.safetensors", short, stated(heads=3))
    (folder / "old.pth").write_bytes(b"PK\x03\x04 a zip of torch.save")
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(folder)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet", "vit", "short"])
def test_the_encoder_is_the_same(folder: Path, said: dict[str, str], name: str) -> None:
    pytest.importorskip("torch")
    with_torch = convert(folder / f"{name}.safetensors", head=name == "resnet")
    # With PyTorch every tap was compared with PyTorch's own network.
    assert len(with_torch.report.verification) == len(with_torch.encoder.taps)
    without = read_encoder(folder / "without" / name)
    assert without.weights_sha256 == with_torch.encoder.weights_sha256
    assert (without.spec, without.preprocess) == (
        with_torch.encoder.spec,
        with_torch.encoder.preprocess,
    )
    assert "logits" in without.taps or name != "resnet"


def test_short_numbers_are_read_as_what_they_are(folder: Path, said: dict[str, str]) -> None:
    import jax.numpy as jnp

    weights = vit_state(dtype=np.float32)["patch_embed.proj.bias"]
    rounded = np.asarray(jnp.asarray(weights, jnp.bfloat16).astype(jnp.float32))
    params = read_encoder(folder / "without" / "short").params
    assert any(
        leaf.shape == rounded.shape and np.array_equal(leaf, rounded) for leaf in _leaves(params)
    )


def test_the_report_says_that_nothing_was_compared(said: dict[str, str]) -> None:
    assert {said[name] for name in ("resnet", "vit", "short")} == {
        "not verified  PyTorch is not installed"
    }


def test_another_file_needs_it(said: dict[str, str]) -> None:
    assert "PyTorch, which is not installed" in said["pth"]


def _leaves(params: object) -> list[np.ndarray]:
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(params)]


def _write_bfloat16(path: Path, state: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """By hand, as the format is defined: the length of a JSON head, the head, the bytes."""
    head: dict[str, object] = {"__metadata__": metadata}
    body = b""
    for name, array in state.items():
        content = array.tobytes()
        head[name] = {
            "dtype": "BF16",
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(content)],
        }
        body += content
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
