"""Progress: a rate and a time left on a terminal, silence everywhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

from tests.launch import ROOT

JOB = """
import time
from mgm_jax.progress import progress
with progress("outer", total=20, unit="cell") as bar:
    for _ in range(20):
        with progress("inner", total=2) as inner:
            inner.advance(2)
        time.sleep(0.05)
        bar.advance()
"""


SLOW = """
import time
from mgm_jax.progress import progress
for total in (0, 3):
    with progress(f"job of {total}", total=total, compiles=True) as bar:
        time.sleep(1.3)
        bar.advance(total)
        time.sleep(0.3)
"""


def on_terminal(code: str) -> str:
    """What a program writes on a terminal, without its escapes."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=follower, cwd=ROOT)
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())


def test_a_terminal_sees_rate_and_time_left_of_the_outer_job_only() -> None:
    text = on_terminal(JOB)
    assert "compiling" not in text
    assert "outer" in text and "20/20" in text and "inner" not in text
    rates = [float(rate) for rate in re.findall(r"([\d.]+) cell/s", text)]
    # 20 cells of at least 0.05 s each: no honest rate is above 20 a second.
    assert rates and max(rates) <= 20.5
    assert re.search(r"left *\d:\d\d:\d\d", text)


def test_a_second_without_a_unit_is_said_to_be_compiling() -> None:
    text = on_terminal(SLOW)
    assert "job of 0: compiling ..." in text and "job of 3 (compiling)" in text
    # The bar ends under its own label, and the word on the silent job is wiped out.
    last = re.split(r"[\r\n]", text.strip())[-1]
    assert "job of 3" in last and "compiling" not in last and "3/3" in last
    assert re.search(r"compiling \.\.\.\r +\r", text)


def test_a_pipe_stays_empty() -> None:
    done = subprocess.run([sys.executable, "-c", JOB], capture_output=True, cwd=ROOT, check=True)
    assert done.stdout == b"" and done.stderr == b""
