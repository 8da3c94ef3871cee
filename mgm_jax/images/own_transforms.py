"""Transforms of one's own: classes or functions under a name that studies may use."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from mgm_jax.errors import InputError
from mgm_jax.images.operations import OPERATIONS, CanvasOperation, ViewOperation
from mgm_jax.images.settings import SETTINGS, Setting

Own = TypeVar("Own")

# Operations that came with the package.
_BUILT_IN = frozenset(OPERATIONS)


def register_transform(name: str) -> Callable[[Own], Own]:
    """Make a transform known under a name, to ``custom_settings`` and as a setting of that name.

    It is a frozen, keyword-only dataclass derived from ``ViewOperation`` or ``CanvasOperation``,
    or a function ``(key, image, strength)`` of an image ``[h, w, 3]`` in [0, 1] that returns one
    of the same shape. It must be pure JAX, draw from its key alone and do nothing at strength 0.
    The text of its module is a part of its identity: views that another version of it made are
    never taken for its own.

    Args:
        name: letters, digits and ``_``; not that of a built-in transform.

    Raises:
        InputError: a name that is taken, or something that is no transform.

    Example:
        >>> @register_transform("dim_example")
        ... def dim(key, image, strength):
        ...     return image * (1 - 0.5 * jax.numpy.minimum(strength, 1.0))
        >>> SETTINGS["dim_example"].name
        'dim_example'
    """

    def register(one: Own) -> Own:
        known = SETTINGS.get(name)
        if name in _BUILT_IN or (known is not None and name not in OPERATIONS):
            raise InputError(f"transform {name!r}: a built-in one has this name; take another.")
        kind: Any = one if inspect.isclass(one) else _of_function(name, one)
        if not (inspect.isclass(kind) and issubclass(kind, ViewOperation | CanvasOperation)):
            raise InputError(
                f"transform {name!r} must be a ViewOperation, a CanvasOperation or a function "
                f"(key, image, strength); got {one!r}."
            )
        own: Any = kind
        code, plain = _code_of(one), own.__repr__
        # The digest of a setting is taken from what its operations say of themselves.
        own.__repr__ = lambda self: f"<{plain(self)}#{code}>"
        known_kinds: dict[str, Any] = OPERATIONS
        known_kinds[name] = kind
        if all(
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
            for field in dataclasses.fields(kind)
        ):
            made: Any = kind()
            SETTINGS[name] = Setting(name=name, operations=(made,))
        return one

    return register


def transforms_from(module_name: str) -> None:
    """Import a module, whose code is run, for the transforms that it registers.

    Raises:
        InputError: it cannot be imported, or registers none.
    """
    before = dict(OPERATIONS)
    # As `python -m` does: a program of one's own lies where one stands.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    # The module is the user's.
    except Exception as error:
        raise InputError(
            f"--transforms-from {module_name}: {type(error).__name__}: {error}"
        ) from error
    if before == OPERATIONS and not any(
        getattr(kind, "__module__", None) == module.__name__ for kind in OPERATIONS.values()
    ):
        raise InputError(
            f"--transforms-from {module_name}: the module registers no transform; put "
            "@register_transform(NAME) before one."
        )


def _of_function(name: str, function: Any) -> type[ViewOperation]:
    if not callable(function):
        raise InputError(f"transform {name!r} must be a class or a function; got {function!r}.")

    made: Any = function

    class Function(ViewOperation):
        def __call__(self, key: jax.Array, image: jax.Array, *, strength: jax.Array) -> jax.Array:
            return made(key, image, strength)

    Function.__name__ = Function.__qualname__ = name
    Function.__repr__ = lambda self: f"{made.__module__}.{name}"  # type: ignore[method-assign]
    Function.__module__ = made.__module__
    return Function


def _code_of(one: Any) -> str:
    """Digest of the text of the module, or of the definition alone where there is no file."""
    try:
        module = inspect.getmodule(one)
        text = inspect.getsource(module) if module is not None else inspect.getsource(one)
    except (OSError, TypeError):
        code = getattr(one, "__code__", None)
        text = repr((code.co_code, code.co_consts, code.co_names)) if code else repr(one)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
