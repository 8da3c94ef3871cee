"""MobileNetV2 and EfficientNet-Lite in PyTorch, reading canonical weights.

The twin of :mod:`mgm_converters.verification.reference`; BatchNorm stays in its place.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mgm_converters.verification.reference_layers import Weights
from mgm_jax.encoders import MobileNetSpec


def mobilenet_activations(spec: MobileNetSpec, weights: Weights, x: Tensor) -> dict[str, Tensor]:
    """Every tap but the logits for normalised images ``[b, 3, h, w]``."""

    def unit(conv: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{conv}.weight"]
        size, before, after = kernel.shape[-1], kernel.shape[-1] // 2, kernel.shape[-1] // 2
        if spec.padding == "tf-same":
            total = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
            before, after = total // 2, total - total // 2
        x = F.pad(x, (before, after, before, after))
        x = F.conv2d(x, kernel, stride=stride, groups=x.shape[1] // kernel.shape[1])
        return F.batch_norm(
            x,
            weights[f"{norm}.running_mean"],
            weights[f"{norm}.running_var"],
            weights[f"{norm}.weight"],
            weights[f"{norm}.bias"],
            eps=spec.batch_norm_eps,
        )

    x = F.relu6(unit("conv_stem", "bn1", x, 2))
    taps = {"stem": x}
    for stage, count in enumerate(spec.repeats):
        for i in range(count):
            name, stride, y = f"blocks.{stage}.{i}", 1 if i else spec.strides[stage], x
            wide = f"{name}.conv_pwl.weight" in weights
            if wide:
                y = F.relu6(unit(f"{name}.conv_pw", f"{name}.bn1", y))
            y = F.relu6(unit(f"{name}.conv_dw", f"{name}.bn{1 + wide}", y, stride))
            y = unit(f"{name}.{'conv_pwl' if wide else 'conv_pw'}", f"{name}.bn{2 + wide}", y)
            x = taps[name] = x + y if x.shape == y.shape else y
    x = taps["head"] = F.relu6(unit("conv_head", "bn2", x))
    return taps | {"pool": x.mean((2, 3))}
