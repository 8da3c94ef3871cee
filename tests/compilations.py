"""How many programs XLA compiled, or read from a cache, since a test began to count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"
_seen: list[str] = []


def _note(event: str, _: float, **__: Any) -> None:
    if event == _EVENT:
        _seen.append(event)


# JAX has no way to take one listener off again.
jax.monitoring.register_event_duration_secs_listener(_note)


@contextmanager
def compiled() -> Iterator[list[str]]:
    """Collects an entry a program that is compiled within the body."""
    mine: list[str] = []
    before = len(_seen)
    yield mine
    mine.extend(_seen[before:])
