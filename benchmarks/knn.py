"""How fast is the exact k-NN graph beside a plain product, FAISS and scikit-learn?

``python -m benchmarks.knn`` measures 20 000 x 2048, k = 50; ``--n``, ``--d``, ``--k`` change it.
scikit-learn answers a tenth of the queries and is scaled. FAISS takes part where it is installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import interleaved, report
from mgm_jax import knn_graph

_SHARE = 10


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

    def sklearn_share() -> None:
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", n_jobs=-1).fit(x)
        search.kneighbors(x[: len(x) // _SHARE])

    calls: dict[str, Callable[[], object]] = {
        "mgm_jax": lambda: knn_graph(x, k=k, metric="cosine"),
        "plain float32 product": plain_product,
        "scikit-learn brute": sklearn_share,
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


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=[20_000])
    parser.add_argument("--d", type=int, nargs="+", default=[2048])
    parser.add_argument("--k", type=int, nargs="+", default=[50])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for n in options.n:
        for d in options.d:
            x = post_relu(n, d)
            for k in options.k:
                seconds = interleaved(contestants(x, k), turns=options.turns)
                seconds["scikit-learn brute"] *= _SHARE
                graph = knn_graph(x, k=k, metric="cosine")
                for name, value in seconds.items():
                    rows.append(
                        {
                            "n": n,
                            "d": d,
                            "k": k,
                            "who": name,
                            "seconds": value,
                            "GFLOP/s": 2 * n * n * d / value / 1e9,
                            "times mgm_jax": value / seconds["mgm_jax"],
                            "certified at once": float(graph.certified.mean())
                            if name == "mgm_jax"
                            else "",
                        }
                    )
    report("knn", rows)


if __name__ == "__main__":
    main()
