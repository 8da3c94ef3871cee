"""What ``mgm models`` prints: tables of a header and rows of texts, and lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mgm_jax.encoders.catalogue.published import Published
from mgm_jax.encoders.catalogue.registry import Architecture
from mgm_jax.encoders.spec import ConvNeXtSpec, EncoderSpec, ResNetSpec, SwinSpec, ViTSpec
from mgm_jax.zoo import ZooEncoder

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def published_rows(published: Iterable[Published]) -> Table:
    """Every published encoder with its architecture, training, feature and licence."""
    header = ("name", "architecture", "parameters", "paradigm", "feature", "licence")
    rows = [
        (
            one.name,
            describe(one.spec),
            f"{one.parameters / 1e6:.1f} M",
            one.paradigm,
            f"{one.spec.width()}-d {one.spec.default_tap}",
            one.licence,
        )
        for one in published
    ]
    return header, rows


def zoo_rows(zoo: Sequence[ZooEncoder]) -> Table:
    """Every encoder of the zoo with its training and its k-NN accuracy on each image set."""
    sets = tuple(dict.fromkeys(name for one in zoo for name in one.knn))
    header = ("name", "method", "paradigm", "backbone", "epochs", *(f"k-NN {s}" for s in sets))
    rows = [
        (
            f"zoo:{one.name}",
            one.method,
            one.paradigm,
            one.backbone,
            f"{one.training['epochs']:g}" if "epochs" in one.training else "",
            *(f"{100 * one.knn[name]:.1f} %" if name in one.knn else "" for name in sets),
        )
        for one in zoo
    ]
    return header, rows


def address_lines(published: Iterable[Published]) -> list[str]:
    """Where every published encoder is, one line each that no screen folds into cells."""
    return [
        f"{one.name} {one.address}" + (f" sha256:{one.sha256}" if one.sha256 else "")
        for one in published
    ]


def architecture_rows(architectures: Mapping[str, Architecture]) -> Table:
    """Every architecture by name with its input, feature and source."""
    header = ("name", "input", "feature", "what it is", "source")
    rows = [
        (
            name,
            f"{one.preprocess.size} px",
            f"{one.spec.width()}-d {one.spec.default_tap}",
            one.description,
            one.citation,
        )
        for name, one in architectures.items()
    ]
    return header, rows


def describe(spec: EncoderSpec) -> str:
    """An architecture in a few words.

    >>> describe(ViTSpec(patch=16, embed_dim=384, layers=12, heads=6, mlp_dim=1536))
    'ViT/16, 12 layers of 384, 6 heads'
    """
    if isinstance(spec, ViTSpec):
        return f"ViT/{spec.patch}, {spec.layers} layers of {spec.embed_dim}, {spec.heads} heads"
    if isinstance(spec, ResNetSpec):
        convolutions = 3 if spec.block == "bottleneck" else 2
        return f"ResNe{'Xt' if spec.groups > 1 else 't'}-{convolutions * sum(spec.blocks) + 2}"
    if isinstance(spec, ConvNeXtSpec):
        version = " V2" if spec.response_norm else ""
        return f"ConvNeXt{version}, {sum(spec.blocks)} blocks, {spec.channels[-1]}-d"
    if isinstance(spec, SwinSpec):
        return f"Swin, {sum(spec.blocks)} blocks, windows of {spec.window}, {spec.width()}-d"
    return spec.family
