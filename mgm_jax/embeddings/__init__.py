"""Embeddings of views of images: computed once, kept on the disk, safe against being killed.

``manifest`` says what a store holds, ``commits`` which of its chunks are finished, ``store`` reads
and writes them; ``plan`` says which views of which images are wanted, ``embed`` computes them.
"""

from mgm_jax.embeddings.embed import EmbedReport, embed
from mgm_jax.embeddings.failure import ChunkLost, EncoderFailure
from mgm_jax.embeddings.manifest import Manifest, StoreDtype, library_versions
from mgm_jax.embeddings.plan import ViewPlan, manifest_for
from mgm_jax.embeddings.store import EmbeddingStore, set_aside_damaged

__all__ = [
    "ChunkLost",
    "EmbedReport",
    "EmbeddingStore",
    "EncoderFailure",
    "Manifest",
    "StoreDtype",
    "ViewPlan",
    "embed",
    "library_versions",
    "manifest_for",
    "set_aside_damaged",
]
