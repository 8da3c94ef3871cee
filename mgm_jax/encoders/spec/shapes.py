"""The layers that weights consist of, and the shapes of their tensors in PyTorch's layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ConvNorm:
    """One convolution and the BatchNorm behind it; a single convolution once folded.

    With ``groups`` above 1 every output sees the inputs of its own group alone.
    """

    conv: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    groups: int = 1
    biased: bool = False

    def shapes(self) -> Shapes:
        """Canonical name to shape."""
        kernel = (self.outputs, self.inputs // self.groups, self.kernel, self.kernel)
        shapes: Shapes = {f"{self.conv}.weight": kernel}
        if self.biased:
            shapes[f"{self.conv}.bias"] = (self.outputs,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{self.norm}.{part}"] = (self.outputs,)
        return shapes


def of_units(units: Iterable[ConvNorm]) -> Shapes:
    """The shapes of all ``units``, in their order."""
    return {name: shape for unit in units for name, shape in unit.shapes().items()}


def affine(name: str, outputs: int, *inputs: int, bias: bool = True) -> Shapes:
    """A matrix or a kernel and its bias; a norm where there are no inputs.

    >>> affine("norm", 8), affine("fc", 8, 4, bias=False)
    ({'norm.weight': (8,), 'norm.bias': (8,)}, {'fc.weight': (8, 4)})
    """
    shapes: Shapes = {f"{name}.weight": (outputs, *inputs)}
    return shapes | ({f"{name}.bias": (outputs,)} if bias else {})


def classifier(classes: int, width: int) -> Shapes:
    """The linear classifier behind the default feature; nothing where there are no classes."""
    return affine("head", classes, width) if classes else {}


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    """``shapes`` with ``prefix.`` before every name."""
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def joined(parts: Iterator[Shapes]) -> Shapes:
    """All parts as one table, in their order."""
    return {name: shape for part in parts for name, shape in part.items()}
