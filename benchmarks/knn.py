"""How fast is the exact k-NN graph beside a plain product, FAISS and scikit-learn?

``python -m benchmarks.knn`` answers for 20 000 x 2048, k = 50. ``--growth`` shows how the cost
grows with n, d and k, one at a time; ``--memory`` how much memory 100 000 points need beyond input
and output, in a process of its own. scikit-learn answers a tenth of the queries and is scaled.
FAISS takes part where it is installed. The plain product is a float32 ``x @ x.T`` by tiles of 500
rows whose results are thrown away.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import interleaved, report
from mgm_jax import knn_graph

_SHARE = 10
_GROWTH = (
    *((n, 512, 50) for n in (1_000, 3_000, 10_000, 30_000, 100_000)),
    *((10_000, d, 50) for d in (64, 256, 1024, 4096)),
    *((10_000, 512, k) for k in (5, 20, 100, 200)),
)


def post_relu(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """Non-negative clustered features on the sphere, like pooled activations, [n, d] float32."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(100, d)).astype(np.float32)
    x = centres[rng.integers(0, 100, n)] + rng.normal(size=(n, d)).astype(np.float32)
    x = np.maximum(x, 0)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def contestants(x: np.ndarray, k: int) -> dict[str, Callable[[], object]]:
    """Name to a call that does the whole work once."""
    on_device = jnp.asarray(x)
    tile = 500

    @jax.jit
    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        # One number a tile leaves the loop, so that nothing but the product is timed.
        return (a @ b.T).max()

    def plain_product() -> None:
        for start in range(0, len(x), tile):
            product(on_device[start : start + tile], on_device).block_until_ready()

    calls: dict[str, Callable[[], object]] = {
        "mgm_jax": lambda: knn_graph(x, k=k, metric="cosine"),
        "plain float32 product": plain_product,
    }
    try:
        import faiss
    except ImportError:
        return calls

    def faiss_flat() -> None:
        index = faiss.IndexFlatIP(x.shape[1])
        index.add(x)
        index.search(x, k + 1)

    return calls | {"FAISS IndexFlatIP": faiss_flat}


def sklearn_share(x: np.ndarray, k: int) -> Callable[[], object]:
    """A call that answers a tenth of the queries."""
    from sklearn.neighbors import NearestNeighbors

    def search() -> None:
        searcher = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", n_jobs=-1).fit(x)
        searcher.kneighbors(x[: len(x) // _SHARE])

    return search


def measure(n: int, d: int, k: int, *, turns: int, sklearn: bool) -> list[dict[str, object]]:
    """A row a contestant; ratios above 1 are in favour of mgm_jax."""
    x = post_relu(n, d)
    calls = contestants(x, k)
    if sklearn:
        calls["scikit-learn brute"] = sklearn_share(x, k)
    seconds = interleaved(calls, turns=turns)
    if sklearn:
        seconds["scikit-learn brute"] *= _SHARE
    certified = float(knn_graph(x[: min(n, 20_000)], k=k, metric="cosine").certified.mean())
    return [
        {
            "n": n,
            "d": d,
            "k": k,
            "who": name,
            "seconds": value,
            "GFLOP/s": 2 * n * n * d / value / 1e9,
            "times mgm_jax": value / seconds["mgm_jax"],
            "certified at once": certified if name == "mgm_jax" else "",
        }
        for name, value in seconds.items()
    ]


def memory_row(n: int, d: int, k: int) -> dict[str, object]:
    """Peak memory of one graph beyond what stood before it, from a fresh process."""
    command = [sys.executable, "-m", "benchmarks.knn", "--one-graph", str(n), str(d), str(k)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def one_graph(n: int, d: int, k: int) -> dict[str, object]:
    """Build one graph and watch the memory of this process meanwhile."""
    knn_graph(post_relu(3000, d), k=k, metric="cosine")
    # By parts, so that making the points leaves nothing behind.
    x = np.empty((n, d), np.float32)
    for start in range(0, n, 2000):
        x[start : start + 2000] = post_relu(min(2000, n - start), d, seed=start)
    before, peak, done = _resident(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    graph = knn_graph(x, k=k, metric="cosine")
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    output = (graph.indices.nbytes + graph.distances.nbytes) / 2**20
    return {
        "n": n,
        "d": d,
        "k": k,
        "who": "mgm_jax",
        "seconds": seconds,
        "input MiB": x.nbytes / 2**20,
        "output MiB": output,
        "MiB beyond both": peak[0] - before - output,
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one-graph", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_graph:
        print(json.dumps(one_graph(*options.one_graph)))
    elif options.growth:
        rows = [
            row for size in _GROWTH for row in measure(*size, turns=options.turns, sklearn=False)
        ]
        report("knn_growth", rows)
    elif options.memory:
        report("knn_memory", [memory_row(100_000, d, options.k) for d in (64, 512, 2048)])
    else:
        size = options.n, options.d, options.k
        report("knn", measure(*size, turns=options.turns, sklearn=True))


if __name__ == "__main__":
    main()
