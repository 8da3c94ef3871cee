"""The page in a real browser: drawn, quiet, sortable, alive, whole at every width, offline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mgm_jax.report import write_report
from tests.report.browser import CHROMIUM, Browser

Study = Callable[[str], Path]

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium to open the page")

DRAWN = """
document.querySelectorAll("[data-figure]").length > 0 &&
[...document.querySelectorAll("[data-figure]")].every((f) => f.dataset.drawn === "yes")
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def load(browser: Browser, page_of: Study) -> Callable[..., Browser]:
    """Opens the page of a case and waits for its figures."""

    def opens(case: str, *, width: int = 1280, dark: bool = False) -> Browser:
        browser.complaints.clear()
        browser.requests.clear()
        browser.open(page_of(case), width=width, dark=dark)
        browser.wait_for(DRAWN)
        return browser

    return opens


@pytest.mark.parametrize(
    ("case", "width", "dark"),
    [
        ("hostile", 390, False),
        ("hostile", 1280, True),
        pytest.param("twenty-five", 1280, False, marks=pytest.mark.nightly),
    ],
)
def test_all_figures_are_drawn_and_the_console_is_silent(
    load: Callable[..., Browser], case: str, width: int, dark: bool
):
    page = load(case, width=width, dark=dark)
    count = page.run('document.querySelectorAll("[data-figure]").length')
    assert count >= 8
    assert page.run('document.querySelectorAll("[data-figure] .main-svg").length') >= count
    assert page.run('document.querySelectorAll(".broken").length') == 0
    assert page.complaints == []
    # Nothing but the page itself, and the pictures that it holds.
    assert {address.split(":")[0] for address in page.requests} <= {"file", "data", "blob"}
    assert sum(address.startswith("file") for address in page.requests) == 1
    # Names are text: none of them ran.
    assert page.run("document.title") == "synthetic <study> · mgm_jax"


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_is_never_wider_than_its_window(load: Callable[..., Browser], width: int):
    page = load("hostile", width=width)
    assert page.run("document.documentElement.scrollWidth") <= width


def test_figures_follow_the_window(load: Callable[..., Browser]):
    page = load("transfer", width=1280)
    widths = """[...document.querySelectorAll("[data-figure]")].map(
        (f) => [f.dataset.figure, f.querySelector(".main-svg").clientWidth])"""
    wide = dict(page.run(widths))
    page.resize(390)
    page.wait_for("""["dots", "probes", "prediction_scatter"].every((name) =>
        document.querySelector(`[data-figure="${name}"] .main-svg`).clientWidth <= 390)""")
    narrow = dict(page.run(widths))
    for name in ("dots", "probes", "prediction_scatter", "prediction_scores", "features"):
        assert wide[name] > 1000
        assert narrow[name] <= 390
    assert page.complaints == []


def test_a_choice_draws_other_numbers(load: Callable[..., Browser]):
    page = load("transfer")
    figure = """document.querySelector('[data-figure="prediction_scatter"]')"""
    heights = f"""JSON.stringify({figure}.querySelector(".plot").data.map((t) => t.y))"""
    before = page.run(heights)
    page.run(f"""[...{figure}.querySelectorAll(".controls button")].find(
        (button) => button.textContent === "RankMe").click()""")
    after = page.run(heights)
    assert json.loads(before) != json.loads(after)
    pressed = f"""[...{figure}.querySelectorAll('[aria-pressed="true"]')].map(
        (button) => button.textContent)"""
    assert page.run(pressed) == ["RankMe", "one model held out"]


def test_pointing_at_a_model_names_it(load: Callable[..., Browser]):
    page = load("transfer")
    figure = """document.querySelector('[data-figure="similarity"]')"""
    page.run(f"""{figure}.scrollIntoView({{ behavior: "instant" }})""")
    where = page.run("""(() => {
        const plot = document.querySelector('[data-figure="similarity"] .plot');
        const box = plot.querySelector(".nsewdrag").getBoundingClientRect();
        return [box.x + box.width * 0.7, box.y + box.height * 0.3];
    })()""")
    page.move_to(where[0] - 3, where[1])
    page.move_to(*where)
    shown = f"""{figure}.querySelector(".hovertext")"""
    page.wait_for(f"{shown} !== null")
    assert "img_run" in page.run(f"{shown}.textContent")


def test_tables_sort_by_click_and_by_key(load: Callable[..., Browser]):
    page = load("transfer")
    table = 'document.querySelector("#prediction .sortable")'
    column = f"""[...{table}.tHead.rows[0].cells].findIndex((c) => c.textContent === "R²")"""
    position = page.run(column)
    values = f"[...{table}.tBodies[0].rows].map((r) => Number(r.cells[{position}].dataset.value))"
    state = f"""[...{table}.tHead.rows[0].cells].map((c) => c.getAttribute("aria-sort"))"""
    unsorted = page.run(values)
    assert set(page.run(state)) == {None}
    x, y = page.run(f"""(() => {{
        const button = {table}.tHead.rows[0].cells[{position}].querySelector("button");
        button.scrollIntoView({{ block: "center", behavior: "instant" }});
        const box = button.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    }})()""")
    page.click(x, y)
    page.wait_for(f'{state}[{position}] === "descending"')
    assert page.run(values) == sorted(unsorted, reverse=True)
    # The button of the heading has the focus now: Enter turns the order round.
    page.press("Enter")
    page.wait_for(f'{state}[{position}] === "ascending"')
    assert page.run(values) == sorted(unsorted)
    assert sum(value is not None for value in page.run(state)) == 1


def test_small_tables_travel_within_the_page(load: Callable[..., Browser], study: Study):
    page = load("transfer")
    link = """document.querySelector('a[download="clusters.csv"][href^="blob:"]')"""
    page.wait_for(f"{link} !== null")
    # A page from disk may not fetch even its own blobs, so the text is unpacked once more.
    assert (
        page.run(f"unpack({link}.dataset.packed)")
        == (study("transfer") / "clusters.csv").read_text()
    )


def test_a_browser_that_cannot_unpack_is_told(browser: Browser, study: Study):
    browser.complaints.clear()
    script = browser.call(
        "Page.addScriptToEvaluateOnNewDocument", source="delete window.DecompressionStream"
    )
    browser.open(write_report(study("one")), width=800)
    notes = browser.run("""[...document.querySelectorAll(".note")].map((n) => n.textContent)""")
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **script)
    assert notes and all("Firefox 113" in note for note in notes)
    assert browser.complaints == []
    assert "1 encoder" in browser.run("document.body.innerText")


def test_missing_values_stay_at_the_end(load: Callable[..., Browser]):
    page = load("transfer")
    table = 'document.querySelector("#prediction .sortable")'
    position = page.run(
        f"""[...{table}.tHead.rows[0].cells].findIndex((c) => c.textContent === "p (Holm)")"""
    )
    texts = f"[...{table}.tBodies[0].rows].map((r) => r.cells[{position}].textContent)"
    for _ in range(2):
        page.run(f'{table}.tHead.rows[0].cells[{position}].querySelector("button").click()')
        result = page.run(texts)
        assert result.count("–") == 20
        assert set(result[5:]) == {"–"}
