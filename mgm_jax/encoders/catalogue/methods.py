"""The methods of training, and what each of them fixes that no weight reveals.

How an input was prepared, how positions are taken to another size, which epsilon and which
activation a network has: a file does not say it, but the method that wrote the file does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from mgm_jax.encoders.spec import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Preprocess, ViTSpec

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# As the authors' repositories state it; where we could not read that, the licence is marked.
_NONCOMMERCIAL = "CC-BY-NC-4.0"
_UNCONFIRMED = "CC-BY-NC-4.0 (not confirmed)"
_PYCONTRAST = "BSD-2-Clause (not confirmed)"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way of training an encoder.

    Attributes:
        name: as its authors write it.
        paradigm: ``contrastive``, ``non-contrastive``, ``clustering``, ``masked``, ``language``
            or ``supervised``.
        citation: where it was introduced.
        licence: of the weights that its authors publish; marked where it was not confirmed.
        vit: fields of a ``ViTSpec`` that it fixes.
        mean: taken off the input, red green blue, on the scale [0, 1].
        std: what the input is divided by, same scale.
        interpolation: how images are resized.
        whole: whether the short side is resized to the square itself, so that nothing is cut off
            it; else to 8/7 of it.
    """

    name: str
    paradigm: str
    citation: str
    licence: str
    vit: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    whole: bool = False

    def preprocess(self, size: int) -> Preprocess:
        """The input it is evaluated on, at ``size`` pixels."""
        return Preprocess(
            size=size,
            resize=size if self.whole else round(size * 8 / 7),
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
        )

    def apply(self, spec: ViTSpec) -> ViTSpec:
        """The spec with the fields that the method fixes."""
        return replace(spec, **self.vit)


_BICUBIC: Mapping[str, Any] = {"interpolation": "bicubic"}
_RAW: Mapping[str, Any] = {**_BICUBIC, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
# The deviation of red in their own evaluation.
_SWAV: Mapping[str, Any] = {"std": (0.228, 0.224, 0.225)}
_CLIP: Mapping[str, Any] = {**_BICUBIC, "mean": CLIP_MEAN, "std": CLIP_STD, "whole": True}
_CLIP_VIT: Mapping[str, Any] = {"layer_norm_eps": 1e-5, "position_resize": "antialias"}


_SIGLIP: Mapping[str, Any] = {
    **_BICUBIC,
    "mean": (0.5,) * 3,
    "std": (0.5,) * 3,
    "whole": True,
    "vit": {"gelu": "tanh", "position_resize": "antialias"},
}
_EVA: Mapping[str, Any] = {
    **_BICUBIC,
    "mean": CLIP_MEAN,
    "std": CLIP_STD,
    "whole": True,
    "vit": {"positions": "both", "position_resize": "antialias"},
}


def _bicubic(**vit: Any) -> dict[str, Any]:
    return {**_BICUBIC, "vit": vit}


_OFFSET, _ANTIALIAS = (_bicubic(position_resize=how) for how in ("offset", "antialias"))
_ROPE = _bicubic(layer_norm_eps=1e-5, positions="rope")
_QUICK_GELU: Mapping[str, Any] = {**_CLIP, "vit": {**_CLIP_VIT, "gelu": "quick"}}
_MOCO_V3: Mapping[str, Any] = {"vit": {"position_resize": "antialias"}}
_TORCHVISION = "He et al. 2016, arXiv 1512.03385; weights of torchvision"

# Kind of training; then name, where it was introduced, licence, and what it fixes.
_Row = tuple[str, str, str, Mapping[str, Any]]
_ROWS: Mapping[str, tuple[_Row, ...]] = {
    "contrastive": (
        ("InsDis", "Wu et al. 2018, arXiv 1805.01978", _PYCONTRAST, {}),
        ("PIRL", "Misra and van der Maaten 2020, arXiv 1912.01991", _PYCONTRAST, {}),
        ("InfoMin", "Tian et al. 2020, arXiv 2005.10243", _PYCONTRAST, {}),
        ("MoCo-v1", "He et al. 2020, arXiv 1911.05722", _NONCOMMERCIAL, {}),
        ("MoCo-v2", "Chen et al. 2020, arXiv 2003.04297", _NONCOMMERCIAL, {}),
        ("PCL-v1", "Li et al. 2021, arXiv 2005.04966", "MIT", {}),
        ("PCL-v2", "Li et al. 2021, arXiv 2005.04966", "MIT", {}),
        ("SimCLR-v1", "Chen et al. 2020, arXiv 2002.05709", "Apache-2.0", _RAW),
        ("SimCLR-v2", "Chen et al. 2020, arXiv 2006.10029", "Apache-2.0", _RAW),
        ("MoBY", "Xie et al. 2021, arXiv 2105.04553", "MIT", _BICUBIC),
        ("MoCo-v3", "Chen et al. 2021, arXiv 2104.02057", _NONCOMMERCIAL, _MOCO_V3),
    ),
    "non-contrastive": (
        ("BYOL", "Grill et al. 2020, arXiv 2006.07733", "Apache-2.0", _BICUBIC),
        ("Barlow Twins", "Zbontar et al. 2021, arXiv 2103.03230", "MIT", {}),
        ("VICReg", "Bardes et al. 2022, arXiv 2105.04906", "MIT", {}),
        ("SimSiam", "Chen and He 2021, arXiv 2011.10566", _NONCOMMERCIAL, {}),
        ("DINO", "Caron et al. 2021, arXiv 2104.14294", "Apache-2.0", _OFFSET),
        ("EsViT", "Li et al. 2022, arXiv 2106.09785", "MIT", _BICUBIC),
        ("DINOv2", "Oquab et al. 2024, arXiv 2304.07193", "Apache-2.0", _OFFSET),
        ("DINOv2 with registers", "Darcet et al. 2024, arXiv 2309.16588", "Apache-2.0", _ANTIALIAS),
        ("DINOv3", "Siméoni et al. 2025, arXiv 2508.10104", "DINOv3 License", _ROPE),
    ),
    "clustering": (
        ("SwAV", "Caron et al. 2020, arXiv 2006.09882", _UNCONFIRMED, _SWAV),
        ("DeepCluster-v2", "Caron et al. 2020, arXiv 2006.09882", _UNCONFIRMED, _SWAV),
        ("SeLa-v2", "Caron et al. 2020, arXiv 2006.09882", _UNCONFIRMED, _SWAV),
    ),
    "masked": (
        ("iBOT", "Zhou et al. 2022, arXiv 2111.07832", "Apache-2.0", _OFFSET),
        ("MSN", "Assran et al. 2022, arXiv 2204.07141", _UNCONFIRMED, {}),
        ("MAE", "He et al. 2022, arXiv 2111.06377", _NONCOMMERCIAL, _BICUBIC),
        ("EVA-02", "Fang et al. 2024, arXiv 2303.11331", "MIT", _EVA),
        ("SimMIM", "Xie et al. 2022, arXiv 2111.09886", "MIT", _BICUBIC),
        ("FCMAE", "Woo et al. 2023, arXiv 2301.00808", _NONCOMMERCIAL, _BICUBIC),
        ("I-JEPA", "Assran et al. 2023, arXiv 2301.08243", _NONCOMMERCIAL, _BICUBIC),
    ),
    "language": (
        ("CLIP", "Radford et al. 2021, arXiv 2103.00020", "MIT", _QUICK_GELU),
        ("SigLIP", "Zhai et al. 2023, arXiv 2303.15343", "Apache-2.0", _SIGLIP),
        ("SigLIP 2", "Tschannen et al. 2025, arXiv 2502.14786", "Apache-2.0", _SIGLIP),
        ("OpenCLIP", "Cherti et al. 2023, arXiv 2212.07143", "MIT", {**_CLIP, "vit": _CLIP_VIT}),
    ),
    "supervised": (("Supervised", _TORCHVISION, "BSD-3-Clause", {}),),
}


# Every method by the name that its authors write.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        name: Method(name=name, paradigm=paradigm, citation=citation, licence=licence, **options)
        for paradigm, rows in _ROWS.items()
        for name, citation, licence, options in rows
    }
)


_GUESSED = " (guessed)"


def known_paradigm(meta: Mapping[str, object]) -> str:
    """How an encoder was trained, marked where nothing but names and shapes of its file say so.

    Args:
        meta: of an encoder: ``paradigm``, and ``guessed`` where the file does not state it.

    >>> known_paradigm({"paradigm": "contrastive", "guessed": True})
    'contrastive (guessed)'
    """
    paradigm = str(meta.get("paradigm", "unknown"))
    return paradigm + _GUESSED * (bool(meta.get("guessed")) and paradigm != "unknown")


def is_guessed(paradigm: str) -> bool:
    """Whether a paradigm is marked as guessed, so that no test of significance may rest on it.

    >>> is_guessed("contrastive (guessed)"), is_guessed("contrastive")
    (True, False)
    """
    return paradigm.endswith(_GUESSED)
