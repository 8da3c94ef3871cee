"""Several labels and real values as targets of a study, from the columns of a manifest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images import open_source
from mgm_jax.study import TargetEntry, make_study
from mgm_jax.sweep import run_study
from mgm_jax.sweep.plan.target_values import values_of_target
from tests.images.pictures import write_picture


def manifest(folder, n=36):
    """Flat images whose red, green and blue say everything that is asked for."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        colour = rng.integers(0, 256, 3)
        pixels = np.broadcast_to(colour, (8, 8, 3)).astype(np.uint8)
        write_picture(folder / f"{i:02d}.png", pixels)
        tags = [name for name, value in zip("rgb", colour, strict=True) if value > 128]
        rows.append({"path": f"{i:02d}.png", "tags": "|".join(tags), "age": colour[0] + 0.5})
        rows[-1] |= {"red": int(colour[0] > 128), "blue": int(colour[2] > 128)}
    table = pd.DataFrame(rows)
    table.loc[0, "age"] = np.nan
    table.to_csv(folder / "m.csv", index=False)
    return folder / "m.csv", table


def test_a_study_probes_several_labels_and_real_values(tmp_path):
    path, table = manifest(tmp_path / "set")
    source = {"source": str(path)}
    study = make_study(
        {
            "encoders": [{"source": "pixels", "size": 8}],
            "images": [{**source, "name": "plain"}],
            "augmentation": None,
            "transfer": {
                "targets": [
                    {**source, "name": "tags", "multilabel": "tags"},
                    {**source, "name": "age", "regression": "age"},
                ],
                "scores": ["logme"],
                "strengths": 7,
            },
        }
    )
    run_study(study, tmp_path / "out")
    result = pd.read_csv(tmp_path / "out" / "transfer.csv").set_index(
        ["images", "measure", "metric"]
    )
    assert set(result.index) == {
        *(("tags", probe, metric) for probe in ("linear", "ridge") for metric in ("map11", "map")),
        ("age", "ridge", "r2"),
    }
    # The value is a pixel: least squares must find it, and what lacks it is left out.
    assert result.loc[("age", "ridge", "r2"), "value"] > 0.99
    assert result.loc[("age", "ridge", "r2"), ["n_train", "n_test"]].sum() == 35
    assert (result["value"] > 0.8).all() and result["high"].max() <= 1
    held = values_of_target(open_source(path), TargetEntry(source="x", multilabel="tags"))
    assert held is not None and held.names == ("b", "g", "r")
    two = values_of_target(open_source(path), TargetEntry(source="x", multilabel=["red", "blue"]))
    assert two is not None and np.array_equal(two.values, table[list(two.names)])
    blank = table["tags"] == ""
    assert np.array_equal(np.nan_to_num(held.values[~blank, 2]), table["red"][~blank])


def test_columns_that_do_not_fit_are_refused(tmp_path):
    path, _ = manifest(tmp_path / "set", n=6)
    source = open_source(path)
    for options, problem in (
        ({"regression": "weight"}, "no column 'weight'; it has path, tags, age"),
        ({"regression": "path"}, "must hold numbers; it holds str"),
        ({"multilabel": ["age"]}, "must be 0 or 1"),
    ):
        with pytest.raises(InputError, match=problem):
            values_of_target(source, TargetEntry(source="x", **options))
    target = {"source": str(path), "regression": "age"}
    with pytest.raises(InputError, match="not both"):
        make_study(
            {
                "encoders": [{"source": "pixels"}],
                "images": [{"source": "digits"}],
                "transfer": {"targets": [{**target, "multilabel": "tags"}]},
            }
        )
    study = make_study(
        {
            "encoders": [{"source": "pixels"}],
            "images": [{"source": "digits"}],
            "transfer": {"targets": [target], "probes": ["knn"]},
        }
    )
    with pytest.raises(InputError, match="real values, which the probes ridge take"):
        run_study(study, tmp_path / "out")


@pytest.mark.parametrize(
    "written", ['["{}", "{}"]', "['{}', '{}']", "['{}' '{}']", "('{}', '{}')", "{}; {}"]
)
def test_lists_that_a_program_wrote_into_a_table_are_lists(tmp_path, written):
    """As ``DataFrame.to_csv`` writes them: brackets and quotes were part of the names."""
    for name in "abc":
        write_picture(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    tags = [written.format("sea", "polar bear"), written.format("sea", "sky"), None]
    table = pd.DataFrame({"path": [f"{one}.png" for one in "abc"], "tags": tags})
    table["seen"] = ["True", "False", ""]
    table.to_csv(tmp_path / "m.csv", index=False)
    source = open_source(tmp_path / "m.csv")
    held = values_of_target(source, TargetEntry(source="x", multilabel="tags"))
    assert held is not None and held.names == ("polar bear", "sea", "sky")
    np.testing.assert_array_equal(held.values, [[1, 1, 0], [0, 1, 1], [np.nan] * 3])
    one = values_of_target(source, TargetEntry(source="x", multilabel=["seen"]))
    assert one is not None
    np.testing.assert_array_equal(one.values, [[1], [0], [np.nan]])
