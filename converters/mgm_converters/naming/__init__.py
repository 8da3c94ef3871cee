"""The spellings of weights that can be converted, one file each."""

from __future__ import annotations

from mgm_converters.naming.clip import CLIP_HUGGINGFACE, CLIP_OPENAI
from mgm_converters.naming.conv4_flat import CONV4_FLAT
from mgm_converters.naming.conv4_sequential import CONV4_SEQUENTIAL
from mgm_converters.naming.conv4_trunk import CONV4_TRUNK
from mgm_converters.naming.convnext import CONVNEXT_NAMINGS
from mgm_converters.naming.dino_huggingface import DINOV2_NAMINGS, DINOV3_NAMINGS
from mgm_converters.naming.eva import EVA02
from mgm_converters.naming.mobilenet import MOBILENET_NAMINGS
from mgm_converters.naming.resnet_cifar import RESNET_CIFAR
from mgm_converters.naming.resnet_cifar100 import RESNET_CIFAR100
from mgm_converters.naming.resnet_haiku import RESNET_HAIKU
from mgm_converters.naming.resnet_huggingface import RESNET_HUGGINGFACE
from mgm_converters.naming.resnet_sequential import RESNET_SEQUENTIAL
from mgm_converters.naming.resnet_simclr_v2 import RESNET_SIMCLR_V2
from mgm_converters.naming.resnet_torchvision import RESNET_TORCHVISION
from mgm_converters.naming.rules import Naming
from mgm_converters.naming.siglip import SIGLIP_HUGGINGFACE
from mgm_converters.naming.swin import SWIN_NAMINGS
from mgm_converters.naming.vit_flax import VIT_FLAX
from mgm_converters.naming.vit_huggingface import VIT_HUGGINGFACE, VIT_HUGGINGFACE_RECENT
from mgm_converters.naming.vit_openmmlab import VIT_OPENMMLAB
from mgm_converters.naming.vit_timm import VIT_CHUNKED, VIT_TIMM
from mgm_converters.naming.vit_torchvision import VIT_TORCHVISION

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
