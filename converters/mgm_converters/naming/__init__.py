"""The spellings of weights that can be converted, one file each."""

from __future__ import annotations

from mgm_converters.naming.conv4.flat import CONV4_FLAT
from mgm_converters.naming.conv4.sequential import CONV4_SEQUENTIAL
from mgm_converters.naming.conv4.trunk import CONV4_TRUNK
from mgm_converters.naming.convnext import CONVNEXT_NAMINGS
from mgm_converters.naming.mobilenet import MOBILENET_NAMINGS
from mgm_converters.naming.resnet.cifar import RESNET_CIFAR
from mgm_converters.naming.resnet.cifar100 import RESNET_CIFAR100
from mgm_converters.naming.resnet.haiku import RESNET_HAIKU
from mgm_converters.naming.resnet.huggingface import RESNET_HUGGINGFACE
from mgm_converters.naming.resnet.sequential import RESNET_SEQUENTIAL
from mgm_converters.naming.resnet.simclr_v2 import RESNET_SIMCLR_V2
from mgm_converters.naming.resnet.torchvision import RESNET_TORCHVISION
from mgm_converters.naming.rules import Naming
from mgm_converters.naming.swin import SWIN_NAMINGS
from mgm_converters.naming.vit.clip import CLIP_HUGGINGFACE, CLIP_OPENAI
from mgm_converters.naming.vit.dino_huggingface import DINOV2_NAMINGS, DINOV3_NAMINGS
from mgm_converters.naming.vit.eva import EVA02
from mgm_converters.naming.vit.flax import VIT_FLAX
from mgm_converters.naming.vit.huggingface import VIT_HUGGINGFACE, VIT_HUGGINGFACE_RECENT
from mgm_converters.naming.vit.openmmlab import VIT_OPENMMLAB
from mgm_converters.naming.vit.siglip import SIGLIP_HUGGINGFACE
from mgm_converters.naming.vit.timm import VIT_CHUNKED, VIT_TIMM
from mgm_converters.naming.vit.torchvision import VIT_TORCHVISION

NAMINGS: tuple[Naming, ...] = (
    CONV4_SEQUENTIAL,
    CONV4_FLAT,
    CONV4_TRUNK,
    RESNET_CIFAR,
    RESNET_TORCHVISION,
    *RESNET_SEQUENTIAL,
    RESNET_CIFAR100,
    RESNET_HUGGINGFACE,
    RESNET_SIMCLR_V2,
    RESNET_HAIKU,
    *CONVNEXT_NAMINGS,
    *SWIN_NAMINGS,
    *MOBILENET_NAMINGS,
    EVA02,
    SIGLIP_HUGGINGFACE,
    VIT_FLAX,
    VIT_TIMM,
    VIT_CHUNKED,
    VIT_TORCHVISION,
    VIT_OPENMMLAB,
    VIT_HUGGINGFACE,
    VIT_HUGGINGFACE_RECENT,
    *DINOV2_NAMINGS,
    *DINOV3_NAMINGS,
    CLIP_OPENAI,
    CLIP_HUGGINGFACE,
)

__all__ = ["NAMINGS"]
