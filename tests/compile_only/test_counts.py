"""What is read of a compiled program: of small programs of a CPU, and of lines TPUs and GPUs leave.

The values to compare with follow from the programs: how often their loops turn, what they send.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.compile_only import cache
from benchmarks.compile_only.compilers import DEVICES, Target, bundles
from benchmarks.compile_only.counts import Counts, count
from benchmarks.compile_only.kernels import Kernel, Program
from benchmarks.compile_only.loops import growing, turns
from benchmarks.compile_only.table import ALL, as_text, rows_of
from benchmarks.measuring.hlo_counts import shape_bytes


def target_on_cpu() -> Target:
    """Arguments that lie on this machine, for the counts of a TPU."""
    target = Target.__new__(Target)
    target.device, target.mesh = DEVICES["v5e"], None
    target._whole = target._spread = jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0])
    return target


def counted(function: object, *arguments: object) -> Counts:
    """What is read of a function compiled for this machine."""
    return count(jax.jit(function).lower(*arguments).compile().as_text())  # type: ignore[arg-type]


def test_loops_multiply() -> None:
    def nested(x: jax.Array) -> jax.Array:
        inner = lambda _, y: jnp.sin(y) @ y  # noqa: E731
        return jax.lax.fori_loop(0, 5, lambda _, y: jax.lax.fori_loop(0, 3, inner, y) + 1, x)

    assert sorted(counted(nested, jnp.ones((40, 40))).trips) == [5, 15]


def test_a_loop_that_ends_by_its_data_is_listed_as_such() -> None:
    def halve(x: jax.Array) -> jax.Array:
        return jax.lax.while_loop(lambda y: jnp.abs(y).max() > 1, lambda y: y / 2, x)

    counts = counted(halve, jnp.ones(8))
    assert (counts.endless, counts.trips) == (1, [])


def test_a_cpu_says_nothing_of_cycles() -> None:
    assert counted(jnp.sin, jnp.ones(8)).cycles is None


def program(body: str, *, bound: int = 6) -> str:
    """A TPU's program with ``body`` in a loop of ``bound`` turns."""
    return f"""
%body (p: s32[]) -> s32[] {{
{body}
}}
%cond (p: s32[]) -> pred[] {{
  %n = s32[]{{:T(128)}} constant({bound})
  ROOT %c = pred[] compare(%p, %n), direction=LT
}}
ENTRY %main (a: s32[]) -> s32[] {{
  %f = f32[8]{{0}} fusion(%a), calls=%g, backend_config={{"estimated_cycles":"100"}}
  ROOT %w = s32[] while(%a), condition=%cond, body=%body
}}"""


def test_cycles_count_as_often_as_the_loop_turns() -> None:
    body = '  %b = f32[8]{0} fusion(%p), calls=%g, backend_config={"estimated_cycles":"7"}'
    counts = count(program(body))
    assert (counts.cycles, counts.trips) == (100 + 6 * 7, [6])


def test_a_gpu_notes_the_turns() -> None:
    body = "  %b = f32[8]{0} fusion(%p), calls=%g"
    noted = program(body).replace(
        "body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"11"}}'
    )
    assert count(noted).trips == [11]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  %s = bf16[4,256]{1,0} collective-permute(%p), channel_id=1", 2048),
        ("  %s = (f32[256]{0}, f32[256]{0}) all-gather-start(%p), dimensions={0}", 1024),
        ("  %s = (f32[2]{0}, s8[4]{0}) all-to-all(%p, %q)", 12),
    ],
)
def test_bytes_of_collectives(line: str, expected: int) -> None:
    (moved,) = count(program(line)).collectives.values()
    assert moved == 6 * expected


def test_work_without_estimate_is_named_and_notes_are_not() -> None:
    body = """  %s = f32[8]{0} sort(%p), dimensions={0}
  %k = f32[8]{0} custom-call(%p), custom_call_target="tpu_custom_call"
  %o = f32[8]{0} custom-call(%p), custom_call_target="Sharding"
  %h = f32[8]{0} send(%p), channel_id=2"""
    counts = count(program(body))
    assert counts.no_estimate == {"sort": 6, "tpu_custom_call": 6}
    assert counts.calls == {"tpu_custom_call": 6}
    assert counts.host == 6


def test_both_branches_count() -> None:
    text = """
%one (p: s32[]) -> s32[] {
  ROOT %f = s32[] fusion(%p), calls=%g, backend_config={"estimated_cycles":"3"}
}
%two (p: s32[]) -> s32[] {
  ROOT %f = s32[] fusion(%p), calls=%g, backend_config={"estimated_cycles":"5"}
}
ENTRY %main (a: s32[]) -> s32[] {
  ROOT %c = s32[] conditional(%a, %a, %a), branch_computations={%one, %two}
}"""
    assert count(text).cycles == 8


def test_counts_come_back_from_json() -> None:
    counts = counted(lambda x: jax.lax.fori_loop(0, 4, lambda _, y: y @ x, x), jnp.ones((40, 40)))
    assert Counts.of_json(json.loads(json.dumps(counts.as_json()))) == counts


def test_bytes_of_shapes() -> None:
    assert shape_bytes("(s32[]{:T(128)}, pred[3]{0}, bf16[2,4]{1,0}, f64[])") == 4 + 3 + 16 + 8


def test_bundles_of_loops_within_loops() -> None:
    text = """
  0   :  { a }
  0x1 LB: > { b }
  0x2 LB: >> { c }
  0x3   : >> { %p = scmp.ge.s32.totalorder %s1, 4 /* loop exit test */ }
  0x4   : > { %p = scmp.ge.s32.totalorder %s2, 3 /* loop exit test */ }
  0x5   :  { d }"""
    assert bundles(text) == 1 + 3 * (2 + 4 * 2) + 1


def rows_one_by_one(x: jax.Array) -> jax.Array:
    return jax.lax.map(lambda row: jnp.sin(row) @ row, x)


def rows_at_once(x: jax.Array) -> jax.Array:
    return jax.lax.fori_loop(0, 3, lambda _, y: jnp.sin(y), x)


def kernel_of(function: object) -> Kernel:
    """A kernel of one program."""

    def make(target: Target, n: int) -> list[Program]:
        jitted = jax.jit(function)  # type: ignore[arg-type]
        return [Program(name="one", function=jitted, arguments=(target.array(n, 16),), options={})]

    return Kernel(name="kernel", points=64, make=make, float64=False)


def test_loops_that_grow_with_the_points_are_seen_before_compiling() -> None:
    target = target_on_cpu()
    assert growing(kernel_of(rows_one_by_one), target, 64) == ["one: 64 -> 128"]
    assert growing(kernel_of(rows_at_once), target, 64) == []


def test_turns_of_loops_in_branches_are_seen() -> None:
    def branch(x: jax.Array) -> jax.Array:
        return jax.lax.cond(x[0] > 0, lambda y: jax.lax.map(jnp.sin, y), lambda y: y, x)

    assert list(turns(jax.make_jaxpr(branch)(jnp.ones(9)).jaxpr)) == [9]


def test_turns_of_a_loop_in_a_loop_multiply() -> None:
    by_entries = jax.make_jaxpr(lambda x: jax.lax.map(lambda row: jax.lax.map(jnp.sin, row), x))
    assert list(turns(by_entries(jnp.ones((4, 5))).jaxpr)) == [4, 20]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a compiler of the name that its key asks for."""
    monkeypatch.setenv("MGM_COMPILE_ONLY_CACHE", str(tmp_path))
    monkeypatch.setattr(cache.compilers, "compiler_version", lambda device: "none 0")
    return tmp_path


def test_a_loop_over_points_stands_in_the_table_and_is_kept(kept: Path) -> None:
    one, all_of_it = rows_of(kernel_of(rows_one_by_one), target_on_cpu(), 64)
    assert one["compiles"] == "yes" and one["loops over points"] == [64]
    assert one["argument bytes"] == 64 * 16 * 4
    assert not one["float64"] and all_of_it["program"] == ALL
    (file,) = kept.iterdir()
    wrong = json.loads(file.read_text()) | {"trips": [77]}
    file.write_text(json.dumps(wrong))
    # The second time the program is recalled, not compiled.
    assert rows_of(kernel_of(rows_one_by_one), target_on_cpu(), 64)[0]["loops"] == [77]


def test_float64_is_seen(kept: Path) -> None:
    def make(target: Target, n: int) -> list[Program]:
        wide = target.array(n, dtype=np.float64)
        return [Program(name="one", function=jax.jit(jnp.sin), arguments=(wide,), options={})]

    row, _ = rows_of(Kernel(name="kernel", points=8, make=make), target_on_cpu(), 8)
    assert row["float64"]


def test_what_does_not_compile_says_why(kept: Path) -> None:
    def fails(x: jax.Array) -> jax.Array:
        raise NotImplementedError("no rule for this primitive")

    row, all_of_it = rows_of(kernel_of(fails), target_on_cpu(), 8)
    assert row["compiles"] == "NotImplementedError: no rule for this primitive"
    assert all_of_it["compiles"] == "no"
    assert "no rule for this primitive" in as_text([row, all_of_it])


def test_a_kernel_takes_no_fewer_cycles_than_its_products(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts(cycles=10, kernel=6, calls={"tpu_custom_call": 1})
    monkeypatch.setattr("benchmarks.compile_only.table.compile_and_count", lambda *_: counts)

    def make(target: Target, n: int, *, flops: float) -> list[Program]:
        one = target.array(n)
        return [
            Program(
                name="one", function=jax.jit(jnp.sin), arguments=(one,), options={}, flops=flops
            )
        ]

    device = DEVICES["v5e"]
    for flops, expected in ((0.0, 10), (device.bfloat16 / device.clock * 1000, 1004)):
        kernel = Kernel(name="kernel", points=8, make=partial(make, flops=flops))
        assert rows_of(kernel, target_on_cpu(), 8)[0]["cycles"] == pytest.approx(expected, abs=1)
