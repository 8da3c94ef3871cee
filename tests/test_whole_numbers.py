"""Whole numbers as users write them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.whole_numbers import seeded, whole_number


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), jnp.asarray(3)])
def test_whole_numbers_become_int(value: Any) -> None:
    assert type(whole_number(value, name="k")) is int and whole_number(value, name="k") == 3


@pytest.mark.parametrize("value", [0, -1, True, 3.0, np.float32(3), "3", None, [3], np.array([3])])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"^k must be a whole number of at least 1; got"):
        whole_number(value, name="k")


def test_a_seed_draws_what_numpy_draws() -> None:
    expected = np.random.default_rng(7).random(3)
    np.testing.assert_array_equal(seeded(np.int32(7)).random(3), expected)
    np.testing.assert_array_equal(seeded(np.random.default_rng(7)).random(3), expected)


@pytest.mark.parametrize("seed", [-1, None, 1.5, "0", True])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(InputError, match=r"^seed must be a whole number of at least 0; got"):
        seeded(seed)
