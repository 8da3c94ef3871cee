"""Checks of points, normalisation and equal rows."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mgm_jax.errors import InputError
from mgm_jax.geometry.points import checks as points
from mgm_jax.geometry.points.checks import check_points, find_duplicates, normalise, sum_of_squares
from mgm_jax.probe.features import Features


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8])
def test_real_types_become_float32(dtype: type) -> None:
    checked = check_points(np.array([[1, 2], [3, 4]], dtype))
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, [[1, 2], [3, 4]])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_kept_types_pass_unchanged(dtype: type) -> None:
    points = jnp.ones((3, 2), dtype)
    assert check_points(points) is points


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(3), r"two axes.*\(3,\)"),
        (np.ones((1, 3)), r"at least 2 rows.*\(1, 3\)"),
        (np.ones((3, 0)), r"1 column.*\(3, 0\)"),
        (np.array([["a"], ["b"]]), "real numbers"),
        (np.ones((2, 2), complex), "real numbers.*complex"),
        (np.full((2, 2), 1e300), "2 rows with infinity"),
    ],
)
def test_unusable_points_are_described(bad: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_points(bad)


@pytest.mark.parametrize("on_device", [False, True])
def test_bad_rows_are_named_and_counted(on_device: bool) -> None:
    points = np.ones((40, 3), np.float32)
    points[5, 1] = np.nan
    points[7, 0], points[8, 2] = np.inf, -np.inf
    points[20:35] = 0
    given_points = jnp.asarray(points) if on_device else points
    with pytest.raises(InputError) as caught:
        check_points(given_points, name="embeddings", cosine=True)
    text = str(caught.value)
    assert text.startswith("embeddings must have")
    assert "1 rows with NaN (rows 5)" in text
    assert "2 rows with infinity (rows 7, 8)" in text
    assert "15 rows with only zeros (rows 20, 21, 22" in text and "and 5 more" in text


def test_zero_rows_have_no_direction_but_a_place() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0]], np.float32)
    np.testing.assert_array_equal(check_points(points), points)
    with pytest.raises(InputError, match="only zeros"):
        check_points(points, cosine=True)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_unit_rows_have_unit_length_at_any_scale(scale: float) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3000)).astype(np.float32) * np.float32(scale)
    unit = np.asarray(normalise(x), np.float64)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=3e-7)
    exact = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_allclose(unit, exact, atol=3e-7 * np.abs(exact).max())


def test_a_zero_row_stays_zero() -> None:
    np.testing.assert_array_equal(normalise(np.zeros((1, 4), np.float32)), np.zeros((1, 4)))


def test_blocked_sum_beats_the_bound_it_promises() -> None:
    x = np.random.default_rng(1).random((4, 5000)).astype(np.float32)
    exact = (x.astype(np.float64) ** 2).sum(axis=1)
    bound = (64 + 5000 / 64 + 2) * 2.0**-24
    assert np.all(np.abs(np.asarray(sum_of_squares(jnp.asarray(x))) / exact - 1) < bound)


@settings(max_examples=20, deadline=None)
@given(
    npst.arrays(
        np.float32, st.just((12, 3)), elements=st.sampled_from([-1.0, 0.0, -0.0, 2.0**-70, 3.5])
    )
)
def test_duplicates_are_the_rows_numpy_finds(x: np.ndarray) -> None:
    codes = find_duplicates(x)
    equal = (x[:, None] == x[None]).all(axis=2)
    np.testing.assert_array_equal(codes, equal.argmax(axis=1))


@pytest.mark.parametrize("alike", [40, 5])
def test_rows_that_share_their_first_columns_are_told_apart(alike: int) -> None:
    """Many such rows, and few among rows that differ at once, of which some are equal indeed."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(200, 300)).astype(np.float32)
    rows = rng.permutation(200)[:alike]
    x[rows, :100] = x[rows[0], :100]
    x[rows[1::2]] = x[rows[1]]
    equal = (x[:, None] == x[None]).all(axis=2)
    np.testing.assert_array_equal(find_duplicates(x), equal.argmax(axis=1))


def test_permuted_rows_are_no_duplicates() -> None:
    x = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]], np.float32)
    assert find_duplicates(jnp.asarray(x, jnp.bfloat16)).tolist() == [0, 1, 0]


@pytest.mark.parametrize("on_device", [False, True])
def test_rows_whose_hashes_meet_are_compared(
    on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_hash(x: jnp.ndarray) -> tuple[jnp.ndarray, jnp.ndarray]:
        return jnp.zeros(len(x), jnp.uint32), jnp.zeros(len(x), jnp.uint32)

    monkeypatch.setattr(points, "_hash_rows", one_hash)
    x = np.random.default_rng(2).integers(0, 3, (60, 2)).astype(np.float32)
    equal = (x[:, None] == x[None]).all(axis=2)
    codes = find_duplicates(jnp.asarray(x) if on_device else x)
    np.testing.assert_array_equal(codes, equal.argmax(axis=1))


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).integers(0, 4, (97, 3)).astype(np.float32)
    whole = find_duplicates(x)
    monkeypatch.setattr(points, "_BLOCK_VALUES", 30)
    np.testing.assert_array_equal(find_duplicates(x), whole)


@pytest.mark.parametrize(("least", "rows"), [(0, 0), (1, 1)])
def test_fewer_points_may_do(least: int, rows: int) -> None:
    assert check_points(np.ones((rows, 3)), least=least, cosine=True).shape == (rows, 3)
    with pytest.raises(InputError, match=f"at least {least + 1} row"):
        check_points(np.ones((rows, 3)), least=least + 1)


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation")
@pytest.mark.parametrize("kind", ["float8_e4m3fn", "bfloat16", "float16", "qint8"])
def test_types_that_numpy_has_not_become_float32(kind: str) -> None:
    torch = pytest.importorskip("torch")
    values = torch.tensor([[1.0, 2.0], [4.0, -8.0]])
    if kind == "qint8":
        given_kind = torch.quantize_per_tensor(values, 1.0, 0, torch.qint8)
    else:
        given_kind = values.to(getattr(torch, kind))
    assert np.asarray(check_points(given_kind)).tolist() == values.tolist()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("what", ["meta", "sparse", "nested"])
def test_tensors_without_rows_of_numbers_are_named(what: str) -> None:
    torch = pytest.importorskip("torch")
    values = torch.ones(3, 2)
    tensor = {
        "meta": lambda: values.to("meta"),
        "sparse": values.to_sparse,
        "nested": lambda: torch.nested.nested_tensor([values, values[:1]]),
    }[what]()
    for door in (check_points, lambda x: Features.of(x, name="x")):
        with pytest.raises(InputError, match="x must be a dense tensor"):
            door(tensor)
