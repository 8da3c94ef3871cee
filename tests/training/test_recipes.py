"""The recipes of the page about training run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "training.md"


# Categories of its own are unknown to the process that gathers the warnings of all workers, which
# would import Lightning for them.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("title", "library"),
    [("Flax NNX and optax", "flax"), ("PyTorch", "torch"), ("Lightning", "lightning")],
)
def test_a_recipe_runs(
    title: str,
    library: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if library == "lightning":
        # It imports torchvision where that is installed, whatever its operators are.
        request.getfixturevalue("torchvision")
    pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    section = PAGE.read_text(encoding="utf-8").split(f"## {title}\n")[1]
    code = re.search(r"```python\n(.*?)```", section, re.S)
    assert code is not None
    exec(compile(code.group(1), str(PAGE), "exec"), {"__name__": "recipe"})
    (table,) = tmp_path.glob("runs/*/geometry.csv")
    assert len(table.read_text().splitlines()) >= 3
