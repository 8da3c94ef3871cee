"""Status and garbage of an output folder, and studies that share one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from mgm_jax.errors import InputError
from mgm_jax.sweep import collect_garbage, find_garbage, run_study, study_status
from mgm_jax.sweep.measures.transfer import TransferCell
from mgm_jax.sweep.output.upkeep.status import State
from tests.sweep.small_study import small_study
from tests.sweep.tables import table_bytes

#: One more encoder than the small study has.
MORE = [
    *small_study().model_dump()["encoders"],
    {"source": "conv4", "size": 32, "seeds": [2], "name": "another"},
]


def files(out: Path) -> dict[Path, int]:
    """What the cells left, with the time of the last change."""
    results = [*out.glob("embeddings/**/*"), *out.glob("records/*")]
    return {path: path.stat().st_mtime_ns for path in results if path.is_file()}


@pytest.mark.slow
def test_a_second_study_costs_its_new_encoder_and_gc_keeps_both(
    finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_study(small_study(), out, origin="one.yaml")
    old = files(out)
    run_study(small_study(name="two", encoders=MORE), out, origin="two.yaml")
    new = files(out)
    assert {path: new[path] for path in old} == old
    added = {path.relative_to(out) for path in set(new) - set(old)}
    records = {path for path in added if path.parts[0] == "records"}
    # As they are with the reference, crop, colorjitter.
    assert len(records) == 4
    assert {path.parts[1] for path in added - records} == {"another"}

    assert not find_garbage(out).paths
    # A changed study leaves behind what it no longer refers to; a killed writer its part.
    run_study(small_study(augmentation=None), out, origin="one.yaml")
    (out / "records" / ".part-x.parquet").write_bytes(b"half")
    left = [out / "records" / ".part-x.parquet"]
    assert [path for path, _ in find_garbage(out).paths] == left
    only_one = find_garbage(out, forget=("two.yaml",))
    assert only_one.kept_for == (("small", "one.yaml"),)
    gone = {path.relative_to(out).as_posix() for path, _ in only_one.paths}
    assert sum(name.startswith("records/") for name in gone) == 3 * 2 + 4 + 1
    assert sum(name.startswith("embeddings/") for name in gone) == 3 * 2 + 3
    assert sum(name.startswith("studies/") for name in gone) == 1
    assert set(files(out)) == set(new) | set(left), "finding removes nothing"

    collect_garbage(out, forget=("two.yaml",))
    assert not find_garbage(out).paths
    kept = files(out)
    assert kept.items() <= new.items()
    run_study(small_study(augmentation=None), out, origin="one.yaml")
    assert files(out) == kept
    run_study(small_study(), out, origin="one.yaml")
    assert table_bytes(out) == table_bytes(finished)


def test_a_forgotten_study_may_be_named_by_a_path_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study(encoders=[{"source": "pixels", "size": 8}], augmentation=None)
    origin = tmp_path / "studies" / "one.yaml"
    run_study(study, tmp_path / "out", until="embed", origin=str(origin))
    origin.parent.mkdir()
    monkeypatch.chdir(origin.parent)
    for name in ("one.yaml", "../studies/one.yaml", str(origin), "small"):
        assert not find_garbage(tmp_path / "out", forget=(name,)).kept_for, name
    for name in ("two.yaml", "../one.yaml", ""):
        with pytest.raises(InputError, match=rf"no study '{name}' was run here, but small \("):
            collect_garbage(tmp_path / "out", forget=("one.yaml", name))
    assert len(list(tmp_path.glob("out/studies/*.json"))) == 1


def test_gc_waits_for_a_run(finished: Path) -> None:
    with (finished / ".lock").open("r") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(InputError, match=rf"process {os.getpid()} on "):
            collect_garbage(finished)


def test_status_counts_cells_and_tells_what_is_left(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no study was run here"):
        study_status(tmp_path)
    [done] = study_status(finished)
    assert done.count(State.DONE) == len(done.states) == 9 and done.holder is None
    assert (done.embed_left, done.measure_left) == (0.0, 0.0)
    run_study(small_study(), tmp_path, until="embed")
    [half] = study_status(tmp_path)
    assert half.count(State.WAITING) == 9
    assert half.embed_left == 0.0 and half.measure_left is None
    with (tmp_path / ".lock").open("r") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        [running] = study_status(tmp_path)
    assert running.count(State.RUNNING) == 9 and str(os.getpid()) in str(running.holder)
    # Two records, ten seconds from each other: the other seven take seventy.
    for number, path in enumerate(sorted(finished.glob("records/*.parquet"))[:2]):
        (tmp_path / "records").mkdir(exist_ok=True)
        copy = tmp_path / "records" / path.name
        copy.write_bytes(path.read_bytes())
        os.utime(copy, (1000 + 10 * number, 1000 + 10 * number))
    [known] = study_status(tmp_path)
    assert known.count(State.DONE) == 2 and known.measure_left == pytest.approx(70)
    assert any("0:01:10" in line for line in known.lines())


def test_any_name_is_safe(tmp_path: Path) -> None:
    names = ["../../up", "<b>bold</b> & 'quoted'", "x" * 300, "a/b c"]
    encoders = [{"source": "pixels", "size": 8, "name": name} for name in names]
    study = small_study(
        name="../<script>",
        encoders=encoders,
        images=[{"source": "digits", "per_class": 5, "name": "../" * 100}],
        augmentation=None,
    )
    out = tmp_path / "in" / "out"
    result = run_study(study, out, origin="/" + "o" * 200 + "/../<x>.yaml")
    assert not result.failures and result.cells == 4
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert {path.name for path in out.parent.iterdir()} == {"out"}
    assert len(list(out.glob("embeddings/*"))) == len(names)
    assert not find_garbage(out).paths


@pytest.mark.slow
def test_probes_are_parts_of_a_study_like_others(tmp_path: Path, monkeypatch) -> None:
    study = small_study(
        encoders=[{"source": "pixels", "size": 8}, {"source": "conv4", "size": 32}],
        augmentation=None,
        transfer={
            # The first is the study's own image set and finds its embeddings.
            "targets": [
                {"source": "digits", "per_class": 5, "name": "own"},
                {"source": "digits", "per_class": 6, "name": "more"},
            ],
            "probes": ["knn"],
            "scores": ["h-score"],
        },
    )
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run_study(study, whole).transfers == 2 * 2 * (2 + 1)
    run = TransferCell.run

    def failing(self, *arguments, **options):
        if self.label == "pixels · more · h-score · flatten":
            raise RuntimeError("cannot be scored")
        return run(self, *arguments, **options)

    monkeypatch.setattr(TransferCell, "run", failing)
    result = run_study(study, out)
    assert [(one.where, one.what) for one in result.failures] == [
        ("pixels · more · h-score · flatten", "cannot be scored")
    ]
    [status] = study_status(out)
    # Two encoders, the same on the new target, and all probes and scores but one.
    assert status.count(State.DONE) == 2 + 2 + 7 and len(status.errors) == 1
    assert len(list(out.glob("embeddings/*/*"))) == 4 and not find_garbage(out).paths
    monkeypatch.undo()
    assert not run_study(study, out, retry_failed=True).failures
    for table in ("transfer.parquet", "transfer.csv", "models.csv"):
        assert (out / table).read_bytes() == (whole / table).read_bytes()
