"""Images: where they come from, and the views of them that the encoders see.

The way of an image::

    source --read--> uint8 RGB --canvases--> uint8 [b, R, R, 3] --make_views--> float32 views
    (files, arrays,   (decode)   (threads: resize,               (device: setting, strength,
     built in, TFDS)              centre crop)                     seed, id, view number)

``sources`` holds the ways in, one file each, ``sources/files`` what folders and archives share and
``sources/tables`` what tables do;
``image_source`` is what every one of them opens to; ``decoding`` makes pixels of one picture, and
says which are read and how large they may be. ``loader`` makes canvases of many and ``cache`` keeps
them.
``settings`` are lists of ``operations``, the random steps of a view; ``transforms`` the arithmetic
behind those, ``own_transforms`` how a user adds one. ``views`` draws and makes them, ``look`` shows
them.
"""

from __future__ import annotations

from mgm_jax.images.cache import CACHE_LIMIT, CanvasCache
from mgm_jax.images.decoding.limits import Limits
from mgm_jax.images.image_source import ImageChanged, ImageSource, PassedOver
from mgm_jax.images.loader import CanvasBatch, canvases
from mgm_jax.images.own_transforms import register_transform, transforms_from
from mgm_jax.images.settings import SETTINGS, Setting, find_setting, setting_from_config
from mgm_jax.images.sources.open_source import open_source
from mgm_jax.images.sources.tables.fields import Fields
from mgm_jax.images.views import image_key, make_views

__all__ = [
    "CACHE_LIMIT",
    "SETTINGS",
    "CanvasBatch",
    "CanvasCache",
    "Fields",
    "ImageChanged",
    "ImageSource",
    "Limits",
    "PassedOver",
    "Setting",
    "canvases",
    "find_setting",
    "image_key",
    "make_views",
    "open_source",
    "register_transform",
    "setting_from_config",
    "transforms_from",
]
