"""What a user can get wrong: one message, status 2, never a traceback, nothing changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mgm_jax.cli import main

STUDY = "encoders: [{source: pixels, size: 8}]\nimages: [{source: digits, per_class: 3}]\n"

#: Nested ten times ten times ten ... : a thousand bytes that stand for 10^9 entries.
LAUGHS = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)

FILES: dict[str, bytes] = {
    "study.yaml": STUDY.encode(),
    "twice.yaml": (STUDY + "encoders: [{source: conv4}]\n").encode(),
    "twice_within.yaml": (STUDY + "metrics: {k: 5, k: 50}\n").encode(),
    "yes.yaml": (STUDY + "metrics: {k: yes}\n").encode(),
    "nan.yaml": (STUDY + "metrics: {bandwidth: .nan}\n").encode(),
    "unknown.yaml": (STUDY + "metrics: {kernal: cosine}\n").encode(),
    "deep.yaml": b"a: " + b"[" * 5000 + b"]" * 5000,
    "self.yaml": b"encoders: &a [*a]\nimages: *a\n",
    "digits.yaml": (STUDY + f"seed: {'7' * 5000}\n").encode(),
    "seeds.yaml": STUDY.replace("size: 8", "size: 8, seeds: 1000000000000").encode(),
    "laughs.yaml": (LAUGHS + STUDY).encode(),
    "large.yaml": b"# " + b"x" * 2**21,
    "latin.yaml": b"name: \xe9\n",
    "empty.yaml": b"",
    "octal.yaml": STUDY.replace("3}", "010}").encode(),
    "text.yaml": STUDY.replace("digits", "digits, classes: [1, a]").encode(),
    "list.yaml": b"encoders: pixels\nimages: [digits]\n",
    "blank.yaml": STUDY.replace("pixels", "' '").encode(),
    "a_file": b"not a folder",
    "broken.pth": b"no checkpoint",
    "out/.lock/in_the_way": b"",
    "results/studies/x.json": b"{",
    "tables/models.parquet": b"PAR1 and no more",
    "tables/summary.parquet": b"",
    "tables/points.parquet": b"",
    "tables/groups.parquet": b"",
}

#: Words of the command line, and what the message has to name.
WRONG = [
    (("run", "absent.yaml"), "absent.yaml"),
    (("run", "a_folder"), "a_folder"),
    (("run", "twice.yaml", "-o", "o"), "'encoders' stands twice"),
    (("run", "twice_within.yaml", "-o", "o"), "'k' stands twice"),
    (("run", "yes.yaml", "-o", "o"), "metrics.k: .*switch"),
    (("run", "nan.yaml", "-o", "o"), "metrics.bandwidth"),
    (("run", "unknown.yaml", "-o", "o"), "metrics.kernal: .* did you mean kernel"),
    (("run", "deep.yaml", "-o", "o"), "deep.yaml: .*more than 50 deep"),
    (("run", "self.yaml", "-o", "o"), "refers to itself"),
    (("run", "digits.yaml", "-o", "o"), "digits"),
    (("run", "seeds.yaml", "-o", "o"), "10000 seeds"),
    (("run", "laughs.yaml", "-o", "o"), "more than 100000 entries"),
    (("run", "large.yaml", "-o", "o"), "larger than"),
    (("run", "latin.yaml", "-o", "o"), "latin.yaml"),
    (("run", "empty.yaml", "-o", "o"), "expected a mapping"),
    (("run", "octal.yaml", "-o", "o"), "line 2: YAML reads 010 as another number"),
    (("run", "text.yaml", "-o", "o"), "classes.0: expected a text; YAML takes numbers"),
    (("run", "list.yaml", "-o", "o"), r"(?s)encoders: expected a list.*images.0: .*a mapping"),
    (("run", "blank.yaml", "-o", "o"), "encoders.0.source: expected a name or a place"),
    (("run", "--encoder", "", "--images", "digits", "-o", "o"), "expected a name or a place"),
    (("run", "--encoder", "pixels", "--images", "", "-o", "o"), "expected a name or a place"),
    (("run", "study.yaml"), "-o OUT"),
    (("run", "study.yaml", "-o", ""), "-o must name a folder; got an empty text"),
    (("run", "study.yaml", "-o", "a_file"), "a_file: is no folder"),
    (("run", "study.yaml", "-o", "a_file/o"), "a_file/o: is no folder"),
    (("run", "study.yaml", "-o", "out"), "out: is no folder"),
    (("run", "study.yaml", "-o", "o", "--cache-gb", "-1"), "--cache-gb"),
    (("run", "study.yaml", "-o", "o", "--executor", "slurm"), "--executor"),
    (("run", "study.yaml", "-o", "nonsense://x/y"), "nonsense"),
    (("run", "study.yaml", "--encoder", "pixels", "-o", "o"), "not both"),
    (("run", "b.npy", "--features", "a.npy", "-o", "o"), "a pattern belongs in quotes"),
    (("run", "--encoder", "pixels"), "--images"),
    (("run", "study.yaml", "-o", "o", "--views", "8"), "--views goes with --images, .*a study"),
    (("run", "--features", "x.npy", "-o", "o", "--count", "8"), "--count .*not with --features"),
    (("run", "--features", " ", "-o", "o"), "expected a name or a place"),
    (("run", "--encoder", "resnet81", "--images", "digits", "-o", "o"), "resnet81"),
    (("run", "--encoder", "broken.pth", "--images", "digits", "-o", "o"), "broken"),
    (("embed", "study.yaml", "-o", "a_file"), "a_file"),
    (("measure", "twice.yaml"), "stands twice"),
    (("probe", "study.yaml", "-o", "o"), "transfer"),
    (("demo", "-o", "a_file"), "a_file"),
    (("report", "nothing"), "nothing"),
    (("report", "a_file"), "a_file"),
    (("report", "tables"), "parquet"),
    (("compare", "nothing"), "nothing"),
    (("compare", "tables"), "models.parquet"),
    (("status", "nothing"), "nothing"),
    (("status", "results"), "x.json"),
    (("gc", "results", "--yes"), "x.json"),
    (("upload", "nothing", "memory://x"), "nothing"),
    (("convert", "absent.pth", "-o", "o"), "absent.pth"),
    (("convert", "broken.pth", "-o", "o"), "broken.pth"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wrong files."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "a_folder").mkdir()
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_input_is_one_message_and_status_2(
    files: Path, words: tuple[str, ...], said: str, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setattr("sys.argv", ["mgm", *words])
    with pytest.raises(SystemExit) as end:
        main()
    error = capsys.readouterr().err
    assert end.value.code == 2, error
    assert error.startswith("error: ") and "Traceback" not in error
    assert len(error) < 3000
    assert re.search(said, error), error
