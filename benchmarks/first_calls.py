"""What does a first call take in a fresh process, with an empty cache of programs and a full one?

``python -m benchmarks.first_calls`` starts a process for every call of ``knn_graph``, ``nnk_graph``
and ``manifold_metrics`` on 600 points of 64 features in ten classes: first with an empty cache
folder ("cold"), then with what that left ("warm"). Importing the package is timed apart. "All
cores" are the seconds that the cores worked on the call. Programs are what the call asked for, read
those that came from the cache. "At most" is the goal for the call.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

# Seconds of the call: with an empty cache, and with a full one.
_GOALS = {"knn_graph": (0.9, 1.0), "nnk_graph": (1.6, 1.5), "manifold_metrics": (4.0, 2.0)}
_COMPILED = "/jax/core/compile/backend_compile_duration"
_READ = "/jax/compilation_cache/cache_hits"
# What would change where JAX looks for programs.
_SETTINGS = ("JAX_COMPILATION_CACHE_DIR", "TF_CPP_MIN_LOG_LEVEL")


def one_call(name: str) -> dict[str, float]:
    """Import the package, call a function once and say what it took; for a fresh process."""
    start = time.perf_counter()
    import mgm_jax

    imported = time.perf_counter() - start
    import jax
    import numpy as np

    counts = {_COMPILED: 0, _READ: 0}

    def count(event: str, *_: Any, **__: Any) -> None:
        counts[event] = counts.get(event, 0) + 1

    jax.monitoring.register_event_duration_secs_listener(count)
    jax.monitoring.register_event_listener(count)
    x = np.random.default_rng(0).normal(size=(600, 64)).astype(np.float32)
    classes = np.arange(600) % 10
    call = {
        "knn_graph": lambda: mgm_jax.knn_graph(x, k=15),
        "nnk_graph": lambda: mgm_jax.nnk_graph(x, k=15),
        "manifold_metrics": lambda: mgm_jax.manifold_metrics(x, groups=classes, k=15),
    }[name]
    start, busy = time.perf_counter(), time.process_time()
    call()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {
        "import": imported,
        "call": seconds,
        "all cores": busy,
        "programs": counts[_COMPILED],
        "read": counts[_READ],
    }


def in_a_fresh_process(name: str, folder: str) -> dict[str, float]:
    """What :func:`one_call` says in a process of its own, with its programs in a folder."""
    kept = {key: value for key, value in os.environ.items() if key not in _SETTINGS}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_calls", "--one-call", name],
        check=True,
        stdout=subprocess.PIPE,
        env={**kept, "MGM_JAX_CACHE": folder},
    )
    return json.loads(done.stdout)


def median_of(calls: list[dict[str, float]]) -> dict[str, float]:
    """The median of each number."""
    return {key: statistics.median(call[key] for call in calls) for key in calls[0]}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--one-call", choices=list(_GOALS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_call:
        print(json.dumps(one_call(options.one_call)))
        return
    # Here, because it brings JAX, whose import is timed above.
    from benchmarks.measuring.timing import report

    rows = []
    for name, goals in _GOALS.items():
        cold, warm = [], []
        for _ in range(options.turns):
            with tempfile.TemporaryDirectory() as folder:
                cold.append(in_a_fresh_process(name, folder))
                warm.append(in_a_fresh_process(name, folder))
        for cache, calls, goal in (("cold", cold, goals[0]), ("warm", warm, goals[1])):
            median = median_of(calls)
            rows.append(
                {"call of": name, "cache": cache, **median}
                | {"at most": goal, "met": median["call"] <= goal}
            )
    report("first_calls", rows)


if __name__ == "__main__":
    main()
