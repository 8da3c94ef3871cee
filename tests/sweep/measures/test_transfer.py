"""The transfer stage: its table, its splits, resuming, failures by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm_jax.errors import InputError
from mgm_jax.images import open_source
from mgm_jax.probe.linear import linear_probe
from mgm_jax.study import Transfer, make_study
from mgm_jax.sweep import run_study
from mgm_jax.sweep.measures import transfer
from mgm_jax.sweep.plan.targets import split_target
from tests.sweep.small_study import small_study

TARGETS = [
    {"source": "digits", "per_class": 5, "name": "same digits"},
    {"source": "digits", "per_class": 21, "name": "more digits"},
]
TRANSFER = {"targets": TARGETS, "l2_penalties": 3, "episodes": 20, "shots": [5, 20]}
SMALL = {
    "augmentation": None,
    "encoders": [
        {"source": "pixels", "size": 8},
        {"source": "conv4", "size": 32, "family": "convolutional"},
    ],
}


def small_transfer(**changes: object):
    """Pixels and one untrained Conv4 on two targets."""
    return small_study(**SMALL, transfer=TRANSFER | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("transfer")
    result = run_study(small_transfer(), out)
    assert not result.failures and result.transfers == len(
        pd.read_parquet(out / "transfer.parquet")
    )
    return out


def test_the_table_has_a_row_a_measure(finished: Path) -> None:
    table = pd.read_parquet(finished / "transfer.parquet")
    assert list(table.columns) == [
        "encoder",
        "family",
        "architecture",
        "paradigm",
        "tap",
        "images",
        "kind",
        "measure",
        "metric",
        "value",
        "low",
        "high",
        "level",
        "strength",
        "converged",
        "n_train",
        "n_test",
        "classes",
    ]
    assert table.value_counts(["encoder", "images"]).to_dict() == {
        ("pixels", "same digits"): 10,
        ("pixels", "more digits"): 11,
        ("conv4", "same digits"): 10,
        ("conv4", "more digits"): 11,
    }
    one = table[(table["encoder"] == "conv4") & (table["images"] == "more digits")]
    names = one.set_index(["kind", "measure", "metric"]).index.tolist()
    assert names == [
        *(("probe", m, k) for m in ("linear", "ridge", "knn") for k in ("top1", "mean_per_class")),
        ("probe", "few_shot_5way_5shot", "top1"),
        *(("score", m, "score") for m in ("logme", "h_score", "gbc", "transrate")),
    ]
    probes = table[table["kind"] == "probe"]
    assert (probes["low"] <= probes["value"]).all() and (probes["value"] <= probes["high"]).all()
    # Nothing has learned anything here, but digits are easier than chance.
    assert (probes["value"] > 0.3).all()
    assert set(probes[probes["measure"] == "linear"]["converged"]) == {True}
    whole = probes[~probes["measure"].str.startswith("few")]
    assert (whole["n_train"] + whole["n_test"]).isin([50, 210]).all()
    assert (table["family"] == ["convolutional", "pixels"][0]).sum() == 21


def test_csv_says_the_same(finished: Path) -> None:
    parquet = pd.read_parquet(finished / "transfer.parquet")
    text = pd.read_csv(finished / "transfer.csv")
    np.testing.assert_allclose(text["value"], parquet["value"], rtol=1e-12)
    assert text["measure"].tolist() == parquet["measure"].tolist()


def test_what_does_not_fit_is_said(finished: Path) -> None:
    account = json.loads((finished / "study.json").read_text())
    assert account["transfer"]["rows"] == 42
    said = {(name, reason.split(",")[0]) for name, reason in account["transfer"]["left_out"]}
    assert said == {
        ("same digits", "5-way 5-shot"),
        ("same digits", "5-way 20-shot"),
        ("more digits", "5-way 20-shot"),
    }


def test_a_set_that_is_measured_too_is_embedded_once(finished: Path) -> None:
    folders = sorted(path.name.split("-")[0] for path in (finished / "embeddings/conv4").iterdir())
    assert folders == ["digits", "more"]


def test_only_what_changed_is_done_again(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "records").glob("*.json")}
    table = (finished / "transfer.parquet").read_bytes()
    run_study(small_transfer(), finished)
    assert {p: p.stat().st_mtime_ns for p in (finished / "records").glob("*.json")} == before
    assert (finished / "transfer.parquet").read_bytes() == table
    run_study(small_transfer(k=3), finished)
    new = set((finished / "records").glob("*.json")) - set(before)
    assert len(new) == 4  # k-NN, of two encoders on two targets
    # A lost record, as after a stop, comes back the same.
    next(iter(before)).unlink()
    run_study(small_transfer(), finished)
    assert (finished / "transfer.parquet").read_bytes() == table


def test_a_study_without_transfer_leaves_no_table(tmp_path: Path) -> None:
    study = {"augmentation": None, "encoders": [{"source": "pixels", "size": 8}]}
    asked = {"targets": TARGETS[:1], "probes": ["knn"], "scores": []}
    run_study(small_study(**study, transfer=asked), tmp_path)
    assert (tmp_path / "transfer.csv").exists()
    run_study(small_study(**study), tmp_path, until="measure")
    assert not (tmp_path / "transfer.csv").exists()


def test_a_measure_that_fails_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    # A black image has no direction, which k-NN by cosine asks for; pixels of it are zeros.
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)
    pixels[3] = 0
    np.savez(tmp_path / "black.npz", images=pixels, labels=np.arange(24) % 2)
    study = small_study(
        augmentation=None,
        encoders=[{"source": "pixels", "size": 8}],
        transfer={"targets": [{"source": "black.npz"}], "probes": ["knn", "ridge"], "scores": []},
    )
    result = run_study(study, tmp_path / "out", base=tmp_path)
    table = pd.read_parquet(tmp_path / "out" / "transfer.parquet")
    assert [one.where for one in result.failures] == ["pixels · black · knn · flatten"]
    [failure] = result.failures
    assert "zeros" in failure.what and not failure.is_image
    account = json.loads((tmp_path / "out" / "study.json").read_text())
    assert account["failed_cells"] == [[failure.where, failure.what]]
    assert set(table["measure"]) == {"ridge"} and table["value"].notna().all()
    # The set itself is at fault, so that nothing changes when it is tried again.
    again = run_study(study, tmp_path / "out", base=tmp_path, retry_failed=True)
    assert again.failures == result.failures
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "out" / "transfer.parquet"), table, check_exact=True
    )


def test_a_set_may_bring_its_own_test_images(tmp_path: Path) -> None:
    digits = open_source("digits")
    images = np.stack([digits.read(i)[..., 0] for i in range(120)])
    np.savez(tmp_path / "train.npz", images=images[:80], labels=digits.labels[:80])
    np.savez(tmp_path / "test.npz", images=images[80:], labels=digits.labels[80:120])
    study = small_study(
        augmentation=None,
        encoders=[{"source": "pixels", "size": 8}],
        transfer={
            "targets": [{"source": "train.npz", "test": "test.npz"}],
            "probes": ["knn"],
            "scores": [],
        },
    )
    run_study(study, tmp_path / "out", base=tmp_path)
    table = pd.read_parquet(tmp_path / "out" / "transfer.parquet")
    assert (table["n_train"] == 80).all() and (table["n_test"] == 40).all()
    # The same by hand.
    x = images.reshape(120, -1) / 255.0
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    near = np.argsort(-(unit[80:] @ unit[:80].T), axis=1)[:, :10]
    votes = digits.labels[:80][near]
    counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    answers = votes[np.arange(40), counts.argmax(axis=1)]
    expected = (answers == digits.labels[80:120]).mean()
    top1 = table.set_index("metric")["value"]["top1"]
    assert top1 == pytest.approx(expected, abs=0.05)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(3, 40), min_size=2, max_size=5),
    test_share=st.floats(0.05, 0.9),
    validation_share=st.floats(0.05, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_split_is_stratified_and_complete(sizes, test_share, validation_share, seed) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    ids = [str(i) for i in range(len(labels))]
    transfer = Transfer.model_validate(
        {"targets": [{"source": "x"}]}
        | {"test_share": test_share, "validation_share": validation_share}
    )
    names = [str(i) for i in range(len(sizes))]

    def split(ids, labels):
        return split_target(
            ids, labels, classes=names, has_test=False, transfer=transfer, seed=seed
        )

    parts = split(ids, labels)
    rows = np.concatenate(parts[:3])
    assert not parts.left_out
    assert sorted(rows.tolist()) == list(range(len(labels)))
    for part in parts[:3]:
        assert set(labels[part]) == set(labels)
    tested = np.bincount(labels[parts.test], minlength=len(sizes))
    for label, size in enumerate(sizes):
        assert tested[label] == min(max(1, round(test_share * size)), size - 2)
    # Another image in the last class moves nothing in the others.
    more = split([*ids, "new"], np.append(labels, len(sizes) - 1))
    others = labels < len(sizes) - 1
    for part, again in zip(parts[:3], more[:3], strict=True):
        same = again[again < len(labels)]
        assert part[others[part]].tolist() == same[others[same]].tolist()


def test_classes_of_two_images_are_left_out_by_name() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, -1])
    transfer = Transfer.model_validate({"targets": [{"source": "x"}]})
    ids = [str(i) for i in range(10)]
    options = {"classes": ("a", "b", "c"), "has_test": False, "transfer": transfer, "seed": 0}
    parts = split_target(ids, labels, **options)
    assert parts.left_out == ("b",)
    assert sorted(np.concatenate(parts[:3]).tolist()) == [0, 1, 2, 5, 6, 7, 8]
    with pytest.raises(InputError, match="fewer than two classes"):
        split_target(ids[:5], labels[:5], **options)


def test_unusable_targets_are_refused() -> None:
    with pytest.raises(InputError, match="name targets"):
        make_study(
            {"encoders": [{"source": "pixels"}], "images": [{"source": "digits"}]}
            | {"transfer": {"targets": []}}
        )
    with pytest.raises(InputError, match="nothing to do"):
        small_transfer(probes=[], scores=[])


def test_large_targets_are_read_block_by_block(finished: Path, tmp_path: Path, monkeypatch) -> None:
    """With the same rows in the table, and no probe that is handed a whole store."""
    monkeypatch.setattr(transfer, "MEMORY_OF_A_MEASURE", 0)
    handed = []

    def noting(*sets, memory_limit, **options):
        handed.append(memory_limit)
        return linear_probe(*sets, memory_limit=memory_limit, **options)

    monkeypatch.setattr(transfer, "linear_probe", noting)
    run_study(small_transfer(probes=["linear", "ridge"], scores=[]), tmp_path)
    assert handed == [0] * 4
    read, held = (pd.read_parquet(out / "transfer.parquet") for out in (tmp_path, finished))
    held = held[held["measure"].isin(["linear", "ridge"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(read, held)
