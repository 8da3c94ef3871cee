"""What ``test_many_devices`` asks of simulated devices."""

from __future__ import annotations

import tempfile
from pathlib import Path

import jax
import numpy as np

from mgm_jax.embeddings import EmbeddingStore, ViewPlan, embed, manifest_for
from mgm_jax.encoders import Conv4Spec, Encoder, Preprocess, ViTSpec
from mgm_jax.encoders.untrained import random_state
from mgm_jax.images.settings import SETTINGS
from mgm_jax.images.sources.open_source import open_source
from mgm_jax.parallel.devices import default_mesh
from tests.launch import make_checks

SPECS = {
    "vit": ViTSpec(image_size=16, patch=8, embed_dim=16, layers=2, heads=2, mlp_dim=32),
    "conv4": Conv4Spec(channels=8, image_size=16),
}
# Thirteen images in chunks of five: no number of devices divides the batches.
PLAN = ViewPlan(indices=range(13), setting=SETTINGS["augs"], views=2, seed=3, chunk_images=5)


def fill(
    folder: Path, mesh: jax.sharding.Mesh | None, *, names: tuple[str, ...] = tuple(SPECS)
) -> dict[str, EmbeddingStore]:
    """Embed the plan with these encoders; a store for each."""
    source = open_source("digits")
    encoders = [
        Encoder.from_state(
            random_state(SPECS[name], seed=0),
            name=name,
            spec=SPECS[name],
            preprocess=Preprocess(size=16, resize=18),
        )
        for name in names
    ]
    stores = [
        EmbeddingStore.open(folder / one.name, manifest_for(one, source, PLAN)) for one in encoders
    ]
    report = embed(encoders, source, PLAN, stores, batch_views=4, devices=mesh)
    owned = [
        chunk
        for chunk in range(stores[0].manifest.chunks)
        if mesh is None or chunk % jax.process_count() == jax.process_index()
    ]
    assert report.rows_done == len(names) * sum(
        2 * len(PLAN.chunk_indices(chunk)) for chunk in owned
    )
    return {one.name: store for one, store in zip(encoders, stores, strict=True)}


def same_whatever_their_number() -> None:
    """One and eight devices fill stores with the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        expected = fill(Path(folder, "one"), None)
        for name, store in fill(Path(folder, "eight"), default_mesh()).items():
            np.testing.assert_array_equal(store.read(), expected[name].read(), err_msg=name)


if __name__ == "__main__":
    make_checks(same_whatever_their_number)
