"""oneDNN for what bfloat16 convolves on a CPU, where the compiler at hand has it.

XLA's own convolutions of bfloat16 run in float32 on the CPU. Some of its releases hand them, and
products, to oneDNN, which PyTorch uses as well, if a program is compiled with ``OPTIONS``: a
ResNet-50 reads 1.25 times as many images then, a Conv4 twice as many, and compiles in a fourth of
the time (jax 0.12, one core of an AMD EPYC with ``avx512_bf16``; vision transformers are as fast
without). Releases differ in what they know and do (jax 0.10 takes the options and ignores them),
so :func:`available` asks the compiler. The options go with one program, never into ``XLA_FLAGS``,
which ends the process where a flag is unknown.

JAX cannot keep such programs from one process to the next: writing them fails with a
``MemoryError`` (jaxlib 0.12), which it turns into a warning; :func:`quiet` hides it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

#: Of the compiler: oneDNN takes convolutions and products, no other library their fusions.
OPTIONS: dict[str, bool | str] = {
    "xla_cpu_experimental_onednn_custom_call": True,
    "xla_cpu_experimental_onednn_fusion_type": "",
    "xla_cpu_experimental_ynn_fusion_type": "",
}

_chosen: ContextVar[bool] = ContextVar("by_onednn", default=False)


@contextmanager
def by_onednn(chosen: bool) -> Iterator[None]:
    """Trace the forms that are fast with oneDNN on a CPU."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


def is_by_onednn() -> bool:
    """Whether what is traced now will be compiled with ``OPTIONS``."""
    return _chosen.get()


@cache
def available() -> bool:
    """Whether a convolution and a product of bfloat16 go to oneDNN here and come out right."""
    rng = np.random.default_rng(0)
    kernel, x = rng.integers(-3, 4, (3, 3, 32, 32)), rng.integers(-3, 4, (1, 3, 3, 32))

    def both(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        map_ = lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return map_, x.reshape(9, 32) @ kernel[0, 0]

    try:
        cpu = jax.local_devices(backend="cpu")[0]
        given = [jax.device_put(np.asarray(a, jnp.bfloat16), cpu) for a in (x, kernel)]
        quiet()
        compiled = jax.jit(both, compiler_options=OPTIONS).lower(*given).compile()
        if "__onednn$convolution" not in (compiled.as_text() or ""):
            return False
        results = compiled(*given)
    except Exception:  # whatever a compiler that does not know the options may raise
        return False
    # Sums of small whole numbers are exact, but for the rounding to bfloat16.
    expected = np.einsum("bijc,ijco->bo", x, kernel), x.reshape(9, 32) @ kernel[0, 0]
    return all(
        np.allclose(np.asarray(got, np.float64).reshape(value.shape), value, rtol=2**-8, atol=0)
        for got, value in zip(results, expected, strict=True)
    )


def quiet() -> None:
    """Hide JAX's warning that it could not write such a program to its cache."""
    warnings.filterwarnings(
        "ignore", "Error writing persistent compilation cache entry.*MemoryError", UserWarning
    )
