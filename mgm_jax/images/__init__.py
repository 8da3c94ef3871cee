"""Images: where they come from, and the views of them that the encoders see.

The way of an image::

    source --read--> uint8 RGB --canvases--> uint8 [b, R, R, 3] --make_views--> float32 views
    (folder, arrays,  (decode)   (Grain: resize,                 (device: setting, strength,
     digits, patches, TFDS)       centre crop)                     seed, id, view number)
"""

from __future__ import annotations

from mgm_jax.images.cache import CACHE_LIMIT, CanvasCache
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.loader import CanvasBatch, canvases
from mgm_jax.images.settings import SETTINGS, Setting, find_setting, setting_from_config
from mgm_jax.images.sources.open_source import open_source
from mgm_jax.images.views import image_key, make_views

__all__ = [
    "CACHE_LIMIT",
    "SETTINGS",
    "CanvasBatch",
    "CanvasCache",
    "ImageSource",
    "Setting",
    "canvases",
    "find_setting",
    "image_key",
    "make_views",
    "open_source",
    "setting_from_config",
]
