"""The commands as a user types them: exit codes, messages, files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mgm_jax
from mgm_jax.cli import main
from mgm_jax.study import read_study
from tests.launch import ROOT
from tests.sweep.run.test_canvases import write_photos


def mgm(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from mgm_jax.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, str(ROOT), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def within(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """The command in this process, which is to end well."""
    monkeypatch.setattr(sys, "argv", ["mgm", *arguments])
    try:
        main()
    except SystemExit as end:
        assert not end.code


@pytest.mark.slow
def test_a_first_look_needs_no_study_file(tmp_path: Path, monkeypatch, capsys) -> None:
    photos = write_photos(tmp_path / "photos")
    # As many views as in the small study, for which everything is compiled.
    done = mgm(
        *("run", "--encoder", "pixels:size=8", "--encoder", "conv4:size=32"),
        *("--images", str(photos), "--setting", "crop", "--views", "8", "--count", "6"),
        *("-o", "results"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "results"
    assert read_study(out / "study.yaml").augmentation.views == 8  # type: ignore[union-attr]
    for left in ("report.html", "summary.csv", "points.parquet", "models.csv"):
        assert (out / left).stat().st_size > 0
    assert "conv4" in done.stdout and "degree" in done.stdout
    # Quiet when piped: no bars, no control characters.
    assert "\x1b" not in done.stdout + done.stderr and "view/s" not in done.stderr
    within(monkeypatch, "report", str(out))
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "absent.yaml"), "absent.yaml"),
        (("run", "--encoder", "pixels"), "--images"),
        (("run", "--encoder", "resnet81", "--images", "digits", "-o", "{tmp}/o"), "resnet81"),
        (("run", "--encoder", "pixels", "--scores", "s.csv", "-o", "{tmp}/o"), "with --features"),
        (("run", "absent.yaml", "--labels", "l.csv"), "with --features"),
        (("report", "{tmp}/nothing"), "nothing"),
        (("convert", "{tmp}/absent.pth", "-o", "{tmp}/o"), "absent.pth"),
    ],
)
def test_bad_input_is_one_message_and_status_2(
    tmp_path: Path, arguments, said, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(sys, "argv", ["mgm", *(part.format(tmp=tmp_path) for part in arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ") and said in stderr
    assert "Traceback" not in stderr


def test_models_lists_the_architectures(monkeypatch, capsys) -> None:
    within(monkeypatch, "models")
    said = capsys.readouterr().out
    for name in ("conv4", "resnet50", "vit_b16", "pixels"):
        assert name in said


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys; import mgm_jax; "
        "print([m for m in ('flax','pandas','torch','orbax','tensorflow','pydantic','rich','PIL')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["mgm", "--version"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert capsys.readouterr().out == f"mgm_jax {mgm_jax.__version__}\n"
