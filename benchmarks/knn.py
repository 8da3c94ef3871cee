"""How fast is the exact k-NN graph beside a plain product, FAISS and scikit-learn?

``python -m benchmarks.knn`` shows how the cost grows with n, d and k, one at a time, and answers
for 20 000 x 2048, k = 50; ``--only 1000x512x50 ...`` for some of these sizes, whose rows it renews.
``--isa AVX2`` does so with the instructions of an older CPU, for all contestants. ``--one`` answers
for one size with scikit-learn beside it; ``--memory`` how much memory 100 000 points need beyond
input and output, in a process of its own; ``--clusters C`` what C clusters of 20 points cost, whose
other neighbours are so nearly alike that a coarse scan proves little. Of large clouds, and by
scikit-learn always, a share of the queries is answered and scaled: their cost is that of their
number. FAISS takes part where it is installed. The plain product is a float32 ``x @ x.T`` by tiles
of 500 rows whose results are thrown away.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measuring.timing import interleaved, report, reported
from mgm_jax import knn_graph

_SHARE = 10
# Of more operations than this, FAISS and the product do a share.
_SHARED_FROM = 2e11
# From so many on, one turn is all, and nothing is done before it.
_ONCE_FROM = 2e12
# A cloud takes turns for about so many operations of the product, in these limits.
_OPERATIONS, _MIN_TURNS, _MAX_TURNS = 2.5e11, 3, 15
_GROWTH = (
    *((n, 512, 50) for n in (1_000, 3_000, 10_000, 30_000, 100_000)),
    *((10_000, d, 50) for d in (64, 256, 1024, 4096)),
    *((10_000, 512, k) for k in (5, 20, 100, 200)),
    (20_000, 2048, 50),
)
# Settings that keep XLA, NumPy's products and FAISS from newer instructions.
_OLDER = {
    "AVX2": {
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "FAISS_OPT_LEVEL": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
    }
}


def post_relu(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """Non-negative clustered features on the sphere, like pooled activations, [n, d] float32."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(100, d)).astype(np.float32)
    x = centres[rng.integers(0, 100, n)] + rng.normal(size=(n, d)).astype(np.float32)
    x = np.maximum(x, 0)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def clusters(count: int, d: int, *, size: int = 20, seed: int = 0) -> np.ndarray:
    """Tight clusters around random directions, ``[count * size, d]`` float32 on the sphere."""
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=(count, d)).astype(np.float32), size, axis=0)
    x += np.float32(0.1) * rng.normal(size=x.shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def contestants(x: np.ndarray, k: int, *, share: int) -> dict[str, Callable[[], object]]:
    """Name to a call that does the work once: ours all of it, the others one in ``share``."""
    on_device = jnp.asarray(x)
    tile = 500

    @jax.jit
    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        # One number a tile leaves the loop, so that nothing but the product is timed.
        return (a @ b.T).max()

    def plain_product() -> None:
        for start in range(0, len(x) // share, tile):
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
        index.search(x[: len(x) // share], k + 1)

    return calls | {"FAISS IndexFlatIP": faiss_flat}


def sklearn_share(x: np.ndarray, k: int) -> Callable[[], object]:
    """A call that answers a tenth of the queries."""
    from sklearn.neighbors import NearestNeighbors

    def search() -> None:
        searcher = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", n_jobs=-1).fit(x)
        searcher.kneighbors(x[: len(x) // _SHARE])

    return search


def measure(
    n: int,
    d: int,
    k: int,
    *,
    x: np.ndarray | None = None,
    turns: int | None = None,
    sklearn: bool = False,
) -> list[dict[str, object]]:
    """A row a contestant; ratios above 1 are in favour of mgm_jax."""
    x = post_relu(n, d) if x is None else x
    operations = float(n) * n * d
    share = _SHARE if operations > _SHARED_FROM else 1
    calls = contestants(x, k, share=share)
    shares = {name: 1 if name == "mgm_jax" else share for name in calls}
    if sklearn:
        calls["scikit-learn brute"], shares["scikit-learn brute"] = sklearn_share(x, k), _SHARE
    graphs = []
    plain = calls["mgm_jax"]
    calls["mgm_jax"] = lambda: graphs.append(plain())
    once = operations > _ONCE_FROM
    fitting = 1 if once else int(min(max(_OPERATIONS / operations, _MIN_TURNS), _MAX_TURNS))
    turns = turns or fitting
    medians = interleaved(calls, turns=turns, uncounted=0 if once else 1)
    seconds = {name: value * shares[name] for name, value in medians.items()}
    return [
        {
            "n": n,
            "d": d,
            "k": k,
            "who": name,
            "seconds": value,
            "GFLOP/s": 2 * operations / value / 1e9,
            "times mgm_jax": value / seconds["mgm_jax"],
            "turns": turns,
            "certified at once": float(graphs[0].certified.mean()) if name == "mgm_jax" else "",
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
    graph = knn_graph(x, k=k, metric="cosine")
    done.set()
    watcher.join()
    output = (graph.indices.nbytes + graph.distances.nbytes) / 2**20
    return {
        "n": n,
        "d": d,
        "k": k,
        "who": "mgm_jax",
        "input MiB": x.nbytes / 2**20,
        "output MiB": output,
        "MiB beyond both": peak[0] - before - output,
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def on_an_older_cpu(isa: str) -> None:
    """Start this program once more, with settings that are read when the libraries are loaded."""
    if os.environ.get("BENCHMARK_ISA") != isa:
        os.environ.update(_OLDER[isa] | {"BENCHMARK_ISA": isa})
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.knn", *sys.argv[1:]])


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=int, nargs=3, metavar=("N", "D", "K"))
    parser.add_argument("--only", nargs="+", metavar="NxDxK")
    parser.add_argument("--clusters", type=int, metavar="C")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--isa", choices=list(_OLDER))
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--k", type=int, default=50, help="of --memory")
    parser.add_argument("--one-graph", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.isa:
        on_an_older_cpu(options.isa)
    suffix = f"_{options.isa.lower()}" if options.isa else ""
    if options.one_graph:
        print(json.dumps(one_graph(*options.one_graph)))
    elif options.memory:
        report("knn_memory", [memory_row(100_000, d, options.k) for d in (64, 512, 2048)])
    elif options.one:
        report(f"knn{suffix}", measure(*options.one, turns=options.turns, sklearn=True))
    elif options.clusters:
        x = clusters(options.clusters, 2048)
        rows = measure(len(x), x.shape[1], 50, x=x, turns=options.turns)
        report(f"knn_clusters{suffix}", rows)
    else:
        question = f"knn_growth{suffix}"
        rows = reported(question) if options.only else []
        for size in _GROWTH:
            if options.only and "x".join(map(str, size)) not in options.only:
                continue
            rows = [row for row in rows if (row["n"], row["d"], row["k"]) != size]
            rows += measure(*size, turns=options.turns)
            rows.sort(key=lambda row: _GROWTH.index((row["n"], row["d"], row["k"])))
            # Written after every size: what was measured stays if the rest is stopped.
            report(question, rows)


if __name__ == "__main__":
    main()
