"""The programs of the product, as users call them, at shapes of real use.

Each entry names what a user calls, how many points it is about, and makes the programs that such a
call runs: jitted functions with descriptions of their arguments. ``scale`` divides the points, for
tests and to see which loops grow with the points.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from mgm_jax.geometry.backend.precision import double_precision

if TYPE_CHECKING:
    from benchmarks.compile_only.compilers import Target

WIDTH, K = 2048, 50
# What a table calls all programs of a kernel together.
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One jitted function and the arguments it is compiled for.

    Attributes:
        name: what it is.
        function: as ``jax.jit`` makes it.
        arguments: descriptions made by a :class:`Target`.
        options: keywords of the function.
        times: how often the call of the user runs it.
        flops: of bfloat16 products in Pallas kernels: no fewer cycles than these take.
        float64: False for a program that is traced without 64-bit types whatever its kernel says.
    """

    name: str
    function: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    times: int = 1
    flops: float = 0.0
    float64: bool = True


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What a user calls.

    Attributes:
        name: what tables call it.
        points: rows it is about, at scale 1.
        make: programs of the call, for a target and a number of points.
        product: flops of the products that the answer takes, at that number of points; None where
            there is nothing to compare with.
        spread: whether it is about many devices.
        float64: whether it is traced with 64-bit types.
    """

    name: str
    points: int
    make: Callable[[Target, int], list[Program]]
    product: Callable[[int], float] | None = None
    spread: bool = False
    float64: bool = True


def trace(kernel: Kernel, program: Program) -> Any:
    """Trace a program as the product would on the device."""
    wide = kernel.float64 and program.float64
    with double_precision() if wide else contextlib.nullcontext():
        return program.function.trace(*program.arguments, **program.options)


def lower(kernel: Kernel, program: Program) -> Any:
    """What the compiler gets of a program."""
    wide = kernel.float64 and program.float64
    with double_precision() if wide else contextlib.nullcontext():
        return trace(kernel, program).lower()


def _table(target: Target, n: int, d: int, *, rows: bool = False) -> Any:
    from mgm_jax.geometry.knn.distance import ScanTable

    make = target.rows if rows else target.array
    return ScanTable(make(n, d, dtype=jnp.bfloat16), make(n), make(n), make(n))


def _points(target: Target, n: int, d: int, *, rows: bool = False, single: bool = False) -> Any:
    from mgm_jax.geometry.knn.distance import Points
    from mgm_jax.geometry.knn.scaled import Scaled

    make = target.rows if rows else target.array
    if single:
        return Scaled(make(n, d), make(n, dtype=np.int32), make(n), make(n))
    return Points(make(n, d), make(n, dtype=np.float64), make(n, dtype=np.float64))


def _product(target: Target, n: int, *, d: int, m: int) -> list[Program]:
    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        return jax.lax.dot_general(
            a, b, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
        ).astype(jnp.bfloat16)

    arguments = target.array(n, d, dtype=jnp.bfloat16), target.array(m, d, dtype=jnp.bfloat16)
    return [Program(name="product", function=jax.jit(product), arguments=arguments, options={})]


def _tile(target: Target, n: int, *, d: int, m: int, rests: int = 0) -> list[Program]:
    """One tile of queries of ``knn_graph`` on a device: scan, candidates in order, bound.

    With ``rests`` of great features the scan has two columns more for each.
    """
    from benchmarks.compile_only import compilers
    from mgm_jax.geometry.backend.wide import arithmetic_of
    from mgm_jax.geometry.knn import buckets, distance
    from mgm_jax.geometry.knn.in_pairs.rank import Ranking, rank_in_pairs, width_for_ranking

    scanned = d + 2 * rests
    queries, count, rows = _table(target, n, scanned), K + 14, target.array(n, dtype=np.int32)
    candidates = target.array(n, count, dtype=np.int32)
    device = compilers.devices_of(target.device)[0]
    kernel = "pallas" if target.device.platform == "tpu" else "xla"
    options: dict[str, Any] = {"k": K, "metric": "cosine"}
    if in_pairs := arithmetic_of(device) == "pairs":
        width = width_for_ranking(d)
        tables: tuple[Any, ...] = tuple(
            Ranking(target.array(size, 1, width), target.array(128), target.array())
            for size in (n, m)
        )
        last = (target.array(n),)
        rank = rank_in_pairs
        options |= {"kernel": kernel, "features": d}
        certificate = distance.unseen_distance_in_single
    else:
        rank, tables = distance.rerank, (_points(target, n, d), _points(target, m, d))
        last = ()
        certificate = distance.unseen_distance
    return [
        Program(
            name="scan",
            function=buckets.scan_in_buckets,
            arguments=(queries, rows, _table(target, m, scanned)),
            options={"count": count, "kernel": kernel},
            flops=_pair_flops(n, m=m, d=scanned),
            float64=not in_pairs,
        ),
        Program(
            name="rank",
            function=rank,
            arguments=(*tables, candidates, *last),
            options=options,
            float64=not in_pairs,
        ),
        Program(
            name="certificate",
            function=certificate,
            arguments=(queries, target.array(n)),
            options={"metric": "cosine"},
            float64=not in_pairs,
        ),
    ]


def _scaling(target: Target, n: int, *, d: int) -> list[Program]:
    """What ``knn_graph`` does once with all points on a device, before the first tile."""
    from benchmarks.compile_only import compilers
    from mgm_jax.geometry.backend.wide import arithmetic_of
    from mgm_jax.geometry.knn import distance
    from mgm_jax.geometry.knn.in_pairs.rank import table_for_ranking

    single = arithmetic_of(compilers.devices_of(target.device)[0]) == "pairs"
    points, present = _points(target, n, d, single=single), target.array(n, dtype=bool)
    mean = target.array(d, dtype=np.float32 if single else np.float64)
    programs = [
        Program(
            name="scale",
            function=distance.scale_points,
            arguments=(points.values, present, None, None),
            options={"metric": "cosine", "single": single},
        ),
        Program(
            name="tabulate",
            function=distance.scan_table,
            arguments=(points, mean, present),
            options={"dtype": "bfloat16"},
        ),
    ]
    if single:
        ranked = table_for_ranking
        programs.append(Program(name="rows", function=ranked, arguments=(points,), options={}))
    return programs


def _ring(target: Target, n: int, *, d: int) -> list[Program]:
    from benchmarks.compile_only import compilers
    from mgm_jax.geometry.backend.wide import arithmetic, arithmetic_of
    from mgm_jax.geometry.knn.buckets import Lists
    from mgm_jax.geometry.knn.fallback import QUERIES
    from mgm_jax.geometry.knn.mesh.fallback_to_hosts import scan_program
    from mgm_jax.geometry.knn.mesh.ring import plan_ring, ring_programs
    from mgm_jax.geometry.knn.mesh.ring_buckets import Columns, bucket_programs, plan_buckets
    from mgm_jax.geometry.knn.mesh.ring_pairs import PairPlan
    from mgm_jax.geometry.knn.mesh.ring_points import place_program

    mesh = target.mesh
    if mesh is None:
        raise ValueError("a ring takes several devices")
    shapes: dict[str, Any] = {
        "share": n // mesh.size,
        "k": K,
        "metric": "cosine",
        "dtype": "bfloat16",
    }
    with arithmetic(arithmetic_of(compilers.devices_of(target.device)[0])):
        plan, blocks = plan_ring(mesh, own=True, **shapes)
    single = plan.in_pairs
    kernel = "pallas" if target.device.platform == "tpu" else "xla"
    scan = plan_buckets(mesh, width=d, in_pairs=single, kernel=kernel, **shapes)
    if scan is None:
        raise ValueError(f"{n} points are too few for a ring of {mesh.size} devices")
    programs, in_buckets = ring_programs(plan), bucket_programs(scan)
    table = _table(target, n, d, rows=True)
    points = _points(target, n, d, rows=True, single=single)
    present = target.rows(n, dtype=bool)
    lists = Lists(
        target.rows(n, scan.count + 1),
        target.rows(n, scan.count + 1, dtype=np.int32),
        target.rows(n),
    )
    bounds = target.rows(n, scan.count)
    names = target.rows(n, scan.count, dtype=np.int32)
    number = target.array(dtype=np.int32)
    mean = target.array(d, dtype=np.float32 if single else np.float64)
    scale = place_program(mesh, "cosine", single=single)
    columns = Columns(table.points, target.rows(n))
    scanned = table.points, columns, lists, number
    steps = [
        ("scale", scale, ([(points.values, present)],), 1),
        ("tabulate", in_buckets.tabulate, (points, mean, present, None), 1),
        ("columns", in_buckets.terms, (table,), 1),
        ("scan, a turn", in_buckets.scan_turn, scanned, scan.blocks.count),
        ("arrange", in_buckets.arrange, (table, lists, target.array()), 1),
    ]
    if single:
        ranking = PairPlan(mesh, "cosine", K, d, blocks, kernel)
        steps += _ranking_in_pairs(target, points, names, ranking)
    else:
        steps += [
            ("names", programs.begin_ranking, (names,), 1),
            (
                "rank, a turn",
                programs.rank_turn,
                (points, points, names, bounds, number),
                blocks.count,
            ),
            ("finish", programs.finish, (bounds, names), 1),
        ]
    made = [
        Program(
            name=name,
            function=function,
            arguments=arguments,
            options={},
            times=times,
            flops=_pair_flops(n // mesh.size, m=n, d=d) * (name == "scan, a turn"),
        )
        for name, function, arguments, times in steps
    ]
    if single:
        scan_some = scan_program(mesh, share=n // mesh.size, k=K, metric="cosine", own=True)
        rows = target.array(QUERIES, dtype=np.int32)
        # Of the few rows that are not settled, QUERIES at once.
        made.append(
            Program(
                name="fall back",
                function=scan_some,
                arguments=(points, points, present, mean, rows),
                options={},
                times=0,
                float64=False,
            )
        )
    return made


def _ranking_in_pairs(target: Target, points: Any, names: Any, plan: Any) -> list[tuple]:
    from mgm_jax.geometry.knn.in_pairs.rank import PAIRS, width_for_ranking
    from mgm_jax.geometry.knn.mesh.ring_pairs import Order, pair_programs

    n, count = names.shape
    devices = plan.mesh.size
    programs = pair_programs(plan, share=n // devices, count=count)
    rows = target.rows(n, 1, width_for_ranking(plan.features))
    spread = target.array(128), target.array()
    pairs, visitors = n * count + devices * PAIRS, plan.blocks.count * devices
    whole = partial(target.rows, dtype=np.int32)
    order = Order(whole(pairs), whole(pairs), target.rows(pairs), whole(devices * (visitors + 1)))
    results = (target.rows(pairs),) * 6
    reach = unseen = target.rows(n)
    turned = rows, rows, spread, order, results, target.array(dtype=np.int32)
    return [
        ("rows", programs.rows, (points,), 1),
        ("spread", programs.spread, (points,), 1),
        ("order", programs.order, (names, points.high, unseen, spread), 1),
        ("rank, a turn", programs.turn, turned, plan.blocks.count),
        ("finish", programs.finish, (rows, spread, order, reach, results, names, unseen), 1),
    ]


def _nnk(target: Target, n: int) -> list[Program]:
    """Weights from kernels and targets: what everything of NNK does."""
    from mgm_jax.geometry.nnk.solve import nnk_weights

    wide = partial(target.array, dtype=np.float64)
    arguments = wide(n, K, K), wide(n, K), target.array(n, K, dtype=bool), wide(n)
    return [Program(name="weights", function=jax.jit(nnk_weights), arguments=arguments, options={})]


def _nnk_in_pairs(target: Target, n: int) -> list[Program]:
    """The same without float64, as TPUs take it: pairs of float32 in, pairs out."""
    from mgm_jax.geometry.backend.pairs import Pair
    from mgm_jax.geometry.nnk.in_pairs.settle import solve_kernels

    def pair(*shape: int) -> Pair:
        return Pair(target.array(*shape), target.array(*shape))

    arguments = pair(n, K, K), pair(n, K), pair(n), target.array(n, K, dtype=bool)
    return [Program(name="weights", function=solve_kernels, arguments=arguments, options={})]


def _rows_in_pairs(target: Target, n: int) -> list[Program]:
    """A cloud in ``nnk_graph`` behind its k-NN graph, without float64: points to weights."""
    from mgm_jax.geometry.nnk.in_pairs.programs import ROWS_AT_ONCE, row_weights

    return _rows(target, n, row_weights, at_once=ROWS_AT_ONCE)


def _rows_in_float64(target: Target, n: int) -> list[Program]:
    """The same in float64."""
    from mgm_jax.geometry.nnk.candidates import ROWS_AT_ONCE
    from mgm_jax.geometry.nnk.graph import _row_weights

    return _rows(target, n, _row_weights, at_once=ROWS_AT_ONCE)


def _rows(target: Target, n: int, function: Any, *, at_once: int) -> list[Program]:
    batch = min(n, at_once)
    rows = target.array(batch, dtype=np.int32)
    candidates = target.array(batch, K, dtype=np.int32)
    return [
        Program(
            name="rows",
            function=function,
            arguments=(target.array(n, WIDTH), rows, candidates, None),
            options={"kernel": "cosine"},
            times=-(-n // batch),
        )
    ]


def _large_group(target: Target, n: int) -> list[Program]:
    """A large group in ``manifold_metrics`` behind its k-NN graph."""
    from benchmarks.compile_only import compilers
    from mgm_jax.geometry.backend.wide import arithmetic_of

    if arithmetic_of(compilers.devices_of(target.device)[0]) == "pairs":
        return _large_group_in_pairs(target, n)
    return _large_group_in_float64(target, n)


def _large_group_in_pairs(target: Target, n: int) -> list[Program]:
    from mgm_jax.geometry.backend.pairs import Pair
    from mgm_jax.geometry.local.affinity import NULL_PAIRS
    from mgm_jax.geometry.nnk.in_pairs.programs import ROWS_AT_ONCE
    from mgm_jax.metrics.in_pairs.large_groups import programs_of
    from mgm_jax.metrics.in_pairs.subspaces import PairSubspaces

    batch = min(n, ROWS_AT_ONCE)
    points, rows = target.array(n, WIDTH), target.array(batch, dtype=np.int32)
    candidates = target.array(batch, K, dtype=np.int32)
    spans = target.like(jax.eval_shape(lambda: PairSubspaces.empty(n, K)))
    partners = target.array(batch, NULL_PAIRS, dtype=np.int32)
    programs = programs_of(None, kernel="cosine", normalize=True, k=K)
    arguments = [
        (points,),
        (points, spans, rows, candidates, None),
        (Pair(points, points), spans, rows, partners),
    ]
    return [
        Program(
            name=name.removesuffix("_rows").removesuffix("_cloud"),
            function=function,
            arguments=taken,
            options={},
            times=times,
            float64=False,
        )
        for name, function, taken, times in zip(
            programs._fields, programs, arguments, (1, -(-n // batch), -(-n // batch)), strict=True
        )
    ]


def _large_group_in_float64(target: Target, n: int) -> list[Program]:
    from mgm_jax.geometry.local.affinity import NULL_PAIRS
    from mgm_jax.geometry.nnk.candidates import ROWS_AT_ONCE
    from mgm_jax.geometry.nnk.settle import gathered_gram_on_device
    from mgm_jax.metrics.large_groups import compare_rows, measure_rows

    batch = min(n, ROWS_AT_ONCE)
    points, rows = target.array(n, WIDTH), target.array(batch, dtype=np.int32)
    candidates = target.array(batch, K, dtype=np.int32)
    gram = target.array(batch, K, K, dtype=np.float64)
    measured = gram, target.array(batch, dtype=np.float64), candidates, None
    options = {"kernel": "cosine", "fallback": True}
    form = jax.eval_shape(partial(measure_rows, **options), *measured)
    spans = jax.tree.map(lambda leaf: target.array(n, *leaf.shape[1:], dtype=leaf.dtype), form[1])
    partners = target.array(batch, NULL_PAIRS, dtype=np.int32)
    times = -(-n // batch)
    return [
        Program(
            name="Gram matrices",
            function=gathered_gram_on_device,
            arguments=(points, rows, candidates),
            options={"normalize": True},
            times=times,
        ),
        Program(
            name="measure",
            function=measure_rows,
            arguments=measured,
            options=options,
            times=times,
        ),
        Program(
            name="compare",
            function=compare_rows,
            arguments=(points, spans, rows, partners),
            options={"normalize": True},
            times=times,
        ),
    ]


def _small_groups(target: Target, n: int) -> list[Program]:
    """Images of 64 views in ``manifold_metrics``: the batches of groups."""
    from benchmarks.compile_only import compilers
    from mgm_jax.geometry.backend.wide import arithmetic_of
    from mgm_jax.metrics import small_groups
    from mgm_jax.metrics.in_pairs.small_groups import measure_groups

    views = 64
    groups = max(1, min(n, 1024) // views)
    times = -(-n // (groups * views))
    mask = target.array(groups, views, dtype=bool)
    points, wanted = target.array(groups, views, WIDTH), target.array(groups, dtype=np.int32)
    options: dict[str, Any] = {"k": K, "kernel": "cosine", "normalize": True}
    if arithmetic_of(compilers.devices_of(target.device)[0]) == "pairs":
        arguments: tuple[Any, ...] = points, mask, wanted, None
        program, float64 = measure_groups, False
    else:
        arguments = points, mask, wanted, None, target.array(groups, dtype=np.float64)
        program, float64 = (
            small_groups._spread(small_groups.whole_group, None, fallback=False, **options),
            True,
        )
        options = {}
    return [
        Program(
            name="groups",
            function=program,
            arguments=arguments,
            options=options,
            times=times,
            float64=float64,
        )
    ]


def _spectrum(target: Target, n: int) -> list[Program]:
    """Scatter matrix of features, the work of ``spectrum`` and all that follows it."""
    from benchmarks.compile_only import compilers
    from mgm_jax.geometry.backend.pairs import Pair
    from mgm_jax.geometry.backend.wide import arithmetic_of
    from mgm_jax.geometry.cloud import moments

    rows = min(n, moments.ROWS_AT_ONCE)
    options: dict[str, Any] = {"name": "scatter", "options": {}, "times": -(-n // rows)}
    if arithmetic_of(compilers.devices_of(target.device)[0]) == "pairs":
        # The shift of the mean is one more row.
        full = rows + moments.EXACT_STEP
        columns = Pair(target.array(full, WIDTH), target.array(full, WIDTH))
        program = Program(
            function=moments.exact_products, arguments=(columns,), float64=False, **options
        )
    else:
        chunk = target.array(rows, WIDTH, dtype=np.float64)
        program = Program(function=moments._product, arguments=(chunk,), **options)
    return [program]


def _snapshot(target: Target, n: int) -> list[Program]:
    from mgm_jax.training.snapshot import snapshot

    return [
        Program(
            name="snapshot",
            function=jax.jit(snapshot),
            arguments=(target.array(n, 512),),
            options={},
        )
    ]


def _probe(target: Target, n: int) -> list[Program]:
    """One step of all 45 strengths of a linear probe of 100 classes."""
    from mgm_jax.probe.logistic import stack

    lanes, classes, width = 45, 100, WIDTH
    state = target.like(
        jax.eval_shape(
            stack.begin,
            jax.ShapeDtypeStruct((lanes, width, classes), np.float32),
            jax.ShapeDtypeStruct((lanes,), np.float32),
        )
    )
    arguments = (
        state,
        target.array(n, width),
        target.array(n, dtype=np.int32),
        target.array(lanes, width),
        target.array(lanes, width),
    )
    return [
        Program(
            name="step", function=stack.advance, arguments=arguments, options={"rank": width - 1}
        )
    ]


def _embed(target: Target, n: int, *, model: str, views: bool) -> list[Program]:
    """Features of views that lie on the device, or of canvases through the augmentations."""
    from mgm_jax.encoders import load_encoder
    from mgm_jax.encoders.forward import forward
    from mgm_jax.images import views as images
    from mgm_jax.images.settings import SETTINGS

    encoder = load_encoder(f"{model}:seed=0")
    side = encoder.preprocess.size
    mean = jnp.asarray(encoder.preprocess.mean, jnp.float32)
    std = jnp.asarray(encoder.preprocess.std, jnp.float32)
    taps = (encoder.default_tap,)

    def features(params: Any, batch: jax.Array) -> dict[str, jax.Array]:
        return forward(
            params, batch, mean, std, spec=encoder.spec, taps=taps, dtype="bfloat16", pooled=True
        )

    params = target.like(encoder.params)
    if not views:
        arguments: tuple[Any, ...] = (params, target.array(n, side, side, 3))
        return [
            Program(name="encoder", function=jax.jit(features), arguments=arguments, options={})
        ]
    setting = SETTINGS["augs"]
    resize = encoder.preprocess.resize

    def whole(params: Any, canvas: jax.Array, keys: jax.Array, numbers: jax.Array) -> Any:
        made = images._render(
            canvas, keys, numbers, jnp.float32(1), jnp.uint32(0), setting=setting, size=side
        )
        return features(params, made.reshape(-1, *made.shape[2:]))

    several = 32
    arguments = (
        params,
        target.array(max(1, n // several), resize, resize, 3, dtype=np.uint8),
        target.array(max(1, n // several), dtype=np.uint32),
        target.array(several, dtype=np.uint32),
    )
    return [
        Program(name="views to features", function=jax.jit(whole), arguments=arguments, options={})
    ]


def _pair_flops(n: int, *, m: int, d: int) -> float:
    return 2.0 * n * m * d


KERNELS = [
    *(
        Kernel(
            name=f"product, d = {d}",
            points=4096,
            make=partial(_product, d=d, m=65536),
            product=partial(_pair_flops, m=65536, d=d),
            float64=False,
        )
        for d in (2048, 768, 384)
    ),
    *(
        Kernel(
            name=f"k-NN, d = {d}",
            points=4096,
            make=partial(_tile, d=d, m=65536),
            product=partial(_pair_flops, m=65536, d=d),
        )
        for d in (2048, 768, 384)
    ),
    Kernel(
        name="k-NN, d = 384, great features",
        points=4096,
        make=partial(_tile, d=384, m=65536, rests=64),
        product=partial(_pair_flops, m=65536, d=384),
    ),
    Kernel(name="k-NN, scaling, d = 2048", points=65536, make=partial(_scaling, d=WIDTH)),
    Kernel(
        name="k-NN over a ring",
        points=2**20,
        make=partial(_ring, d=WIDTH),
        product=lambda n: _pair_flops(n, m=n, d=WIDTH),
        spread=True,
    ),
    Kernel(name="NNK", points=4096, make=_nnk),
    Kernel(name="NNK in pairs", points=4096, make=_nnk_in_pairs, float64=False),
    Kernel(name="NNK graph of a cloud", points=4096, make=_rows_in_float64),
    Kernel(name="NNK graph of a cloud in pairs", points=4096, make=_rows_in_pairs, float64=False),
    Kernel(name="metrics, large group", points=16384, make=_large_group),
    Kernel(name="metrics, images of 64 views", points=4096, make=_small_groups),
    Kernel(
        name="spectrum", points=16384, make=_spectrum, product=lambda n: 2.0 * n * WIDTH * WIDTH
    ),
    Kernel(name="snapshot", points=4096, make=_snapshot, float64=False),
    Kernel(
        name="probe, 45 strengths",
        points=8192,
        make=_probe,
        float64=False,
        product=lambda n: 4.0 * n * WIDTH * 4500,
    ),
    Kernel(
        name="ResNet-50",
        points=256,
        float64=False,
        product=lambda n: 2 * 4.09e9 * n,
        make=partial(_embed, model="resnet50", views=False),
    ),
    Kernel(
        name="ViT-B/16",
        points=256,
        float64=False,
        product=lambda n: 2 * 17.58e9 * n,
        make=partial(_embed, model="vit_b16", views=False),
    ),
    Kernel(
        name="views -> ResNet-50 -> features",
        points=256,
        float64=False,
        product=lambda n: 2 * 4.09e9 * n,
        make=partial(_embed, model="resnet50", views=True),
    ),
]
