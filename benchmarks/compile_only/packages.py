"""``python -m benchmarks.compile_only.packages``: what the compilers of the JAX at hand come in.

Prints requirements for pip. JAX pins the release of ``libtpu`` and names its plugin by its own
version; what the plugin pulls in beside the assembler are libraries of two gigabytes that only a
device needs, so these are meant for ``pip install --no-deps``.
"""

from __future__ import annotations

import importlib.metadata
import re

_LIBTPU = re.compile(r"^libtpu\s*\(?([^;)]*)")


def packages() -> list[str]:
    """Requirements, by name and version.

    >>> [re.split("[=<>]", one)[0] for one in packages()]
    ['libtpu', 'jax-cuda12-plugin', 'jax-cuda12-pjrt', 'nvidia-cuda-nvcc-cu12']
    """
    version = importlib.metadata.version("jax")
    pins = [match[1].strip() for one in _requirements() if (match := _LIBTPU.match(one))]
    return [
        f"libtpu{pins[0] if pins else ''}",
        f"jax-cuda12-plugin=={version}",
        f"jax-cuda12-pjrt=={version}",
        "nvidia-cuda-nvcc-cu12>=12.6",
    ]


def _requirements() -> list[str]:
    return importlib.metadata.requires("jax") or []


if __name__ == "__main__":
    print(*packages())
