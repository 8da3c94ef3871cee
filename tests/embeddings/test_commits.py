"""Commit records: they bind a chunk to its store, and a damaged one counts as none."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from mgm_jax.embeddings.commits import Commit, checksum, read_commit, write_commit

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
FAILED = {2: "no image", 0: "cut short"}


def test_record_comes_back(tmp_path: Path):
    commit = Commit(chunk=7, sha256="ab" * 32, failed=FAILED)
    write_commit(tmp_path, commit)
    assert read_commit(tmp_path, 7) == commit
    assert read_commit(tmp_path, 6) is None
    assert [path.name for path in tmp_path.iterdir()] == ["00000007.json"]


def test_every_cut_of_a_record_counts_as_none(tmp_path: Path):
    write_commit(tmp_path, Commit(chunk=0, sha256="ab" * 32, failed=FAILED))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert read_commit(tmp_path, 0) is None


@pytest.mark.parametrize(
    "content",
    [b"null", b"3", b"[]", b"{}", b'{"chunk": 0, "sha256": "a", "failed": 3}', b"\xff\x00"],
)
def test_other_content_counts_as_none(tmp_path: Path, content: bytes):
    (tmp_path / "00000000.json").write_bytes(content)
    assert read_commit(tmp_path, 0) is None


def test_record_of_another_chunk_counts_as_none(tmp_path: Path):
    write_commit(tmp_path, Commit(chunk=1, sha256="ab" * 32, failed={}))
    (tmp_path / "00000001.json").rename(tmp_path / "00000000.json")
    assert read_commit(tmp_path, 0) is None


def test_checksum_sees_everything_it_binds():
    original = checksum("m", 1, VALUES, FAILED)
    others = [
        checksum("n", 1, VALUES, FAILED),
        checksum("m", 2, VALUES, FAILED),
        checksum("m", 1, VALUES + 1, FAILED),
        checksum("m", 1, VALUES.reshape(3, 4), FAILED),
        checksum("m", 1, VALUES.view(np.int32), FAILED),
        checksum("m", 1, VALUES, {2: "no image"}),
        checksum("m", 1, VALUES, {**FAILED, 0: "other reason"}),
    ]
    assert len({original, *others}) == len(others) + 1


def test_checksum_depends_on_values_not_on_memory():
    turned = np.asfortranarray(VALUES)
    assert checksum("m", 0, VALUES, {}) == checksum("m", 0, turned, {})
    assert checksum("m", 0, VALUES, FAILED) == checksum(
        "m", 0, VALUES, dict(reversed(FAILED.items()))
    )


def test_checksum_takes_bfloat16():
    short = VALUES.astype(ml_dtypes.bfloat16)
    assert checksum("m", 0, short, {}) == checksum("m", 0, short.copy(), {})
    assert checksum("m", 0, short, {}) != checksum("m", 0, VALUES, {})
