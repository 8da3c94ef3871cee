"""Others that answer the same question on the same device, where they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

Calls = dict[str, Callable[[], object]]
# Scores that a loop holds at a time.
_SCORES = 2**28


def knn_loops(x: np.ndarray, *, k: int, platform: str) -> Calls:
    """Nearest neighbours by cosine of points on the sphere, without any proof of being exact.

    Args:
        x: unit rows ``[n, d]`` float32.
        k: neighbours.
        platform: ``"gpu"`` for loops on a GPU, ``"cpu"``; others have none.

    Returns:
        By name: PyTorch's product and ``topk`` by tiles in float32 and bfloat16, and FAISS's flat
        index.
    """
    return _torch_loops(x, k=k, platform=platform) | _faiss(x, k=k, platform=platform)


def _torch_loops(x: np.ndarray, *, k: int, platform: str) -> Calls:
    device = torch_device(platform)
    if device is None:
        return {}
    import torch

    points = torch.from_numpy(x).to(device)
    tile = max(1, _SCORES // len(x))

    def loop(low: Any) -> None:
        for start in range(0, len(low), tile):
            scores = low[start : start + tile] @ low.T
            torch.topk(scores, min(k + 1, len(low)), dim=1)[1].cpu()

    low = points.to(torch.bfloat16)
    return {"torch float32": lambda: loop(points), "torch bfloat16": lambda: loop(low)}


def torch_device(platform: str) -> str | None:
    """What PyTorch calls the device that JAX calls ``platform``; None where it has no such."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    if platform == "cpu":
        return "cpu"
    return "cuda" if platform == "gpu" and torch.cuda.is_available() else None


def _faiss(x: np.ndarray, *, k: int, platform: str) -> Calls:
    try:
        import faiss
    except ImportError:
        return {}
    if platform == "gpu" and not hasattr(faiss, "GpuIndexFlatIP"):
        return {}
    if platform not in ("cpu", "gpu"):
        return {}

    def search() -> None:
        if platform == "gpu":
            index: Any = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), x.shape[1])
        else:
            index = faiss.IndexFlatIP(x.shape[1])
        index.add(x)
        index.search(x, min(k + 1, len(x)))

    return {"FAISS flat": search}


def torch_encoder(name: str, images: np.ndarray, *, platform: str) -> Calls:
    """PyTorch's form of an encoder in bfloat16, eager, on views ``[b, s, s, 3]``."""
    device = torch_device(platform)
    library = "torchvision" if name.startswith("resnet") else "timm"
    if device is None or importlib.util.find_spec(library) is None:
        return {}
    import torch

    from benchmarks.measuring.torch_models import build

    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)
    pixels = pixels.to(memory_format=torch.channels_last)
    network = build(name).eval().to(device).to(memory_format=torch.channels_last)

    def embed() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
            network(pixels).float().cpu()

    return {"torch bfloat16": embed}
