"""Faults that are really there: the sweep names what failed, does the rest, and heals."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mgm_jax.encoders import Encoder
from mgm_jax.errors import InputError
from mgm_jax.sweep import run_study, study_status
from mgm_jax.sweep.plan import workload
from mgm_jax.sweep.run import tasks
from tests.launch import ROOT
from tests.sweep.small_study import small_study
from tests.sweep.tables import assert_same_but, table_bytes


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch):
    """Let the encoder ``conv4-s1`` raise, or give NaN for as many views as a setting has."""
    whole = Encoder.features

    def features(self, views, *, taps):
        if self.name != "conv4-s1":
            return whole(self, views, taps=taps)
        features.calls += 1
        if features.kind == "raises":
            raise RuntimeError("this encoder does not work")
        results = whole(self, views, taps=taps)
        many = features.kind == "NaN" or len(views) == 48
        return {tap: x.at[1, 3].set(jnp.nan) if many else x for tap, x in results.items()}

    features.kind, features.calls = "raises", 0
    monkeypatch.setattr(Encoder, "features", features)
    return features


@pytest.mark.parametrize("kind", ["raises", "NaN", "NaN under crop"])
def test_an_encoder_that_fails_costs_only_itself(
    broken, kind: str, finished: Path, tmp_path: Path, monkeypatch
) -> None:
    broken.kind = kind
    result = run_study(small_study(), tmp_path)
    lost = [one for one in result.failures if not one.is_image]
    assert all(one.where.startswith("conv4-s1 · ") for one in lost)
    said = "does not work" if kind == "raises" else "NaN"
    assert all(said in one.what for one in lost)
    if kind == "NaN under crop":
        # 6 images x 8 views come in one batch of 48 under both settings, 50 images do not.
        assert len(lost) == 2 and result.cells == 7
    else:
        assert len(lost) == 3 and result.cells == 6
        assert_same_but(tmp_path, finished, encoder="conv4-s1")
        assert broken.calls <= 2, "an encoder that fails on the images is not tried on views"
    before = broken.calls
    assert run_study(small_study(), tmp_path).failures == result.failures
    assert broken.calls == before, "what failed is tried again only when asked to"
    monkeypatch.undo()
    assert not run_study(small_study(), tmp_path, retry_failed=True).failures
    assert table_bytes(tmp_path) == table_bytes(finished)


def test_a_cell_that_cannot_be_measured_is_named(
    finished: Path, tmp_path: Path, monkeypatch
) -> None:
    measure = tasks.measure_points

    def failing(x, groups, **options):
        if x.shape == (48, 8 * 8 * 3):
            raise MemoryError
        return measure(x, groups, **options)

    monkeypatch.setattr(tasks, "measure_points", failing)
    result = run_study(small_study(), tmp_path)
    assert [one.where for one in result.failures] == [
        f"pixels · digits · {setting}@1 · flatten" for setting in ("crop", "colorjitter")
    ]
    assert result.failures[0].what == "MemoryError"
    monkeypatch.undo()
    assert not run_study(small_study(), tmp_path, retry_failed=True).failures
    assert table_bytes(tmp_path) == table_bytes(finished)


def test_a_checkpoint_that_cannot_be_read_is_named(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.pth").write_bytes(b"no checkpoint")

    def convert(file, entry, cache):
        raise ValueError(f"{file.name} is cut short")

    entries = [*small_study().model_dump()["encoders"], {"source": "broken.pth"}]
    study = small_study(encoders=entries)
    result = run_study(study, tmp_path / "out", base=tmp_path, convert=convert)
    assert [(one.where, one.what) for one in result.failures] == [
        ("broken", "cannot be loaded: broken.pth is cut short")
    ]
    assert table_bytes(tmp_path / "out") == table_bytes(finished)
    [status] = study_status(tmp_path / "out")
    said = "\n".join(status.lines())
    assert "1 encoder(s) not among them" in said
    assert "broken: cannot be loaded: broken.pth is cut short" in said
    alone = small_study(encoders=entries[-1:])
    with pytest.raises(InputError, match="cut short"):
        run_study(alone, tmp_path / "alone", base=tmp_path, convert=convert)


def test_an_image_that_was_away_is_measured_when_it_is_back(tmp_path: Path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    study = small_study(
        encoders=[{"source": "conv4", "size": 32}],
        images=[{"source": str(tmp_path / "images")}],
        augmentation={"settings": ["crop"], "images": 10, "views": 4},
        on_error="skip",
    )
    undisturbed = run_study(study, tmp_path / "undisturbed")
    assert not undisturbed.failures
    image, aside = tmp_path / "images" / "dogs" / "2.png", tmp_path / "2.png"
    opened = workload._open_images

    def vanishing(*args, **options):
        results = opened(*args, **options)
        image.rename(aside)
        return results

    monkeypatch.setattr(workload, "_open_images", vanishing)
    # A row without it would stand under the digest of a set that has it.
    with pytest.raises(InputError, match=r"dogs/2\.png can no longer be read.*bring it back"):
        run_study(study, tmp_path / "out")
    monkeypatch.undo()
    aside.rename(image)
    assert not run_study(study, tmp_path / "out").failures
    assert table_bytes(tmp_path / "out") == table_bytes(tmp_path / "undisturbed")


def test_the_clock_does_not_enter(finished: Path, tmp_path: Path, monkeypatch) -> None:
    rng = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(0, 4e9))
    run_study(small_study(), tmp_path, until="embed")
    for path in tmp_path.rglob("*"):
        stamp = rng.uniform(0, 4e9)
        os.utime(path, (stamp, stamp))
    assert not run_study(small_study(), tmp_path).failures
    assert table_bytes(tmp_path) == table_bytes(finished)


def test_no_space_left_ends_the_run_and_room_lets_it_go_on(finished: Path, tmp_path: Path) -> None:
    study, out = tmp_path / "study.yaml", tmp_path / "out"
    study.write_text(small_study().to_yaml())

    # As a disk that is full: no file can grow beyond this many bytes.
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "from mgm_jax.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "run", str(study), "-o", str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and "no space is left" in done.stderr
    assert not (out / "summary.parquet").exists() and not list(out.glob("failed/*"))
    assert not run_study(small_study(), out).failures
    assert table_bytes(out) == table_bytes(finished)


def test_names_survive_a_locale_that_has_no_letters_for_them(tmp_path: Path) -> None:
    study = small_study(
        name="größe 模型",
        encoders=[{"source": "pixels", "size": 8, "name": "ünï"}],
        images=[{"source": "digits", "per_class": 3, "name": "数字"}],
        augmentation=None,
    )
    (tmp_path / "study.yaml").write_text(study.to_yaml(), encoding="utf-8")
    commands = (
        "import sys\nfrom mgm_jax.cli import main\n"
        "for words in (['run', 'study.yaml', '-o', 'o'], ['status', 'o'], ['gc', 'o'],\n"
        "              ['report', 'o']):\n"
        "    sys.argv = ['mgm', *words]\n"
        "    try:\n        main()\n"
        "    except SystemExit as end:\n        assert not end.code, (words, end.code)\n"
    )
    # Python's own ways out of such a locale closed.
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", commands],
        cwd=tmp_path,
        env=os.environ | plain | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    account = json.loads((tmp_path / "o" / "study.json").read_text(encoding="utf-8"))
    assert account["name"] == study.name
    assert "ünï" in (tmp_path / "o" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_killed_at_random_moments_the_tables_are_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.sweep.run.kills",
            str(tmp_path),
            "--kills",
            "1",
            "--seed",
            "3",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "same" and "different" not in lines, done.stdout + done.stderr
    assert any(line.startswith("killed") for line in lines)
