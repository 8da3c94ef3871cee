"""What newly trained weights are compared by, and which of them go into a zoo of two recipes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.zoo.compare import Comparison, comparison_table, difference
from benchmarks.zoo.export import compare_runs, export_zoo, table
from benchmarks.zoo.images import Images
from benchmarks.zoo.recipe import Recipe
from mgm_jax.errors import InputError
from mgm_jax.probe.knn import KnnAccuracy
from mgm_jax.zoo import zoo_encoders
from tests.zoo.weights import resnet_state, stated, write


def votes(correct: np.ndarray) -> KnnAccuracy:
    return KnnAccuracy(
        accuracy=float(correct.mean()),
        low=0.0,
        high=1.0,
        level=0.95,
        classes=np.arange(2),
        per_class=np.zeros(2),
        correct=correct,
        k=10,
    )


def shares(*right: int) -> dict[str, KnnAccuracy]:
    """So many of a hundred are right on each set."""
    return {f"set{i}": votes(np.arange(100) < one) for i, one in enumerate(right)}


def compared(new: tuple[int, int], shipped: tuple[int, int] = (50, 50)) -> Comparison:
    return Comparison(name="byol-resnet", new=shares(*new), shipped=shares(*shipped))


def test_interval_of_a_paired_difference() -> None:
    rng = np.random.default_rng(0)
    second = rng.random(400) < 0.5
    first = second | (rng.random(400) < 0.2)
    low, high = difference(first, second)
    gap = first.mean() - second.mean()
    assert low < gap < high
    error = (first.astype(float) - second).std() / 20
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert difference(second, second) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("new", "better"),
    [
        ((60, 50), True),  # On one set, and as good on the other.
        ((60, 60), True),
        ((60, 40), False),  # Worse on the other.
        ((51, 51), False),  # One image of a hundred is within the interval.
        ((50, 50), False),
    ],
)
def test_better_is_beyond_the_interval_and_never_worse(new: tuple[int, int], better: bool) -> None:
    one = compared(new)
    assert one.is_better == better
    row = [cell.strip() for cell in comparison_table([one]).splitlines()[2].split("|")[1:-1]]
    assert row[:3] == ["byol-resnet", "0.500", f"{new[0] / 100:.3f}"]
    assert float(row[3].split()[0]) == pytest.approx((new[0] - 50) / 100)
    assert row[-1] == ("yes" if better else "no")


@pytest.fixture(scope="module")
def unseen() -> Images:
    rng = np.random.default_rng(0)
    return Images(
        name="noise",
        pixels=rng.integers(0, 256, (24, 64, 64, 3), dtype=np.uint8),
        labels=np.repeat([0, 1], 12).astype(np.int32),
        keys=np.arange(24),
    )


def finished(runs: Path, method: str, seed: int, recipe: Recipe) -> None:
    """What a run leaves when it has ended, of random weights."""
    folder = runs / f"{method}-resnet-s0"
    said = recipe.to_dict() | {"minutes": 1.5, "commit": "new"}
    metadata = stated(method.upper(), mgm_training=json.dumps(said))
    name = f"{folder.name}-e{recipe.epochs:02d}.safetensors"
    write(folder / name, resnet_state(seed), metadata)
    (folder / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    (folder / "log.jsonl").write_text("{}\n" * (recipe.epochs + 1))


@pytest.mark.slow
def test_a_zoo_of_two_recipes(
    tmp_path: Path, unseen: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The better one is replaced, with its own recipe; the others stay as they are."""
    runs, out = tmp_path / "runs", tmp_path / "zoo"
    for seed, method in enumerate(("byol", "swav")):
        # As older files are: nothing is said of the blur.
        old = {"epochs": 8, "rate": 0.002, "minutes": 9.0, "commit": "old"}
        metadata = stated(method.upper(), mgm_training=json.dumps(old))
        write(out / f"{method}-resnet.safetensors", resnet_state(seed), metadata)
        finished(runs, method, seed + 2, Recipe(epochs=16, rate=0.001, blur_at=224))
    before = (out / "swav-resnet.safetensors").read_bytes()

    result = compare_runs(runs, out, seed=0, unseen=[unseen])
    assert [one.name for one in result] == ["byol-resnet", "swav-resnet"]
    assert all(list(one.new) == list(one.shipped) == ["noise"] for one in result)
    with pytest.raises(InputError, match="no encoder of a name"):
        compare_runs(runs, tmp_path / "empty", seed=0, unseen=[unseen])

    [written] = export_zoo(runs, out, seed=0, unseen=[unseen], only=["byol-resnet"])
    assert (out / "swav-resnet.safetensors").read_bytes() == before
    monkeypatch.setattr("mgm_jax.zoo.FOLDER", out)
    byol, swav = zoo_encoders()
    assert (byol.file, byol.training["commit"]) == (written, "new")
    assert byol.knn == {"noise": result[0].new["noise"].accuracy}
    assert [byol.training[key] for key in ("epochs", "rate", "blur_at")] == [16, 0.001, 224]
    assert swav.training["commit"] == "old"
    rows = table(out, [unseen]).splitlines()[3:]
    assert rows[0].startswith("| byol-resnet | BYOL | contrastive | 16 | 0.001 | 224 | 1.5 |")
    assert rows[1].startswith("| swav-resnet | SWAV | contrastive | 8 | 0.002 | 64 | 9.0 |")


def test_only_what_is_finished_can_be_asked_for(tmp_path: Path) -> None:
    finished(tmp_path, "byol", 0, Recipe())
    with pytest.raises(InputError, match=r"only: mae-vit .* finished are byol-resnet"):
        export_zoo(tmp_path, tmp_path / "out", seed=0, unseen=[], only=["mae-vit"])
