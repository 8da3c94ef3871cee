"""Positions that were never learned: sines and cosines of the row and the column of a patch."""

from __future__ import annotations

import math

import numpy as np


def are_fixed(positions: np.ndarray) -> bool:
    """Whether stored positions are the sines and cosines that MoCo-v3 and MAE give their ViTs.

    Args:
        positions: ``[1, n, d]`` or ``[1, 1 + n, d]`` with zeros for the class token first.
    """
    if positions.ndim != 3 or positions.shape[-1] % 4:
        return False
    table = np.asarray(positions[0], np.float64)
    side = math.isqrt(len(table))
    patches = table if side * side == len(table) else table[1:]
    side = math.isqrt(len(patches))
    if side < 2 or side * side != len(patches) or (len(patches) < len(table) and table[0].any()):
        return False
    quarter = table.shape[1] // 4
    omega = 1e4 ** -(np.arange(quarter) / quarter)
    down, across = np.divmod(np.arange(len(patches)), side)
    angles = np.concatenate([across[:, None] * omega, down[:, None] * omega], 1)
    first, second = angles[:, :quarter], angles[:, quarter:]
    wanted = np.concatenate([np.sin(first), np.cos(first), np.sin(second), np.cos(second)], 1)
    return bool(np.abs(patches - wanted).max() < 1e-2)
