"""Models of transformers, run by PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mgm_converters.foreign.request import ModelRequest
from mgm_converters.recognition.evidence.settings import PREPROCESSOR, huggingface_images
from mgm_jax.encoders import Preprocess, WrappedEncoder, wrap
from mgm_jax.encoders.spec import IMAGENET_MEAN, IMAGENET_STD
from mgm_jax.errors import InputError

# How transformers' networks call a class token.
_TOKENS = ("cls_token", "class_token", "class_embedding")


def open_huggingface(name: str, request: ModelRequest) -> WrappedEncoder:
    """The vision network of a model of transformers: its feature, ``output``, and submodules.

    The feature is the model's pooled output where that is a part of the network (ConvNeXt, CLIP,
    SigLIP, DINOv2), else the class token, else the mean of the tokens: the dense pooler of BERT's
    kind, which many files have no weights for, is not.

    Args:
        name: ``owner/name`` on the hub, or a folder.
        request: taps are submodules by name; of random weights ``config.json`` suffices.

    Raises:
        InputError: transformers is not installed, or cannot open the model.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(f"torch:hf/{name}: pip install torch transformers ({error})") from error
    size, mean, seed, taps = request.size, request.mean, request.seed, request.taps
    folder = request.base / Path(name).expanduser()
    where = str(folder) if folder.is_dir() else name
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed or 0)
            # Never the code that comes with a model.
            config = transformers.AutoConfig.from_pretrained(where, trust_remote_code=False)
            if hasattr(config, "mask_ratio"):
                # A masked autoencoder sees the whole image when it is measured.
                config.mask_ratio = 0.0
            if seed is None:
                model = transformers.AutoModel.from_pretrained(
                    where, config=config, trust_remote_code=False
                )
            else:
                model = transformers.AutoModel.from_config(config, trust_remote_code=False)
    # Names, networks and caches fail in many ways.
    except Exception as error:
        raise InputError(f"torch:hf/{name}: {type(error).__name__}: {error}") from error
    model = getattr(model, "vision_model", model).eval()
    stated = _input(where, transformers)
    side = size or (stated.size if stated else _side(config, name))
    doubt = (
        "" if stated or mean else f"no {PREPROCESSOR}: ImageNet's mean and deviation are assumed"
    )
    if taps == "all":
        raise InputError(f"encoders: name the layers of torch:hf/{name}; `all` is not known of it")
    weights = [one.rpartition(".")[2] for one, _ in model.named_parameters()]
    token = any(one in _TOKENS for one in weights)
    return wrap(
        _feature(torch, model, token=token),
        size=side,
        resize=max(side, round(side * stated.resize / stated.size)) if stated else side,
        interpolation=stated.interpolation if stated else "bicubic",
        mean=tuple(mean or (stated.mean if stated else IMAGENET_MEAN)),
        std=tuple(request.std or (stated.std if stated else IMAGENET_STD)),
        taps={tap: f"model.{tap}" for tap in taps if tap != "output"} | {"output": ""},
        tokens="class" if token else "mean",
        name=name,
        kind="transformers model, run by PyTorch",
        meta={
            "architecture": str(config.model_type),
            "source": f"torch:hf/{name}",
            **({"conversion": {"doubt": doubt}} if doubt else {}),
            **request.untrained,
        },
    )


def _feature(torch: Any, model: Any, *, token: bool) -> Any:
    """The model as a module from pixels to its feature."""
    dense = any(".pooler.dense." in f".{name}" for name, _ in model.named_parameters())

    class Feature(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: Any) -> Any:
            output = self.model(pixel_values=pixels)
            rows = getattr(output, "pooler_output", None)
            if rows is not None and not dense:
                return rows.flatten(1)
            last = output.last_hidden_state
            if last.ndim == 4:
                return last.mean((2, 3))
            return last[:, 0] if token else last.mean(1)

    return Feature()


def _input(where: str, transformers: Any) -> Preprocess | None:
    """The input that the model's settings state."""
    file = transformers.utils.cached_file(
        where, PREPROCESSOR, _raise_exceptions_for_missing_entries=False
    )
    return None if file is None else huggingface_images(json.loads(Path(file).read_bytes()))


def _side(config: Any, name: str) -> int:
    size = getattr(getattr(config, "vision_config", config), "image_size", None)
    if isinstance(size, list | tuple):
        size = size[0]
    if not isinstance(size, int):
        raise InputError(f"torch:hf/{name}: its settings state no size of the input; say size:")
    return size
