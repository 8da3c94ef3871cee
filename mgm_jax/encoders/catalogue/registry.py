"""The architectures known by name, and the one way to get an encoder."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from mgm_jax.encoders.checkpoint import read_encoder
from mgm_jax.encoders.encoder import Encoder
from mgm_jax.encoders.forward import Precision
from mgm_jax.encoders.spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CifarResNetSpec,
    Conv4Spec,
    ConvNeXtSpec,
    EncoderSpec,
    MobileNetSpec,
    PixelsSpec,
    Preprocess,
    ResNetSpec,
    SwinSpec,
    ViTSpec,
)
from mgm_jax.encoders.untrained import random_state
from mgm_jax.errors import InputError, name_some
from mgm_jax.zoo import is_zoo_source


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A named architecture with the preprocessing it is usually trained with.

    Attributes:
        spec: shapes, taps and everything weights do not reveal.
        preprocess: usual input.
        description: one line for people.
        citation: where it was introduced.
    """

    spec: EncoderSpec
    preprocess: Preprocess
    description: str
    citation: str

    def at_size(self, size: int) -> Architecture:
        """The same for another input size; the short side before the cut keeps its ratio."""
        resize = round(self.preprocess.resize * size / self.preprocess.size)
        return replace(
            self,
            spec=replace(self.spec, image_size=size),
            preprocess=replace(self.preprocess, size=size, resize=max(resize, size)),
        )


# Width, layers and heads of the standard vision transformers.
VIT_SIZES: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "ti": (192, 12, 3),
        "s": (384, 12, 6),
        "b": (768, 12, 12),
        "l": (1024, 24, 16),
        "h": (1280, 32, 16),
    }
)

# Blocks and channels a stage of both versions of ConvNeXt.
CONVNEXT_SIZES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = MappingProxyType(
    {
        "atto": ((2, 2, 6, 2), (40, 80, 160, 320)),
        "femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
        "pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
        "nano": ((2, 2, 8, 2), (80, 160, 320, 640)),
        "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
        "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
        "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
        "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
        "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
        "huge": ((3, 3, 27, 3), (352, 704, 1408, 2816)),
    }
)
# Channels of the first stage, blocks and heads a stage of the Swin transformers.
SWIN_SIZES: Mapping[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = MappingProxyType(
    {
        "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
        "small": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
        "base": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
        "large": (192, (2, 2, 18, 2), (6, 12, 24, 48)),
    }
)
# The sizes that were published of each version of ConvNeXt.
_V1_SIZES = ("tiny", "small", "base", "large", "xlarge")
_V2_SIZES = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")

_HE = "He et al. 2016, Deep residual learning for image recognition, arXiv 1512.03385"
_VIT = "Dosovitskiy et al. 2021, An image is worth 16x16 words, arXiv 2010.11929"
_DEIT = "Touvron et al. 2021, Training data-efficient image transformers, arXiv 2012.12877"
_WIDE = "Zagoruyko and Komodakis 2016, Wide residual networks, arXiv 1605.07146"
_SIMCLR = "Chen et al. 2020, A simple framework for contrastive learning, arXiv 2002.05709"
_RESNEXT = "Xie et al. 2017, Aggregated residual transformations, arXiv 1611.05431"
_CONVNEXT = "Liu et al. 2022, A ConvNet for the 2020s, arXiv 2201.03545"
_CONVNEXT_V2 = "Woo et al. 2023, ConvNeXt V2, arXiv 2301.00808"
_SWIN = "Liu et al. 2021, Swin transformer, arXiv 2103.14030"
_MOBILENET = "Sandler et al. 2018, MobileNetV2, arXiv 1801.04381"
_EFFICIENTNET = "Tan and Le 2019, EfficientNet, arXiv 1905.11946"
_EVA = "Fang et al. 2024, EVA-02, arXiv 2303.11331"
_SIGLIP = "Zhai et al. 2023, Sigmoid loss for language image pre-training, arXiv 2303.15343"
_SNELL = "Snell et al. 2017, Prototypical networks for few-shot learning, arXiv 1703.05175"

_IMAGENET = Preprocess(size=224, resize=256, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_BICUBIC = replace(_IMAGENET, interpolation="bicubic")
_CIFAR = replace(_IMAGENET, size=32, resize=32)
# Networks of TensorFlow take values from -1 to 1.
_TENSORFLOW = replace(_BICUBIC, mean=(0.5,) * 3, std=(0.5,) * 3)

#: What TensorFlow's EfficientNets add to the running variance.
TENSORFLOW_EPS = 1e-3


def _of(
    spec: EncoderSpec, description: str, citation: str, preprocess: Preprocess = _BICUBIC
) -> Architecture:
    return Architecture(
        spec=spec, preprocess=preprocess, description=description, citation=citation
    )


def _resnet(spec: ResNetSpec, description: str, citation: str = _HE) -> Architecture:
    size = spec.image_size
    shorter = replace(_IMAGENET, size=size, resize=max(size, size * 8 // 7))
    return _of(spec, description, citation, shorter)


def _convnexts() -> dict[str, Architecture]:
    known = {}
    for prefix, sizes, citation in (
        ("convnext", _V1_SIZES, _CONVNEXT),
        ("convnextv2", _V2_SIZES, _CONVNEXT_V2),
    ):
        second = prefix == "convnextv2"
        for size in sizes:
            blocks, channels = CONVNEXT_SIZES[size]
            spec = ConvNeXtSpec(
                blocks=blocks, channels=channels, layer_scale=not second, response_norm=second
            )
            title = f"ConvNeXt{' V2' if second else ''}, {size}, 224 px, {channels[-1]}-d"
            known[f"{prefix}_{size}"] = _of(spec, title, citation)
    return known


def _swins() -> dict[str, Architecture]:
    return {
        f"swin_{size}": _of(
            SwinSpec(embed_dim=dim, blocks=blocks, heads=heads),
            f"Swin, {size}, windows of 7, 224 px, {8 * dim}-d",
            _SWIN,
        )
        for size, (dim, blocks, heads) in SWIN_SIZES.items()
    }


def _mobilenets() -> dict[str, Architecture]:
    lites = {
        "efficientnet_lite0": _lite((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
        "efficientnet_lite1": _lite((16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1)),
        "efficientnet_lite2": _lite((16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
    }
    sides = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
    known = {
        "mobilenet_v2": _of(MobileNetSpec(), "MobileNetV2, 224 px, 1280-d", _MOBILENET, _IMAGENET)
    }
    for name, spec in lites.items():
        side, title = sides[name], name.replace("efficientnet_lite", "EfficientNet-Lite")
        scaled = replace(spec, image_size=side)
        known[name] = _of(
            scaled,
            f"{title} as timm trains it, {side} px, 1280-d",
            _EFFICIENTNET,
            replace(_IMAGENET, size=side, resize=side + 32),
        )
        known[f"tf_{name}"] = _of(
            replace(scaled, padding="tf-same", batch_norm_eps=TENSORFLOW_EPS),
            f"{title} as converted from TensorFlow: its padding, epsilon and input, {side} px, "
            "1280-d",
            _EFFICIENTNET,
            replace(_TENSORFLOW, size=side, resize=side + 32),
        )
    return known


def _lite(channels: tuple[int, ...], repeats: tuple[int, ...]) -> MobileNetSpec:
    return MobileNetSpec(kernels=(3, 3, 5, 3, 5, 5, 3), channels=channels, repeats=repeats)


def _architectures() -> dict[str, Architecture]:
    known = {
        "conv4": _of(
            Conv4Spec(),
            "four 3x3 convolutions of 64 channels, 84 px, 1600-d",
            _SNELL,
            Preprocess(size=84, resize=96),
        )
    }
    for depth, blocks in {20: 3, 32: 5, 44: 7, 56: 9}.items():
        title = f"thin ResNet-{depth} for CIFAR, 32 px, 64-d"
        known[f"resnet{depth}"] = _of(CifarResNetSpec(blocks=blocks), title, _HE, _CIFAR)
    for depth, blocks in {
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
    }.items():
        spec = ResNetSpec(blocks=blocks, block="basic" if depth < 50 else "bottleneck")
        known[f"resnet{depth}"] = _resnet(spec, f"ResNet-{depth}, 224 px, {spec.width()}-d")
        for factor in (2, 4):
            wide = replace(spec, channels=64 * factor)
            known[f"resnet{depth}_w{factor}"] = _resnet(
                wide,
                f"ResNet-{depth}, every width times {factor}, 224 px, {wide.width()}-d",
                _SIMCLR,
            )
        if depth in (50, 101):
            known[f"wide_resnet{depth}_2"] = _resnet(
                replace(spec, inner_factor=2),
                f"ResNet-{depth}, inside of the bottlenecks twice as wide, 224 px, 2048-d",
                _WIDE,
            )
    cifar = ResNetSpec(blocks=(2, 2, 2, 2), block="basic", stem="cifar", image_size=32)
    title = "ResNet-18 with a 3x3 stem and no max pool, 32 px, 512-d"
    known["resnet18_cifar"] = _of(cifar, title, _SIMCLR, _CIFAR)
    for depth, groups, group in ((50, 32, 4), (101, 32, 8), (101, 64, 4)):
        base = known[f"resnet{depth}"].spec
        assert isinstance(base, ResNetSpec)
        known[f"resnext{depth}_{groups}x{group}d"] = _resnet(
            replace(base, groups=groups, inner_factor=groups * group // 64),
            f"ResNeXt-{depth}, {groups} groups of {group} channels, 224 px, 2048-d",
            _RESNEXT,
        )
    known |= _convnexts() | _swins() | _mobilenets()
    for size, (dim, layers, heads) in VIT_SIZES.items():
        for patch in (8, 14, 16, 32):
            known[f"vit_{size}{patch}"] = _of(
                ViTSpec(patch=patch, embed_dim=dim, layers=layers, heads=heads, mlp_dim=4 * dim),
                f"ViT-{size.capitalize()}/{patch}, {layers} layers, 224 px, {dim}-d",
                _DEIT if size in ("ti", "s") else _VIT,
            )
    for size in ("ti", "s", "b", "l"):
        dim, layers, heads = VIT_SIZES[size]
        known[f"eva02_{size}14"] = _of(
            ViTSpec(
                patch=14,
                embed_dim=dim,
                layers=layers,
                heads=heads,
                mlp_dim=int(dim * 8 / 3),
                mlp="swiglu",
                # The large two normalise within the MLP.
                mlp_norm=size in ("b", "l"),
                positions="both",
                final_norm=False,
                fc_norm=True,
            ),
            f"EVA-02-{size.capitalize()}/14, {layers} layers, 224 px, {dim}-d",
            _EVA,
        )
    for name, size, patch in (("b16", "b", 16), ("l16", "l", 16), ("so400m14", "so400m", 14)):
        dim, layers, heads = (1152, 27, 16) if size == "so400m" else VIT_SIZES[size]
        known[f"siglip_{name}"] = _of(
            ViTSpec(
                patch=patch,
                embed_dim=dim,
                layers=layers,
                heads=heads,
                mlp_dim=4304 if size == "so400m" else 4 * dim,
                class_token=False,
                gelu="tanh",
                attention_pool=True,
                position_resize="antialias",
            ),
            f"image tower of SigLIP, {layers} layers, 224 px, {dim}-d",
            _SIGLIP,
            replace(_TENSORFLOW, resize=224),
        )
    known["vit_mini"] = _of(
        ViTSpec(image_size=64, patch=8, embed_dim=192, layers=6, heads=3, mlp_dim=768),
        "small ViT for first looks, patch 8, 6 layers, 64 px, 192-d",
        _VIT,
        replace(_IMAGENET, size=64, resize=73),
    )
    known["pixels"] = _of(
        PixelsSpec(),
        "the pixels themselves, flattened, 28 px, 2352-d",
        "none: the control",
        Preprocess(size=28, resize=32),
    )
    return known


# Every architecture by name.
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(_architectures())


def load_encoder(
    path_or_name: str | Path,
    *,
    name: str | None = None,
    preprocess: Preprocess | None = None,
    dtype: Precision = "float32",
) -> Encoder:
    """Get an encoder: a converted one from its folder, or an untrained one by name.

    Args:
        path_or_name: a folder that ``mgm convert`` or ``save_encoder`` wrote, or the name of an
            architecture in ``ARCHITECTURES``, with ``:seed=`` (default 0) and ``:size=`` pixels
            where wanted: ``resnet18:size=64:seed=3``.
        name: what tables and figures shall call it; by default the name it was saved under, or
            architecture, size and seed.
        preprocess: other preprocessing than the stored or usual one.
        dtype: precision of the computation, ``float32`` or ``bfloat16``.

    Returns:
        An :class:`Encoder`. ``meta["paradigm"]`` of one made by name is ``untrained``, of
        ``pixels`` it is ``control``.

    Raises:
        InputError: unknown name or option, a checkpoint that was not converted (also one of the
            zoo: ``mgm_converters.convert("zoo:NAME").encoder``), a damaged folder.

    Example:
        >>> load_encoder("resnet18:size=64:seed=3").name
        'resnet18:size=64:seed=3'
    """
    path = Path(path_or_name)
    if isinstance(path_or_name, str) and not path_or_name.strip():
        raise InputError("path_or_name must name a folder or an architecture; got an empty text.")
    if is_zoo_source(str(path_or_name)):
        raise InputError(
            f"{path_or_name}: encoders of the zoo are checkpoints and come from the converter: "
            f"from mgm_converters import convert; convert({str(path_or_name)!r}).encoder. Or write "
            f"one to a folder, `mgm convert {path_or_name} -o DIR`, and load DIR"
        )
    if path.is_dir():
        encoder = read_encoder(path, dtype=dtype)
    elif path.is_file():
        raise InputError(
            f"{path} is a file; a checkpoint becomes an encoder with `mgm convert {path} -o DIR`, "
            "then load DIR"
        )
    else:
        encoder = _untrained(str(path_or_name), dtype=dtype)
    return replace(encoder, name=name or encoder.name, preprocess=preprocess or encoder.preprocess)


def _untrained(text: str, *, dtype: Precision) -> Encoder:
    base, *options = text.split(":")
    if base not in ARCHITECTURES:
        close = difflib.get_close_matches(base, ARCHITECTURES, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "`mgm models` lists the names"
        raise InputError(
            f"{text!r} is neither an encoder's folder nor the name of an architecture; {hint}"
        )
    chosen = _parse_options(text, options)
    architecture = ARCHITECTURES[base]
    name = base
    if "size" in chosen:
        architecture = architecture.at_size(chosen["size"])
        name += f":size={chosen['size']}"
    meta: dict[str, object] = {"architecture": base, "paradigm": "control", "source": "built in"}
    if base != "pixels":
        seed = chosen.get("seed", 0)
        name += f":seed={seed}"
        meta |= {"paradigm": "untrained", "source": "random weights", "seed": seed}
    return Encoder.from_state(
        random_state(architecture.spec, seed=chosen.get("seed", 0)),
        name=name,
        spec=architecture.spec,
        preprocess=architecture.preprocess,
        meta=meta,
    ).with_dtype(dtype)


def _parse_options(text: str, options: list[str]) -> dict[str, int]:
    chosen: dict[str, int] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in ("seed", "size") or not value.isdecimal() or key in chosen:
            raise InputError(
                f"{text!r}: expected options among {name_some(['seed=INTEGER', 'size=PIXELS'])}, "
                f"each at most once, got {option!r}"
            )
        chosen[key] = int(value)
    return chosen
