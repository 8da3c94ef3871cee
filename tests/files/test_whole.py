"""Files are whole or absent, and names are safe and distinct."""

from __future__ import annotations

import errno
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgm_jax.files.names import safe_name
from mgm_jax.files.seals import file_sha256
from mgm_jax.files.whole import whole_file


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["table.csv"]


def test_what_cannot_be_written_is_called_by_its_name(tmp_path) -> None:
    path = tmp_path / "table.csv"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised, whole_file(path) as part:
            part.write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_told_by_the_file(tmp_path, monkeypatch) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".part-x.csv"))

    # Root may write everywhere, and so may tests in a container.
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(PermissionError) as raised, whole_file(tmp_path / "table.csv"):
        pass
    assert raised.value.filename == str(tmp_path / "table.csv")


def test_an_error_about_another_file_is_left_as_it_is(tmp_path) -> None:
    other = tmp_path / "absent"
    with pytest.raises(FileNotFoundError) as raised, whole_file(tmp_path / "table.csv"):
        other.read_bytes()
    assert str(raised.value.filename) == str(other)


def test_the_body_writes_beside_the_target_with_its_suffix(tmp_path) -> None:
    path = tmp_path / "new" / "table.parquet"
    with whole_file(path) as part:
        assert part.parent == path.parent and part.suffix == ".parquet"
        assert not path.exists()
        part.write_bytes(b"abc")
    assert path.read_bytes() == b"abc"


def test_sha256_is_that_of_the_bytes(tmp_path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    # The test vector of FIPS 180-2, appendix B.1.
    assert file_sha256(path).startswith("ba7816bf8f01cfea414140de5dae2223")


@given(st.text(max_size=400))
def test_any_text_becomes_one_short_path_part(text) -> None:
    name = safe_name(text)
    assert name and len(name.encode()) <= 100
    assert "/" not in name and "\0" not in name and name not in (".", "..")


@given(st.text(max_size=300), st.text(max_size=300))
def test_different_texts_get_different_names(a, b) -> None:
    assert (safe_name(a) == safe_name(b)) == (a == b)
