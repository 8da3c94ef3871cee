"""Published encoders in a study, fetched from a server on this machine that fails as servers do."""

from __future__ import annotations

import gc
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from typer.testing import CliRunner

from mgm_jax.cli import app
from mgm_jax.encoders import PUBLISHED, ResNetSpec
from mgm_jax.encoders.catalogue.published import published_sources
from mgm_jax.errors import InputError
from mgm_jax.study import EncoderEntry
from mgm_jax.sweep.subjects import load_subjects
from tests.converters.layouts import moco, pycontrast, swav
from tests.converters.reading.test_download import Server

torch = pytest.importorskip("torch")

STUDY = """
name: published
encoders:
  - {source: "published:swav"}
  - {source: "published:moco-v2"}
  - {source: "published:insdis"}
images: [{source: digits, count: 24}]
augmentation: null
metrics: {resamples: 100}
transfer: {scores: "published:ericsson2021"}
"""


class Files(Server):
    """One file a path."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        type(self).content = self.files[self.path]
        super().do_GET()


@pytest.fixture
def handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torchvision: Any, randomised: Any
) -> Iterator[type[Files]]:
    """A server with three layouts of small networks, and their names, addresses and digests."""
    made = type("Handler", (Files,), {"ranges": [], "files": {}})
    server = http.server.HTTPServer(("127.0.0.1", 0), made)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    small = ResNetSpec(blocks=(1, 1, 1, 1), block="bottleneck", image_size=32)
    # The table is a view; what is behind it is the same for all who have imported it.
    table = gc.get_referents(PUBLISHED)[0]
    layouts = {"swav": swav, "moco_v2": moco(0, 2), "insdis": pycontrast("InsDis", "head")}
    for seed, (name, wrap) in enumerate(layouts.items()):
        block = torchvision.models.resnet.Bottleneck
        network = randomised(torchvision.models.ResNet(block, [1, 1, 1, 1]), seed=seed)
        torch.save(wrap(network.state_dict()), tmp_path / name)
        content = (tmp_path / name).read_bytes()
        made.files[f"/{name}.pth"] = content
        moved = replace(
            PUBLISHED[name],
            spec=small,
            preprocess=replace(PUBLISHED[name].preprocess, size=32, resize=32),
            address=f"http://127.0.0.1:{server.server_port}/{name}.pth",
            sha256=hashlib.sha256(content).hexdigest() if name != "moco_v2" else "",
        )
        monkeypatch.setitem(table, name, moved)
    monkeypatch.setenv("MGM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "study.yaml").write_text(STUDY)
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def mgm(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    error = done.exception
    if error is not None and not isinstance(error, SystemExit):
        return 2, str(error)
    return done.exit_code, done.output


def test_a_study_fetches_what_it_names_whatever_the_server_does(
    handler: type[Files], tmp_path: Path
) -> None:
    study, out = str(tmp_path / "study.yaml"), tmp_path / "out"
    code, said = mgm("plan", study, "-o", str(out), "--no-trial")
    assert code == 0 and "3 file(s)" in said and "CC-BY-NC-4.0: moco_v2" in said
    assert not (tmp_path / "cache").exists(), "a plan fetches nothing"
    code, said = mgm("run", study, "-o", str(out))
    assert code == 2 and "3 of 3 published encoders" in said and "--download" in said
    assert handler.ranges == []

    # The first connection breaks off for good, and the second file is another than it should be.
    right = handler.files["/insdis.pth"]
    handler.files["/insdis.pth"] = right[:-1] + b"x"
    handler.breaks, handler.stop = 3, 1_000_000
    code, said = mgm("run", study, "-o", str(out), "--download")
    assert code == 1 and "swav" in said and "broke off" in said and "expected a file with" in said
    assert list(pd.read_parquet(out / "models.parquet")["encoder"]) == ["moco_v2"]
    lost = json.loads((out / "study.json").read_text())["failed_cells"]
    assert {name for name, _ in lost} == {"swav", "insdis"}

    handler.files["/insdis.pth"] = right
    handler.ranges.clear()
    code, said = mgm("run", study, "-o", str(out), "--download")
    assert code == 0, said
    assert "bytes=3000000-" in handler.ranges, "the first file goes on where it stopped"
    assert len(handler.ranges) == 2, "what is there is not fetched again"
    models = pd.read_parquet(out / "models.parquet")
    assert list(models["encoder"]) == ["swav", "moco_v2", "insdis"]
    assert list(models["paradigm"]) == ["clustering", "contrastive", "contrastive"]
    given = pd.read_parquet(out / "transfer.parquet").set_index(["encoder", "images"])["value"]
    assert given["swav", "linear · Pets"] == 87.6
    assert "swav" in (out / "report.html").read_text()
    code, said = mgm("plan", study, "-o", str(out), "--no-trial")
    assert "nothing" in said and "72, 72 of them there" in said


def test_without_a_network_the_rest_is_measured(handler: type[Files], tmp_path: Path) -> None:
    result = []
    subjects = load_subjects(
        (EncoderEntry(source="published:swav"), EncoderEntry(source="pixels", size=8)),
        base=tmp_path,
        cache=tmp_path,
        convert=_offline,
        on_failure=lambda name, error: result.append((name, str(error))),
    )
    assert [one.name for one in subjects] == ["pixels"]
    assert result[0][0] == "swav" and "add --download" in result[0][1]


def _offline(file: Path | str, entry: Any, cache: Path) -> Path:
    from mgm_converters.reading.files.source import find_source

    return find_source(str(file)).file


def test_names_patterns_and_the_fourteen_of_the_paper() -> None:
    fourteen = published_sources("published:resnet50")
    assert len(fourteen) == 14 and all(PUBLISHED[name].spec.width() == 2048 for name in fourteen)
    assert published_sources("published:dino-vits*") == ("dino_vits16", "dino_vits8")
    with pytest.raises(InputError, match="did you mean swav"):
        published_sources("published:swaw")
