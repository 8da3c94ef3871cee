"""The page about the zoo says of each encoder what its file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgm_jax.zoo import ZooEncoder, zoo_encoders

PAGE = (Path(__file__).parents[2] / "docs" / "zoo.md").read_text()
SHIPPED = zoo_encoders()


def rows() -> dict[str, dict[str, str]]:
    """The table of encoders: name to column to cell."""
    lines = PAGE[PAGE.index("| encoder |") :].split("\n\n")[0].splitlines()
    header, _, *body = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert all(len(row) == len(header) for row in body)
    return {row[0]: dict(zip(header, row, strict=True)) for row in body}


def test_the_page_has_every_encoder() -> None:
    assert set(rows()) == {"raw pixels", *(one.name for one in SHIPPED)}


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_a_row_is_what_the_file_says(one: ZooEncoder) -> None:
    row = rows()[one.name]
    assert (row["method"], row["paradigm"]) == (one.method, one.paradigm)
    assert (row["epochs"], row["minutes"]) == (
        str(one.training["epochs"]),
        str(one.training["minutes"]),
    )
    if one.training["epochs"]:
        # Older files say nothing of the blur: theirs was taken as it stood.
        assert float(row["rate"]) == one.training["rate"]
        assert int(row["blur at"]) == one.training.get("blur_at", 64)
    assert row["Tiny-ImageNet-20"] == f"{one.knn['tiny_imagenet_val_20x50']:.3f}"
    assert row["Caltech-20"] == f"{one.knn['caltech101_20x80']:.3f}"
