"""What the pages and CONTRIBUTING name is there; what is public is on the page of the API."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import mgm_jax
from tests.launch import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = ("mgm_jax", "mgm_converters", "benchmarks", "tests")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = r"mgm_jax|converters|benchmarks|tests|examples|docs"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", text):
        # Whoever adds something finds a place for it, not a file.
        assert "NAME" in path or (ROOT / path).exists(), path
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link


def test_files_of_the_worked_lists_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = [ROOT / name for name in ("mgm_jax", "converters", "benchmarks", "tests")]
    known = [path.as_posix() for folder in folders for path in folder.rglob("*.py")]
    for name in set(re.findall(r"`([\w/-]+\.py)`", text)):
        assert "NAME" in name or any(path.endswith(f"/{name}") for path in known), name


def test_every_room_has_a_row() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = text.split("## Where things are")[1].split("###")[0]
    rooms = {path.parent.name for path in (ROOT / "mgm_jax").glob("*/__init__.py")}
    assert {room for room in rooms if not re.search(rf"[`/]{room}[`/]", rows)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_dotted_names_are_those_of_modules_or_in_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(rf"\b(?:{'|'.join(PACKAGES)})(?:\.\w+)+", text)):
        words = name.split(".")
        while not _is_module(words):
            words.pop()
        result = importlib.import_module(".".join(words))
        for word in name.split(".")[len(words) :]:
            result = getattr(result, word)


def _is_module(words: list[str]) -> bool:
    positions = (ROOT.joinpath(*words), (ROOT / "converters").joinpath(*words))
    return any(position.is_dir() or position.with_suffix(".py").is_file() for position in positions)


def test_everything_public_is_on_the_page_of_the_api() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^    options: {heading: mgm\.(\w+)}$", page, flags=re.MULTILINE))
    assert named >= set(mgm_jax.__all__)
    # `study` and `report` are modules that can be called as well: their pages are in_memory's.
    at_home = set(re.findall(r"^::: mgm_jax\.(\w+)$", page, flags=re.MULTILINE))
    assert at_home >= set(mgm_jax.__all__) - {"study", "report"}
