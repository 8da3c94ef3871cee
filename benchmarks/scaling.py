"""Does the k-NN ring cost what its model says, and what does the model say of larger machines?

``python -m benchmarks.scaling`` compiles the programs of a graph for 1 to 8 simulated devices (a
process each), counts products, messages and memory in them, and prints them beside the model of
``benchmarks/measuring/ring_cost.py``; then it prints the model's predictions for accelerators.
Nothing is timed: simulated devices share the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.measuring.timing import report


def compiled_ring(
    devices: int,
    *,
    n: int,
    d: int,
    k: int,
    scan: str = "float32",
    rows: int | None = None,
    columns: int | None = None,
) -> tuple[dict[str, Any], int]:
    """Compile the programs of a cosine graph of n points for the first devices, without points.

    Returns:
        Compiled programs by name, and how often the two turns are called.
    """
    import jax
    import jax.numpy as jnp

    from benchmarks.measuring.ring_cost import ring_cost
    from mgm_jax.geometry.backend.precision import double_precision
    from mgm_jax.geometry.knn.distance import Points
    from mgm_jax.geometry.knn.mesh.ring import plan_ring, ring_programs
    from mgm_jax.geometry.knn.mesh.ring_points import place_program
    from mgm_jax.parallel.devices import default_mesh

    tiles = {"rows": rows or 512, "columns": columns or 8192}
    share = ring_cost(n=n, d=d, k=k, devices=devices, scan=scan, **tiles).share
    mesh = default_mesh(jax.devices()[:devices])
    plan, blocks = plan_ring(
        mesh,
        share=share,
        k=k,
        metric="cosine",
        dtype=scan,
        tile_rows=tiles["rows"],
        tile_columns=tiles["columns"],
    )
    programs = ring_programs(plan)
    total = share * devices
    with double_precision():

        def like(*shape: int, dtype: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(shape, dtype)

        values, present = like(total, d, dtype=jnp.float32), like(total, dtype=jnp.bool_)
        column = like(total, dtype=jnp.float64)
        points, mean = Points(values, column, column), like(d, dtype=jnp.float64)
        table = jax.eval_shape(programs.tabulate, points, mean, present)
        lists = jax.eval_shape(programs.begin, table)
        names, _ = jax.eval_shape(programs.arrange, table, lists)
        _, ranked = jax.eval_shape(programs.begin_ranking, names)
        number = like(dtype=jnp.int32)
        lowered = {
            "place": place_program(mesh, "cosine", single=False).lower([(values, present)]),
            "tabulate": programs.tabulate.lower(points, mean, present),
            "scan": programs.scan_turn.lower(table, table, lists, number),
            "arrange": programs.arrange.lower(table, lists),
            "names": programs.begin_ranking.lower(names),
            "rank": programs.rank_turn.lower(points, points, names, ranked, number),
            "finish": programs.finish.lower(ranked, names),
        }
        return {name: program.compile() for name, program in lowered.items()}, blocks.count


def measure(devices: int, *, n: int, d: int, k: int, **options: Any) -> dict[str, Any]:
    """Counts of one device's part, in the compiled programs."""
    from benchmarks.measuring.hlo_counts import count

    programs, turns = compiled_ring(devices, n=n, d=d, k=k, **options)
    counts = {name: count(program.as_text()) for name, program in programs.items()}
    sizes = {name: program.memory_analysis() for name, program in programs.items()}
    # What is handed over (donated) comes back: it is no memory beside what is held.
    working = {
        name: one.temp_size_in_bytes + one.output_size_in_bytes - one.alias_size_in_bytes
        for name, one in sizes.items()
    }
    # A graph of points among themselves has queries and base, and their tables, once.
    points, table = sizes["tabulate"].argument_size_in_bytes, sizes["tabulate"].output_size_in_bytes
    held = {name: sizes[name].argument_size_in_bytes for name in ("place", "tabulate")}
    held["scan"] = points + sizes["scan"].argument_size_in_bytes - table
    held["arrange"] = held["scan"]
    held["names"] = points + sizes["names"].argument_size_in_bytes
    held["rank"] = sizes["rank"].argument_size_in_bytes - points
    held["finish"] = points + sizes["finish"].argument_size_in_bytes
    return {
        "product_flops": turns * counts["scan"].product_flops,
        "scan_sent": turns * counts["scan"].sent_bytes,
        "rank_sent": turns * counts["rank"].sent_bytes,
        "message": max(one.largest_bytes for one in counts.values()),
        "working": working,
        "memory": {name: held[name] + working[name] for name in sizes},
    }


def score_bytes(d: int, k: int) -> float:
    """Bytes that a score moves through memory, as XLA counts them for one tile."""
    import jax
    import jax.numpy as jnp

    from mgm_jax.geometry.knn.distance import ScanTable, scan
    from mgm_jax.geometry.knn.mesh.ring import candidates_for

    rows, columns = 512, 8192

    def table(size: int) -> ScanTable:
        column = jax.ShapeDtypeStruct((size,), jnp.float32)
        points = jax.ShapeDtypeStruct((size, d), jnp.bfloat16)
        return ScanTable(points, column, column, column)

    own = jax.ShapeDtypeStruct((rows,), jnp.int32)
    tile = scan.lower(
        table(rows),
        own,
        table(columns),
        count=candidates_for(k, "bfloat16", share=columns),
        tile=columns,
    )
    moved = tile.compile().cost_analysis()["bytes accessed"]
    return (moved - 2 * d * (rows + columns)) / (rows * columns)


def _in_process(devices: int, options: argparse.Namespace) -> dict[str, Any]:
    flag = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag}
    command = [sys.executable, "-m", "benchmarks.scaling", "--child", str(devices)]
    for name in ("n", "d", "k", "rows", "columns"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Count, compare, predict and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--columns", type=int, default=2048)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = {name: getattr(options, name) for name in ("n", "d", "k", "rows", "columns")}
    if options.child:
        print(json.dumps(measure(options.child, **shape)))
        return
    from benchmarks.measuring.hardware import HARDWARE, predict
    from benchmarks.measuring.ring_cost import ring_cost

    rows: list[dict[str, object]] = []
    for devices in range(1, 9):
        measured, model = (
            _in_process(devices, options),
            ring_cost(devices=devices, scan="float32", **shape),
        )
        peak = max(measured["memory"].values())
        rows.append(
            {
                "devices": devices,
                "product GFLOP": measured["product_flops"] / 1e9,
                "model": model.product_flops / 1e9,
                "scan sent MB": measured["scan_sent"] / 1e6,
                "model ": model.scan_sent / 1e6,
                "rank sent MB": measured["rank_sent"] / 1e6,
                "model  ": model.rank_sent / 1e6,
                "message MB": measured["message"] / 1e6,
                "model   ": model.message / 1e6,
                "memory MB": peak / 1e6,
                "model    ": model.memory / 1e6,
            }
        )
    report("scaling", rows)
    moved = score_bytes(2048, options.k)
    print(f"\na score moves {moved:.1f} bytes through memory")
    predicted: list[dict[str, object]] = []
    for name in HARDWARE:
        for n, machines in ((1_300_000, (1, 8, 64)), (10**8, (8, 64, 512)), (10**9, (64, 512))):
            for devices in machines:
                _, part = predict(name, n=n, d=2048, k=50, devices=devices, score_bytes=moved)
                predicted.append({"hardware": name, "n": n, "devices": devices} | part._asdict())
    report("scaling_predicted", predicted)


if __name__ == "__main__":
    main()
