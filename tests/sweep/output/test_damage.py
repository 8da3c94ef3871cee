"""What is damaged on the disk is noticed, named and made again; what others delete, too."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgm_jax.embeddings import ChunkLost
from mgm_jax.errors import InputError
from mgm_jax.files.seals import DamagedError, check_sum, read_sealed, write_sealed, write_sums
from mgm_jax.report import write_report
from mgm_jax.sweep import collect_garbage, find_garbage, run_study
from mgm_jax.sweep.output import tables
from mgm_jax.sweep.output.faults import OutputError, output_error
from mgm_jax.sweep.output.records import read_table_record, write_table_record
from mgm_jax.sweep.run import study, tasks
from tests.sweep.small_study import small_study
from tests.sweep.tables import table_bytes


def flip(path: Path, *, position: float) -> None:
    """Flip one bit."""
    raw = bytearray(path.read_bytes())
    raw[int(position * (len(raw) - 1))] ^= 4
    path.write_bytes(bytes(raw))


def scramble(path: Path) -> None:
    """Change the second third of a file."""
    raw = path.read_bytes()
    first, last = len(raw) // 3, 2 * len(raw) // 3
    path.write_bytes(raw[:first] + bytes(b ^ 85 for b in raw[first:last]) + raw[last:])


def test_every_flipped_bit_of_a_record_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "group": ["a", "b", "ü"],
            "degree": np.array([1, 2, 3], np.int32),
            "x": [0.5, np.nan, -0.0],
        }
    )
    table.attrs["views"] = {"lidar": 1.5, "alignment": float("nan")}
    write_table_record(path, table)
    pd.testing.assert_frame_equal(read_table_record(path), table)
    assert read_table_record(path).attrs["views"]["lidar"] == 1.5
    whole = path.read_bytes()
    noticed = 0
    for position in rng.uniform(size=200):
        path.write_bytes(whole)
        flip(path, position=position)
        try:
            again = read_table_record(path)
        except DamagedError:
            noticed += 1
            continue
        pd.testing.assert_frame_equal(again, table, check_exact=True)
        assert str(again.attrs) == str(table.attrs)
    # Most of a small file is its header, of which not every bit says something.
    assert noticed > 50
    table.to_parquet(path)
    with pytest.raises(DamagedError, match="sha256"):
        read_table_record(path)


def test_json_that_is_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = {"rows": [{"value": 0.25, "low": float("nan")}], "left_out": ["ü"]}
    write_sealed(path, content)
    assert str(read_sealed(path)) == str(content)
    path.write_text(path.read_text().replace("0.25", "0.26"))
    with pytest.raises(DamagedError):
        read_sealed(path)
    for text in ("{", "[1]", "{}", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(DamagedError):
            read_sealed(path)


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"abc")
    write_sums(tmp_path, ["a.csv"])
    # The digest of "abc" in FIPS 180-2, appendix B.1.
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (tmp_path / "SHA256SUMS").read_text() == f"{known}  a.csv\n"
    check_sum(tmp_path / "a.csv")
    check_sum(tmp_path / "not_named.csv")
    flip(tmp_path / "a.csv", position=0)
    with pytest.raises(InputError, match=r"a\.csv.*mgm run"):
        check_sum(tmp_path / "a.csv")


def test_all_that_is_damaged_is_named_and_made_again(finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    stores = sorted(out.glob("embeddings/*/*"))
    damaged = [
        *sorted(out.glob("records/*.parquet"))[:2],
        sorted(out.glob("records/*.json"))[0],
        stores[0] / "manifest.json",
        stores[1] / "embeddings.zarr" / "zarr.json",
    ]
    before = {p: p.stat().st_mtime_ns for p in out.glob("embeddings/**/commits/*.json")}
    for number, path in enumerate(damaged):
        if number % 2:
            path.write_bytes(path.read_bytes()[:40])
        else:
            scramble(path)
    flip(out / "summary.parquet", position=0.5)
    with pytest.raises(InputError, match=r"summary\.parquet.*mgm run"):
        write_report(out)
    said: list[str] = []
    assert not run_study(small_study(), out, say=said.append).failures
    # Records of points are read, and checked, when the tables are put together.
    assert all(path.name in said[1] for path in damaged[:2]) and len(said) == 2
    assert all(path.name in said[0] for path in damaged[2:])
    assert table_bytes(out) == table_bytes(finished)
    # No view is embedded again for a header, and what was set aside is garbage.
    assert {p: p.stat().st_mtime_ns for p in before} == before
    aside = {Path(f"{path}.damaged") for path in damaged}
    assert {path for path, _ in find_garbage(out).paths} == aside
    collect_garbage(out)
    assert not any(path.exists() for path in aside)
    run_study(small_study(), out, say=said.append)
    assert len(said) == 2


def test_a_resumed_run_reads_every_record_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    opened: list[Path] = []

    def noting(whole):
        def read(path: Path):
            opened.append(path)
            return whole(path)

        return read

    monkeypatch.setattr(tables, "read_table_record", noting(tables.read_table_record))
    monkeypatch.setattr(Path, "read_bytes", noting(Path.read_bytes))
    assert not run_study(small_study(), out).failures
    records = [path for path in opened if path.parent == out / "records"]
    assert sorted(records) == sorted((out / "records").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("part", ["embeddings", "records", "."])
def test_output_that_is_deleted_at_work_leaves_no_failure(
    part: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    for path in out.glob("records/*.parquet"):
        path.unlink()
    measure = tasks.measure_points

    def deleting(*arguments, **options):
        shutil.rmtree(out / part, ignore_errors=True)
        return measure(*arguments, **options)

    monkeypatch.setattr(tasks, "measure_points", deleting)
    with pytest.raises(InputError, match="the same command"):
        run_study(small_study(), out)
    monkeypatch.undo()
    assert not list(out.glob("failed/*"))
    assert not run_study(small_study(), out).failures
    assert table_bytes(out) == table_bytes(finished)


def test_a_chunk_that_is_lost_at_work_ends_the_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    write = study.write_tables

    def losing(*arguments, **options):
        flip(next(out.glob("embeddings/*/digits-semantic*/embeddings.zarr/c/0/0")), position=0.5)
        return write(*arguments, **options)

    monkeypatch.setattr(study, "write_tables", losing)
    with pytest.raises(OutputError, match=r"chunk 0 of 1 .* the same command"):
        run_study(small_study(), out)
    monkeypatch.undo()
    assert not run_study(small_study(), out).failures
    assert table_bytes(out) == table_bytes(finished)


def test_which_errors_are_those_of_the_output(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    inner = OSError(errno.EACCES, "Permission denied", str(tmp_path / "records" / "a"))
    wrapped = ValueError("a store")
    wrapped.__cause__ = inner
    for error in (
        wrapped,
        OSError(errno.EROFS, "Read-only file system"),
        ValueError(f"Error writing {tmp_path}/x [os_error_code='30']"),
    ):
        known = output_error(tmp_path, error)
        assert isinstance(known, OutputError) and "the same command goes on" in str(known)
    assert "Permission denied" in str(output_error(tmp_path, wrapped))
    lost = ValueError("a probe")
    lost.__cause__ = ChunkLost("chunk 0 is damaged", folder=tmp_path / "embeddings" / "a")
    assert "changed while the run" in str(output_error(tmp_path, lost))
    for error in (
        RuntimeError("an encoder"),
        ChunkLost("chunk 0 is damaged", folder=tmp_path.parent / "embeddings" / "a"),
        OSError(errno.EACCES, "Permission denied", "/elsewhere/image.png"),
    ):
        assert output_error(tmp_path, error) is None
    (tmp_path / ".lock").unlink()
    assert re.search("deleted or moved", str(output_error(tmp_path, FileNotFoundError())))
    assert output_error(tmp_path, RuntimeError("an encoder")) is None
