"""Meshes, padding and spreading of rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.parallel.devices import default_mesh, mesh_of, pad_rows, shard_rows


def test_a_mesh_has_one_axis_over_all_devices() -> None:
    mesh = default_mesh()
    assert mesh.axis_names == ("rows",) and mesh.size == len(jax.devices())
    with pytest.raises(InputError, match="at least one device"):
        default_mesh([])


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_padding_adds_zero_rows_where_the_array_is(kind) -> None:
    x = kind(np.arange(6.0, dtype=np.float32).reshape(3, 2))
    padded, n = pad_rows(x, multiple=4)
    assert n == 3 and type(padded) is type(x)
    np.testing.assert_array_equal(padded, [[0, 1], [2, 3], [4, 5], [0, 0]])
    assert pad_rows(x, multiple=3)[0] is x


def test_rows_are_spread_and_found_again() -> None:
    mesh = default_mesh()
    x = np.ones((2 * mesh.size, 3), np.float32)
    np.testing.assert_array_equal(shard_rows(x, mesh), x)
    assert mesh_of(x) is None and mesh_of(jnp.asarray(x)) is None
