"""Every real checkpoint beside the checkout, whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mgm_converters import CONVERTER_VERSION, convert
from mgm_jax.encoders import load_encoder

pytest.importorskip("torch")

TOLERANCE = 1e-4
CHECKPOINTS = Path(__file__).resolve().parents[4] / "shared" / "data" / "checkpoints"
REAL = sorted(
    path.relative_to(CHECKPOINTS).as_posix()
    for path in CHECKPOINTS.rglob("*")
    if path.suffix in (".tar", ".ckpt", ".th")
)


@pytest.mark.parametrize("name", REAL or [None])
def test_every_real_checkpoint_converts(shared_data, tmp_path, name):
    folder = tmp_path / "encoder"
    conversion = convert(shared_data / "checkpoints" / name, folder)
    report = conversion.report
    assert [check.tap for check in report.verification] == list(conversion.encoder.taps)
    assert report.largest_error is not None and report.largest_error <= TOLERANCE
    manifest = (shared_data / "checkpoints" / "MANIFEST.tsv").read_text()
    line = next(line for line in manifest.splitlines() if f"/{name}\t" in line)
    assert report.sha256 in line
    assert report.left == ()

    stored = json.loads((folder / "encoder.json").read_text())["meta"]
    assert stored["source"] == Path(name).name and stored["sha256"] == report.sha256
    assert stored["converter_version"] == CONVERTER_VERSION

    trunk = "/supervised/" in name
    expected = {"protoclr": "contrastive", "c3lr": "contrastive+clustering", "random": "untrained"}
    start = Path(name).name.split("_")[0]
    assert report.paradigm == expected.get(start, "supervised")
    plain = start in expected
    assert (conversion.encoder.preprocess.mean == (0.0, 0.0, 0.0)) == plain
    copies = [n for n, why in report.dropped.items() if "second time" in why]
    assert len(copies) == (24 if trunk else 0)


def test_a_written_encoder_reads_back_the_same(shared_data, tmp_path):
    file = shared_data / "checkpoints/conv4_miniimagenet/random_init.pth.tar"
    conversion = convert(file, tmp_path / "encoder", name="control", verify=False)
    assert conversion.report.verification == ()
    again = load_encoder(conversion.folder)
    assert again.name == "control" and again.digest == conversion.encoder.digest
    assert again.meta["paradigm"] == "untrained"
