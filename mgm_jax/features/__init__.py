"""Features that were computed elsewhere: files of them, their images, and what stands for a model.

| file | what |
|---|---|
| ``files`` | arrays in files of many formats, read block by block |
| ``stated`` | ids and labels that lie beside features |
| ``images`` | which image a row belongs to: ids, labels, agreement between models |
| ``stored`` | features in the place of an encoder, and the copying of them into a store |
"""

from __future__ import annotations

from mgm_jax.features.files import SUFFIXES, FeatureFile, open_features, open_layers
from mgm_jax.features.images import feature_images, rows_of
from mgm_jax.features.stored import StoredFeatures, copy_features

__all__ = [
    "SUFFIXES",
    "FeatureFile",
    "StoredFeatures",
    "copy_features",
    "feature_images",
    "open_features",
    "open_layers",
    "rows_of",
]
