"""The spellings of weights that can be converted, one file each."""

from __future__ import annotations

from converters.naming.conv4_flat import CONV4_FLAT
from converters.naming.conv4_sequential import CONV4_SEQUENTIAL
from converters.naming.conv4_trunk import CONV4_TRUNK
from converters.naming.resnet_cifar import RESNET_CIFAR
from converters.naming.resnet_huggingface import RESNET_HUGGINGFACE
from converters.naming.resnet_torchvision import RESNET_TORCHVISION
from converters.naming.rules import Naming
from converters.naming.vit_huggingface import VIT_HUGGINGFACE, VIT_HUGGINGFACE_RECENT
from converters.naming.vit_timm import VIT_TIMM

NAMINGS: tuple[Naming, ...] = (
    CONV4_SEQUENTIAL,
    CONV4_FLAT,
    CONV4_TRUNK,
    RESNET_CIFAR,
    RESNET_TORCHVISION,
    RESNET_HUGGINGFACE,
    VIT_TIMM,
    VIT_HUGGINGFACE,
    VIT_HUGGINGFACE_RECENT,
)

__all__ = ["NAMINGS"]
