"""The page in a real browser, without a network: every figure is drawn, no name is run."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mgm_jax.report import write_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@pytest.mark.skipif(not BROWSER, reason="needs Chromium to open the page")
def test_all_figures_are_drawn(study: Callable[[str], Path], tmp_path: Path):
    page = write_report(study("hostile"))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    quiet = "--disable-background-networking --disable-component-update --disable-sync"
    done = subprocess.run(
        [
            BROWSER,
            *flags.split(),
            *quiet.split(),
            "--virtual-time-budget=10000",
            f"--user-data-dir={tmp_path}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    body = re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)
    assert 'data-drawn="no"' not in body
    assert body.count('data-drawn="yes"') == body.count("data-figure=")
    assert body.count('class="main-svg"') >= body.count("data-figure=")
    assert "<title>synthetic &lt;study&gt; · mgm_jax</title>" in body
