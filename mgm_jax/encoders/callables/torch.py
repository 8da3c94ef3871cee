"""Modules of PyTorch; the library is the user's, and is used only where its module is handed in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from mgm_jax.encoders.callables.pooling import named
from mgm_jax.errors import InputError, name_some


def module_of(fn: Any) -> Any | None:
    """The module of PyTorch that ``fn`` is, or is a method of; None for anything else."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    for one in (fn, getattr(fn, "__self__", None)):
        if isinstance(one, torch.nn.Module):
            return one
    return None


def torch_runner(
    fn: Callable[[Any], Any], module: Any, layers: Mapping[str, str]
) -> Callable[[Any], dict[str, Any]]:
    """A function from a batch of JAX ``[b, c, h, w]`` to NumPy arrays by name.

    Args:
        fn: the module, or a method of it.
        module: the module; it is read as for evaluation and left as it was.
        layers: submodules to read by the name of their tap; none reads what ``fn`` returns.

    Raises:
        InputError: a submodule that does not exist.
    """
    torch = sys.modules["torch"]
    known = dict(module.named_modules())
    missing = [layer for layer in layers.values() if layer not in known]
    if missing:
        raise InputError(
            f"taps: the module has no layer {missing[0]!r}; it has "
            f"{name_some([layer for layer in known if layer], most=30)}"
        )

    def run(x: Any) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def keep(tap: str) -> Any:
            def hook(_: Any, __: Any, output: Any) -> None:
                seen[tap] = output

            return hook

        with ExitStack() as held:
            held.enter_context(_for_evaluation(module))
            for tap, layer in layers.items():
                held.enter_context(known[layer].register_forward_hook(keep(tap)))
            held.enter_context(torch.inference_mode())
            output = fn(_tensor(x, module, torch))
            taps = {tap: _first(value) for tap, value in seen.items()} if layers else named(output)
            return {tap: as_array(value) for tap, value in taps.items()}

    return run


def as_array(value: Any) -> Any:
    """A tensor as a NumPy array of float32; anything else as it is."""
    if not hasattr(value, "detach"):
        return value
    return value.detach().float().cpu().numpy()


@contextmanager
def _for_evaluation(module: Any) -> Iterator[None]:
    """Every submodule in evaluation mode; afterwards each in the mode it was in."""
    were = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for one, training in were:
            one.training = training


def _tensor(x: Any, module: Any, torch: Any) -> Any:
    """The batch where the module's weights are, in their precision, in memory of its own."""
    like = next((one for one in module.parameters() if one.is_floating_point()), torch.zeros(()))
    try:
        tensor = torch.from_dlpack(x)
    # Of a device that this PyTorch does not know; which error says so depends on both versions.
    except Exception:
        tensor = torch.from_numpy(np.array(x))
    # A copy: what the module does in place must not reach the arrays of JAX.
    return tensor.to(like.device, like.dtype, copy=True).contiguous()


def _first(value: Any) -> Any:
    """The array of a layer that gives several, such as attention with its weights."""
    return value[0] if isinstance(value, tuple | list) and value else value
