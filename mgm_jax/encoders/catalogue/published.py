"""The published encoders by name: where they are, and all that their files do not say.

Every address was found in the code or the documentation of its authors, or of others who load the
file from it; none was fetched. SHA-256 digests are those that addresses, file names and loaders
state.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from mgm_jax.encoders.canonical import expected_shapes
from mgm_jax.encoders.catalogue.methods import METHODS, Method
from mgm_jax.encoders.catalogue.registry import ARCHITECTURES, CONVNEXT_SIZES, SWIN_SIZES, VIT_SIZES
from mgm_jax.encoders.spec import ConvNeXtSpec, EncoderSpec, Preprocess, SwinSpec, ViTSpec
from mgm_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published checkpoint.

    Attributes:
        name: what to call it on the command line.
        method: how it was trained.
        spec: the network, with what its weights do not reveal.
        preprocess: the input it is evaluated on.
        address: public address of the file, or of the page that leads to it.
        obstacle: why the address cannot be fetched as it is; empty where it can.
        sha256: of the file, or the first digits of it; empty where its authors do not say.
        licence: of the weights.
    """

    name: str
    method: Method
    spec: EncoderSpec
    preprocess: Preprocess
    address: str
    obstacle: str = ""
    sha256: str = ""
    licence: str

    @property
    def paradigm(self) -> str:
        """Kind of training."""
        return self.method.paradigm

    @property
    def file_name(self) -> str:
        """Name of the file at the address; empty where a page leads to it."""
        return "" if self.obstacle else urlsplit(self.address).path.rpartition("/")[2]

    @property
    def parameters(self) -> int:
        """Numbers in the encoder, heads left out."""
        return sum(math.prod(shape) for shape in expected_shapes(self.spec).values())


_FB = "https://dl.fbaipublicfiles.com/"
_DROPBOX = "https://www.dropbox.com/sh/87d24jqsl6ra7t2/"
_STORAGE = "https://storage.googleapis.com/"
_CLIP = "https://openaipublic.azureedge.net/clip/models/"
_HUB = "https://huggingface.co/"
_TENSORFLOW = (
    "its authors publish TensorFlow weights; convert them to PyTorch with {tool}, then run "
    "`mgm convert FILE --model {name}`"
)
_CONVERTERS = {
    "simclr_v1": "tonylins/simclr-converter",
    "simclr_v2": "Separius/SimCLRv2-Pytorch",
}
_SHA256_OF_RESNETS = {
    "supervised": "0676ba61",
    "vicreg": "c843e7652491ff2f712734619fd74d85e5e92ac902615665ad3fd50dc6ada591",
}
_PAGE = "the address is a page: fetch the file by hand, then run `mgm convert FILE --model {name}`"
_GATED = (
    "its licence has to be accepted first, on the page of the address: fetch the file by hand, "
    "then run `mgm convert FILE --model {name}`"
)


def _entry(
    name: str,
    method: str,
    spec: EncoderSpec,
    address: str,
    *,
    size: int = 224,
    obstacle: str = "",
    sha256: str = "",
    **preprocess: Any,
) -> Published:
    how = METHODS[method]
    return Published(
        name=name,
        method=how,
        spec=how.apply(spec) if isinstance(spec, ViTSpec) else spec,
        preprocess=replace(how.preprocess(size), **preprocess),
        address=address,
        obstacle=obstacle.format(name=name),
        sha256=sha256,
        licence=how.licence,
    )


def _resnets() -> Iterator[Published]:
    spec = ARCHITECTURES["resnet50"].spec
    moco, deepcluster = f"{_FB}moco/moco_checkpoints/", f"{_FB}deepcluster/"
    pcl = f"{_STORAGE}sfr-pcl-data-research/PCL_checkpoint/PCL_"
    for name, method, address in (
        ("insdis", "InsDis", f"{_DROPBOX}AACcsSIt1_Njv7GsmsuzZ6Sta/InsDis.pth?dl=1"),
        ("moco_v1", "MoCo-v1", f"{moco}moco_v1_200ep/moco_v1_200ep_pretrain.pth.tar"),
        ("moco_v2", "MoCo-v2", f"{moco}moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar"),
        ("pcl_v1", "PCL-v1", f"{pcl}v1_epoch200.pth.tar"),
        ("pcl_v2", "PCL-v2", f"{pcl}v2_epoch200.pth.tar"),
        ("pirl", "PIRL", f"{_DROPBOX}AADN4jKnvTI0U5oT6hTmQZz8a/PIRL.pth?dl=1"),
        ("simclr_v1", "SimCLR-v1", "https://github.com/google-research/simclr"),
        ("simclr_v2", "SimCLR-v2", "https://github.com/google-research/simclr"),
        ("sela_v2", "SeLa-v2", f"{deepcluster}selav2_400ep_pretrain.pth.tar"),
        ("infomin", "InfoMin", f"{_DROPBOX}AAAzMTynP3Qc8mIE4XWkgILUa/InfoMin_800.pth?dl=1"),
        ("byol", "BYOL", f"{_STORAGE}deepmind-byol/checkpoints/pretrain_res50x1.pkl"),
        ("deepcluster_v2", "DeepCluster-v2", f"{deepcluster}deepclusterv2_800ep_pretrain.pth.tar"),
        ("swav", "SwAV", f"{deepcluster}swav_800ep_pretrain.pth.tar"),
        ("supervised", "Supervised", "https://download.pytorch.org/models/resnet50-0676ba61.pth"),
        (
            "barlow_twins",
            "Barlow Twins",
            f"{_FB}barlowtwins/ep1000_bs2048_lrw0.2_lrb0.0048_lambd0.0051/resnet50.pth",
        ),
        ("vicreg", "VICReg", f"{_FB}vicreg/resnet50.pth"),
        ("simsiam", "SimSiam", f"{_FB}simsiam/models/100ep/pretrain/checkpoint_0099.pth.tar"),
        ("moco_v3_resnet50", "MoCo-v3", f"{_FB}moco-v3/r-50-1000ep/r-50-1000ep.pth.tar"),
        ("dino_resnet50", "DINO", f"{_FB}dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth"),
    ):
        tool = _CONVERTERS.get(name)
        yield _entry(
            name,
            method,
            spec,
            address,
            obstacle="" if tool is None else _TENSORFLOW.format(tool=tool, name=name),
            sha256=_SHA256_OF_RESNETS.get(name, ""),
        )


def _vit(size: str, patch: int, *, image_size: int = 224, **changes: Any) -> ViTSpec:
    dim, layers, heads = VIT_SIZES[size]
    base: dict[str, Any] = {
        "image_size": image_size,
        "patch": patch,
        "embed_dim": dim,
        "layers": layers,
        "heads": heads,
        "mlp_dim": 4 * dim,
    }
    return ViTSpec(**(base | changes))


def _vits() -> Iterator[Published]:
    for size, heads in (("s", 12), ("b", 12)):
        # Its small network has twice the usual heads.
        folder = f"vit-{size}-300ep"
        yield _entry(
            f"moco_v3_vit{size}16",
            "MoCo-v3",
            _vit(size, 16, heads=heads),
            f"{_FB}moco-v3/{folder}/{folder}.pth.tar",
        )
    for size, patch, stem in (
        *(("s", patch, f"deitsmall{patch}") for patch in (16, 8)),
        *(("b", patch, f"vitbase{patch}") for patch in (16, 8)),
    ):
        feature = "cls_last4" if size == "s" else "cls_patch_mean"
        yield _entry(
            f"dino_vit{size}{patch}",
            "DINO",
            _vit(size, patch, feature=feature),
            f"{_FB}dino/dino_{stem}_pretrain/dino_{stem}_pretrain.pth",
        )
    for size in "sbl":
        feature = "cls_last4" if size == "s" else "cls_patch_mean"
        yield _entry(
            f"ibot_vit{size}16",
            "iBOT",
            _vit(size, 16, feature=feature),
            "https://github.com/bytedance/ibot",
            obstacle=_PAGE,
        )
    published = (("s", 16, 800), ("b", 16, 600), ("l", 16, 600), ("b", 4, 300), ("l", 7, 200))
    for size, patch, epochs in published:
        # The class token in front of the final norm.
        feature = f"blocks.{VIT_SIZES[size][1] - 1}"
        yield _entry(
            f"msn_vit{size}{patch}",
            "MSN",
            _vit(size, patch, feature=feature),
            f"{_FB}msn/vit{size}{patch}_{epochs}ep.pth.tar",
        )
    for size, patch, word in (("b", 16, "base"), ("l", 16, "large"), ("h", 14, "huge")):
        yield _entry(
            f"mae_vit{size}{patch}",
            "MAE",
            _vit(size, patch),
            f"{_FB}mae/pretrain/mae_pretrain_vit_{word}.pth",
        )
    giant: dict[str, Any] = {"embed_dim": 1408, "layers": 40, "heads": 16, "mlp_dim": 6144}
    for name, spec, file in (
        ("ijepa_vith14", _vit("h", 14), "IN1K-vit.h.14-300e"),
        ("ijepa_vith16_448", _vit("h", 16, image_size=448), "IN1K-vit.h.16-448px-300e"),
        ("ijepa_vitg16", _vit("h", 16, **giant), "IN22K-vit.g.16-600e"),
    ):
        yield _entry(
            name,
            "I-JEPA",
            replace(spec, class_token=False),
            f"{_FB}ijepa/{file}.pth.tar",
            size=spec.image_size,
        )


def _dinos() -> Iterator[Published]:
    giant = {"embed_dim": 1536, "layers": 40, "heads": 24, "mlp_dim": 4096, "mlp": "swiglu"}
    for registers in (0, 4):
        for size in "sblg":
            changes: dict[str, Any] = {"image_size": 518, "registers": registers}
            changes |= giant if size == "g" else {}
            changes["layer_scale"] = True
            spec = _vit("b" if size == "g" else size, 14, **changes)
            file = f"dinov2_vit{size}14{'_reg4' if registers else ''}_pretrain.pth"
            yield _entry(
                f"dinov2_vit{size}14{'_reg' if registers else ''}",
                "DINOv2 with registers" if registers else "DINOv2",
                spec,
                f"{_FB}dinov2/dinov2_vit{size}14/{file}",
            )
    gated: dict[str, Any] = {"mlp": "swiglu"}
    seven = gated | {"embed_dim": 4096, "layers": 40, "heads": 32, "mlp_dim": 8192}
    for name, base, changes, sha256 in (
        ("vits16", "s", {}, "08c60483"),
        ("vits16plus", "s", gated, "4057cbaa"),
        ("vitb16", "b", {}, "73cec8be"),
        ("vitl16", "l", {}, "8aa4cbdd"),
        ("vith16plus", "h", gated | {"heads": 20}, "7c1da9a5"),
        ("vit7b16", "h", seven | {"qkv_bias": False}, "a955f4ea"),
    ):
        yield _entry(
            f"dinov3_{name}",
            "DINOv3",
            _vit(base, 16, layer_scale=True, registers=4, positions="rope", **changes),
            "https://github.com/facebookresearch/dinov3",
            obstacle=_GATED,
            sha256=sha256,
        )


def _clips() -> Iterator[Published]:
    towers: dict[str, tuple[str, dict[str, Any]]] = {
        "b": ("b", {"proj_dim": 512}),
        "l": ("l", {"proj_dim": 768}),
        "h": ("h", {"proj_dim": 1024}),
        "g": (
            "h",
            {"embed_dim": 1408, "layers": 40, "heads": 16, "mlp_dim": 6144, "proj_dim": 1024},
        ),
    }

    def spec(size: str, patch: int, pixels: int = 224) -> ViTSpec:
        base, changes = towers[size]
        return _vit(base, patch, image_size=pixels, pre_norm=True, patch_bias=False, **changes)

    for model, pixels, sha256 in (
        ("B-32", 224, "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
        ("B-16", 224, "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
        ("L-14", 224, "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
        ("L-14", 336, "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"),
    ):
        size, patch = model.lower().split("-")
        larger = pixels > 224
        yield _entry(
            f"clip_vit{size}{patch}" + f"_{pixels}" * larger,
            "CLIP",
            spec(size, int(patch), pixels),
            f"{_CLIP}{sha256}/ViT-{model}{f'-{pixels}px' * larger}.pt",
            size=pixels,
            sha256=sha256,
        )
    half: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    for size, patch, repository, changes in (
        ("b", 32, "CLIP-ViT-B-32-laion2B-s34B-b79K", {}),
        ("b", 16, "CLIP-ViT-B-16-laion2B-s34B-b88K", {}),
        ("l", 14, "CLIP-ViT-L-14-laion2B-s32B-b82K", half),
        ("h", 14, "CLIP-ViT-H-14-laion2B-s32B-b79K", {}),
        ("g", 14, "CLIP-ViT-g-14-laion2B-s34B-b88K", {}),
    ):
        yield _entry(
            f"openclip_vit{size}{patch}",
            "OpenCLIP",
            spec(size, patch),
            f"{_HUB}laion/{repository}/resolve/main/open_clip_pytorch_model.bin",
            **changes,
        )


def _convnexts() -> Iterator[Published]:
    for size in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge"):
        blocks, channels = CONVNEXT_SIZES[size]
        spec = ConvNeXtSpec(
            blocks=blocks,
            channels=channels,
            layer_scale=False,
            response_norm=True,
            # Masked pretraining ends behind the last block.
            final_norm=False,
        )
        yield _entry(
            f"fcmae_convnextv2_{size}",
            "FCMAE",
            spec,
            f"{_FB}convnext/convnextv2/pt_only/convnextv2_{size}_1k_224_fcmae.pt",
        )


def _swin(size: str, *, image_size: int = 224, window: int = 7) -> SwinSpec:
    dim, blocks, heads = SWIN_SIZES[size]
    return SwinSpec(image_size=image_size, embed_dim=dim, blocks=blocks, heads=heads, window=window)


def _swins() -> Iterator[Published]:
    store = "https://chunyleu.blob.core.windows.net/output/ckpts/esvit/swin/"
    dense = "bl_lr0.0005_gpu16_bs32_dense_multicrop_epoch300"
    seven = "bl_lr0.0005_gpu16_bs32_multicrop_epoch300_dino_aug/continued_from0200_dense"
    fourteen = (
        "bl_lr0.0005_gpu16_bs32_multicrop_epoch300_dino_aug_window14/continued_from0200_dense"
    )
    small = "bl_lr0.0005_gpu16_bs16_multicrop_epoch300_dino_aug_window14/continued_from0180_dense"
    base = (
        "bl_lr0.0005_nodes4_gpu16_bs8_multicrop_epoch300_dino_aug_window14_lv/"
        "continued_from_epoch0200_dense_norm_true"
    )
    for size, window, folder in (
        ("tiny", 7, dense),
        ("small", 7, dense),
        ("base", 7, seven),
        ("tiny", 14, fourteen),
        ("small", 14, small),
        ("base", 14, base),
    ):
        yield _entry(
            f"esvit_swin_{size}_w{window}",
            "EsViT",
            _swin(size, window=window),
            f"{store}swin_{size}/{folder}/checkpoint_best.pth",
        )
    yield _entry(
        "moby_swin_tiny",
        "MoBY",
        _swin("tiny"),
        "https://github.com/SwinTransformer/storage/releases/download/v1.0.3/"
        "moby_swin_t_300ep_pretrained.pth",
    )
    for size, window in (("base", 6), ("large", 12)):
        yield _entry(
            f"simmim_swin_{size}",
            "SimMIM",
            _swin(size, image_size=192, window=window),
            "https://github.com/microsoft/SimMIM",
            size=192,
            obstacle=_PAGE,
        )


def _towers() -> Iterator[Published]:
    words = {"b16": "base-patch16", "l16": "large-patch16", "so400m14": "so400m-patch14"}
    first = {"b16": (224, 256, 384, 512), "l16": (256, 384), "so400m14": (224, 384)}
    second = {"b16": (224,), "l16": (256,), "so400m14": (224, 384)}
    for version, method, sides in (("siglip", "SigLIP", first), ("siglip2", "SigLIP 2", second)):
        for size, pixels in ((one, side) for one in sides for side in sides[one]):
            spec = ARCHITECTURES[f"siglip_{size}"].spec
            assert isinstance(spec, ViTSpec)
            # A patch of 14 leaves the last pixels of 384 out: 27 patches are 378.
            grid = pixels // spec.patch * spec.patch
            yield _entry(
                f"{version}_{size}_{pixels}",
                method,
                replace(spec, image_size=grid),
                f"{_HUB}google/{version}-{words[size]}-{pixels}/resolve/main/model.safetensors",
                size=grid,
            )
    for size, word in (("ti", "tiny"), ("s", "small"), ("b", "base"), ("l", "large")):
        spec = ARCHITECTURES[f"eva02_{size}14"].spec
        yield _entry(
            f"eva02_vit{size}14",
            "EVA-02",
            spec,
            f"{_HUB}timm/eva02_{word}_patch14_224.mim_in22k/resolve/main/model.safetensors",
        )


# Every published encoder by name.
PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        one.name: one
        for listed in (_resnets, _vits, _dinos, _clips, _convnexts, _swins, _towers)
        for one in listed()
    }
)

_PREFIX = "published:"

#: The 14 ResNet-50 of arXiv 2209.08622, whose transfer Ericsson, Gouk and Hospedales (CVPR 2021)
#: published: ``published:resnet50``.
PAPER_RESNETS = (
    "insdis",
    "moco_v1",
    "pcl_v1",
    "pirl",
    "pcl_v2",
    "simclr_v1",
    "moco_v2",
    "simclr_v2",
    "sela_v2",
    "infomin",
    "byol",
    "deepcluster_v2",
    "swav",
    "supervised",
)

_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType({"resnet50": PAPER_RESNETS})


def is_published_source(source: str) -> bool:
    """Whether a source names published encoders with their weights.

    >>> is_published_source("published:dino_vits16"), is_published_source("dino_vits16")
    (True, False)
    """
    return source.startswith(_PREFIX)


def published_sources(source: str) -> tuple[str, ...]:
    """Names of the published encoders that a source stands for.

    Args:
        source: ``published:NAME``, where ``-`` and ``_`` are the same and a pattern as in a shell
            stands for several; ``published:resnet50`` are the 14 ResNet-50 of the paper.

    Raises:
        InputError: no published encoder of that name.

    Example:
        >>> published_sources("published:dino-vits16")
        ('dino_vits16',)
    """
    wanted = source.removeprefix(_PREFIX).replace("-", "_").lower()
    names = _GROUPS.get(wanted) or tuple(name for name in PUBLISHED if fnmatchcase(name, wanted))
    if not names:
        near = difflib.get_close_matches(wanted, [*PUBLISHED, *_GROUPS], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`mgm models` lists the names"
        raise InputError(f"encoders: no published encoder is called {source!r}; {hint}")
    return names
