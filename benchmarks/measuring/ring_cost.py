"""What an exact k-NN graph over a ring of devices costs: the model of ``docs/scaling.md``.

Everything is counted for one device, for a graph of n points among themselves, P devices:

- share ``s = n / P`` rounded up to 16 rows; the scan goes over ``q`` tiles of queries and ``b``
  blocks of ``c`` rows of every share, and every device meets ``P b`` blocks
- products ``2 d (tile q) (c b) P``, that is ``2 n^2 d / P`` but for the rounding
- sent ``(P - 1) b c (d t + 12)`` in the scan (t bytes a value and three float32 a row) and
  ``(P - 1) b c (d v + 16)`` in the ranking (v bytes a value, two float64 a row)
- exact distances ``s C``, C the candidates of a point: k and a margin
- memory: the points, the table of the scan, lists of C a row, three blocks, tiles of scores
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from mgm_jax.geometry.knn.mesh.ring import candidates_for
from mgm_jax.geometry.knn.mesh.ring_points import FLOAT64_TILE
from mgm_jax.parallel.ring import cut


@dataclass(frozen=True, kw_only=True)
class RingCost:
    """Costs of one device.

    Attributes:
        share: rows it holds.
        blocks: turns of the ring.
        block_rows: rows of a block.
        product_flops: of the scan.
        scores: pairs scored in the scan.
        exact_pairs: distances computed in float64.
        scan_sent: bytes sent in the scan.
        rank_sent: bytes sent in the ranking.
        message: bytes of the largest message.
        scan_working: bytes beside the arrays that are kept, while the scan turns.
        rank_working: the same while the ranking turns.
        memory: bytes a device needs, at most.
    """

    share: int
    blocks: int
    block_rows: int
    product_flops: int
    scores: int
    exact_pairs: int
    scan_sent: int
    rank_sent: int
    message: int
    scan_working: int
    rank_working: int
    memory: int


def ring_cost(
    *,
    n: int,
    d: int,
    k: int,
    devices: int,
    value_bytes: int = 4,
    scan: str = "bfloat16",
    rows: int = 4096,
    columns: int = 32768,
) -> RingCost:
    """Count what one device does.

    Args:
        n: points.
        d: features.
        k: neighbours.
        devices: how many share the work.
        value_bytes: bytes of a value of the points, 4 for float32.
        scan: type of the scan.
        rows: queries scanned at once.
        columns: largest block; ``knn_graph`` takes these two as ``tile_rows``, ``tile_columns``.

    Example:
        >>> ring_cost(n=1600, d=100, k=10, devices=2, scan="float32", rows=64).product_flops
        266240000
    """
    width = jnp.dtype(scan).itemsize
    share = -(-max(-(-n // devices), k) // 16) * 16
    candidates = candidates_for(k, scan, share=share)
    blocks = cut(share, most=-(-max(columns, candidates) // 16) * 16, least=candidates)
    tiles = cut(share, most=rows)
    scores = tiles.size * tiles.count * blocks.size * blocks.count * devices
    scan_row, rank_row = d * width + 12, d * value_bytes + 16
    travelled = (devices - 1) * blocks.size * blocks.count
    points, table = share * (rank_row + 1), share * scan_row
    lists = share * candidates * 8
    # Scores are made, compared and cut down: a few copies of a tile are alive.
    scan_working = 3 * blocks.size * scan_row + 3 * tiles.size * blocks.size * 4
    rank_working = 3 * blocks.size * rank_row + 2 * lists + 32 * share
    memory = max(
        points + table + 3 * min(FLOAT64_TILE, share) * d * 8,
        points + table + lists + max(scan_working, lists + 4 * share),
        points + lists + max(rank_working, 2 * lists + 4 * share),
    )
    return RingCost(
        share=share,
        blocks=blocks.count,
        block_rows=blocks.size,
        product_flops=2 * d * scores,
        scores=scores,
        exact_pairs=share * candidates,
        scan_sent=travelled * scan_row,
        rank_sent=travelled * rank_row,
        message=blocks.size * d * max(width, value_bytes) if devices > 1 else 8 * d,
        scan_working=scan_working,
        rank_working=rank_working,
        memory=memory,
    )
