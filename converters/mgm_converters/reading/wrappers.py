"""Steps that wrappers of modules put into names, taken out wherever they stand.

``torch.compile``, activation checkpointing, FSDP, DeepSpeed in Lightning and data parallelism wrap
a module in another one, and the wrapper's attribute joins every name below it:
``blocks.0._orig_mod.attn.qkv.weight``.
"""

from __future__ import annotations

from collections.abc import Iterable

#: The attribute under which each keeps the module that it wraps.
WRAPPER_STEPS = {
    "_orig_mod": "torch.compile",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "_fsdp_wrapped_module": "FSDP",
    "_fpw_module": "FSDP of fairscale",
    "_forward_module": "Lightning and DeepSpeed",
    "_module": "Opacus",
    "_dp_module": "data parallelism",
    "_ddp_module": "data parallelism",
    "module": "data parallelism, Accelerate, averages of PyTorch and timm",
    "_original_module": "Lightning Fabric",
}


def without_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Name without wrappers to the name in the file, in order.

    A leading ``module.`` stays: it is a prefix like any other. Where two names would become one,
    all keep what they have.

    >>> without_wrappers(["module.blocks.0._orig_mod.norm1.weight"])
    {'module.blocks.0.norm1.weight': 'module.blocks.0._orig_mod.norm1.weight'}
    """
    names = list(names)
    cleaned = {_clean(name): name for name in names}
    return cleaned if len(cleaned) == len(names) else {name: name for name in names}


def _clean(name: str) -> str:
    first, *steps = name.split(".")
    kept = [step for step in steps if step not in WRAPPER_STEPS]
    lead = [] if first in WRAPPER_STEPS and first != "module" else [first]
    return ".".join((*lead, *kept))
