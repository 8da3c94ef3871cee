"""The methods of training, and what each of them fixes that no weight reveals.

How an input was prepared, how positions are taken to another size, which epsilon and which
activation a network has: a file does not say it, but the method that wrote the file does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from mgm_jax.encoders.spec import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Preprocess
from mgm_jax.encoders.vit_spec import ViTSpec

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_NONCOMMERCIAL = "CC-BY-NC-4.0"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way of training an encoder.

    Attributes:
        name: as its authors write it.
        paradigm: ``contrastive``, ``non-contrastive``, ``clustering``, ``masked``, ``language``
            or ``supervised``.
        citation: where it was introduced.
        licence: of the weights that its authors publish.
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


def _methods() -> dict[str, Method]:
    def contrastive(name: str, citation: str, licence: str, **options: Any) -> Method:
        return Method(
            name=name, paradigm="contrastive", citation=citation, licence=licence, **options
        )

    raw: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    bicubic: dict[str, Any] = {"interpolation": "bicubic"}
    clip: dict[str, Any] = bicubic | {"mean": CLIP_MEAN, "std": CLIP_STD, "whole": True}
    clip_vit = {"layer_norm_eps": 1e-5, "position_resize": "antialias"}
    simclr = "Chen et al. 2020, A simple framework for contrastive learning, arXiv 2002.05709"
    swav = "Caron et al. 2020, Unsupervised learning of visual features, arXiv 2006.09882"
    listed = [
        contrastive("InsDis", "Wu et al. 2018, arXiv 1805.01978", "BSD-2-Clause"),
        contrastive("PIRL", "Misra and van der Maaten 2020, arXiv 1912.01991", "BSD-2-Clause"),
        contrastive("InfoMin", "Tian et al. 2020, arXiv 2005.10243", "BSD-2-Clause"),
        contrastive("MoCo-v1", "He et al. 2020, arXiv 1911.05722", _NONCOMMERCIAL),
        contrastive("MoCo-v2", "Chen et al. 2020, arXiv 2003.04297", _NONCOMMERCIAL),
        contrastive("PCL-v1", "Li et al. 2021, arXiv 2005.04966", "see the repository"),
        contrastive("PCL-v2", "Li et al. 2021, arXiv 2005.04966", "see the repository"),
        contrastive("SimCLR-v1", simclr, "Apache-2.0", **raw, **bicubic),
        contrastive(
            "SimCLR-v2", "Chen et al. 2020, arXiv 2006.10029", "Apache-2.0", **raw, **bicubic
        ),
        contrastive(
            "MoCo-v3",
            "Chen et al. 2021, arXiv 2104.02057",
            _NONCOMMERCIAL,
            vit={"position_resize": "antialias"},
        ),
        Method(
            name="BYOL",
            paradigm="non-contrastive",
            citation="Grill et al. 2020, arXiv 2006.07733",
            licence="Apache-2.0",
            **bicubic,
        ),
        Method(
            name="Barlow Twins",
            paradigm="non-contrastive",
            citation="Zbontar et al. 2021, arXiv 2103.03230",
            licence=_NONCOMMERCIAL,
        ),
        Method(
            name="VICReg",
            paradigm="non-contrastive",
            citation="Bardes et al. 2022, arXiv 2105.04906",
            licence="MIT",
        ),
        Method(
            name="SimSiam",
            paradigm="non-contrastive",
            citation="Chen and He 2021, arXiv 2011.10566",
            licence=_NONCOMMERCIAL,
        ),
        *(
            Method(
                name=name,
                paradigm="clustering",
                citation=swav,
                licence=_NONCOMMERCIAL,
                # The deviation of red in its own evaluation.
                std=(0.228, 0.224, 0.225),
            )
            for name in ("SwAV", "DeepCluster-v2", "SeLa-v2")
        ),
        Method(
            name="Supervised",
            paradigm="supervised",
            citation="He et al. 2016, arXiv 1512.03385; weights of torchvision",
            licence="BSD-3-Clause",
        ),
        Method(
            name="DINO",
            paradigm="non-contrastive",
            citation="Caron et al. 2021, arXiv 2104.14294",
            licence="Apache-2.0",
            vit={"position_resize": "offset"},
            **bicubic,
        ),
        Method(
            name="iBOT",
            paradigm="masked",
            citation="Zhou et al. 2022, arXiv 2111.07832",
            licence="Apache-2.0",
            vit={"position_resize": "offset"},
            **bicubic,
        ),
        Method(
            name="MSN",
            paradigm="masked",
            citation="Assran et al. 2022, arXiv 2204.07141",
            licence=_NONCOMMERCIAL,
        ),
        Method(
            name="MAE",
            paradigm="masked",
            citation="He et al. 2022, arXiv 2111.06377",
            licence=_NONCOMMERCIAL,
            **bicubic,
        ),
        Method(
            name="I-JEPA",
            paradigm="masked",
            citation="Assran et al. 2023, arXiv 2301.08243",
            licence=_NONCOMMERCIAL,
            **bicubic,
        ),
        Method(
            name="DINOv2",
            paradigm="non-contrastive",
            citation="Oquab et al. 2024, arXiv 2304.07193",
            licence="Apache-2.0",
            vit={"position_resize": "offset"},
            **bicubic,
        ),
        Method(
            name="DINOv2 with registers",
            paradigm="non-contrastive",
            citation="Darcet et al. 2024, arXiv 2309.16588",
            licence="Apache-2.0",
            vit={"position_resize": "antialias"},
            **bicubic,
        ),
        Method(
            name="DINOv3",
            paradigm="non-contrastive",
            citation="Siméoni et al. 2025, arXiv 2508.10104",
            licence="DINOv3 License",
            vit={"layer_norm_eps": 1e-5, "positions": "rope"},
            **bicubic,
        ),
        Method(
            name="CLIP",
            paradigm="language",
            citation="Radford et al. 2021, arXiv 2103.00020",
            licence="MIT",
            vit=clip_vit | {"gelu": "quick"},
            **clip,
        ),
        Method(
            name="OpenCLIP",
            paradigm="language",
            citation="Cherti et al. 2023, arXiv 2212.07143",
            licence="MIT",
            vit=clip_vit,
            **clip,
        ),
    ]
    return {method.name: method for method in listed}


# Every method by the name that its authors write.
METHODS: Mapping[str, Method] = MappingProxyType(_methods())
