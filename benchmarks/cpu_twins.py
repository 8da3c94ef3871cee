"""Do the parts that are written twice, once for CPUs, pay for it?

``python -m benchmarks.cpu_twins`` runs each of them on a CPU beside the general one on the same
input. A twin that is not 1.3 times as fast should go.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.knn import post_relu
from benchmarks.measuring.timing import interleaved, report
from mgm_jax.geometry.backend.precision import double_precision
from mgm_jax.geometry.knn.cpu.by_gram import nearest_by_gram
from mgm_jax.geometry.knn.cpu.by_pairs import nearest_by_pairs
from mgm_jax.geometry.knn.cpu.in_small_groups import nearest_in_small_groups
from mgm_jax.geometry.knn.in_groups import nearest_in_groups
from mgm_jax.geometry.knn.on_device import nearest_in_cloud
from mgm_jax.geometry.knn.tile import SearchOptions
from mgm_jax.geometry.local.subspaces import group_overlaps, principal_axes, smaller_sides
from mgm_jax.geometry.local.subspaces_on_cpu import overlaps_on_host
from mgm_jax.geometry.points.groups import encode_groups

WINS = 1.3
"""What a twin has to be faster by."""

_K = 20

Pair = tuple[Callable[[], object], Callable[[], object]]


def clouds(n: int, d: int, *, small: bool) -> Pair:
    """One cloud: by pairs of tiles beside the search of devices; a small one by its Gram matrix."""
    x = post_relu(n, d)

    def by_pairs() -> object:
        return nearest_by_pairs(x, None, SearchOptions(k=_K, metric="cosine", precision="auto"))

    if small:
        return lambda: nearest_by_gram(x, k=_K, metric="cosine"), by_pairs
    return by_pairs, lambda: nearest_in_cloud(
        x, None, SearchOptions(k=_K, metric="cosine", precision="auto")
    )


def groups(count: int, size: int, d: int) -> Pair:
    """Neighbours within small groups: one Gram matrix each beside the scan of a batch."""
    x = post_relu(count * size, d)
    partition = encode_groups(np.repeat(np.arange(count), size), len(x))
    return (
        lambda: nearest_in_small_groups(x, partition, k=_K),
        lambda: nearest_in_groups(
            jnp.asarray(x), partition, k=_K, metric="euclidean", precision="auto"
        ),
    )


def spans(count: int, size: int, d: int) -> Pair:
    """Overlaps of the spans of polytopes within groups, of 5 to 25 neighbours a point."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, size, d))
    x -= x.mean(axis=1, keepdims=True)
    axes = principal_axes(x @ x.transpose(0, 2, 1), width=d)
    ranks = np.argsort(np.argsort(rng.random((count, size, size)), axis=2), axis=2)
    support = ranks < rng.integers(5, 26, (count, size, 1))
    support[:, np.arange(size), np.arange(size)] = False
    mask, lengths = np.ones((count, size), bool), np.einsum("gmd,gmd->gm", x, x)
    general = jax.jit(jax.vmap(group_overlaps))

    def on_host() -> object:
        with double_precision():
            return overlaps_on_host(axes, mask, lengths, support)

    def on_device() -> object:
        sides = smaller_sides(support, mask, axes.values, lengths)
        with double_precision():
            return jax.block_until_ready(general(*axes, mask, lengths, *sides))

    return on_host, on_device


def main() -> None:
    """Measure and report."""
    twins = {
        "knn.cpu.by_pairs, 10 000 x 512": clouds(10_000, 512, small=False),
        **{
            f"knn.cpu.by_gram, {n} x {d}": clouds(n, d, small=True)
            for n in (100, 600, 900, 1024)
            for d in (128, 2048)
        },
        "knn.cpu.in_small_groups, 240 x 50 x 512": groups(240, 50, 512),
        "local.subspaces_on_cpu, 40 x 50 x 512": spans(40, 50, 512),
    }
    rows = []
    for name, (twin, general) in twins.items():
        seconds = interleaved({"twin": twin, "general": general}, turns=5)
        ratio = seconds["general"] / seconds["twin"]
        rows.append(
            {"twin": name, "seconds": seconds["twin"], "general": seconds["general"]}
            | {"ratio": ratio, "wins": ratio >= WINS}
        )
    report("cpu_twins", rows)


if __name__ == "__main__":
    main()
