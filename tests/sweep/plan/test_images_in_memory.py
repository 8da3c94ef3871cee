"""A study of images that a program holds: the numbers of the same images in a folder."""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image

import mgm_jax as mgm
from tests.images.pictures import random_pixels, write_picture

PIXELS = np.stack([random_pixels(i, 8, 8) for i in range(24)])
LABELS = [f"{i % 2}" for i in range(24)]
OPTIONS = {"settings": [], "metrics": {"k": 5, "resamples": 100}}


def test_arrays_and_data_sets_measure_as_their_files_do(tmp_path):
    for i, pixels in enumerate(PIXELS):
        write_picture(tmp_path / "set" / LABELS[i] / f"{i:02d}.png", pixels)
    ids = [f"{label}/{i:02d}.png" for i, label in enumerate(LABELS)]
    order = np.argsort(ids)
    encoders = [{"pixels": "pixels"}, ["pixels"]]
    items = [(Image.fromarray(PIXELS[i]), LABELS[i]) for i in order]
    result = [
        mgm.study(encoders=encoders[0], images=images, out=tmp_path / str(n), **more, **OPTIONS)
        for n, (images, more) in enumerate(
            (
                (tmp_path / "set", {}),
                (PIXELS[order], {"labels": [LABELS[i] for i in order]}),
                ({"set": items}, {}),
            )
        )
    ]
    first = result[0].summary.drop(columns="images")
    for other in result[1:]:
        pd.testing.assert_frame_equal(other.summary.drop(columns="images"), first)
    assert set(result[2].summary["images"]) == {"set"}
    # What is done is not done again: the content is the identity, not the object.
    again = mgm.study(
        encoders=encoders[0], images={"set": list(items)}, out=tmp_path / "2", **OPTIONS
    )
    pd.testing.assert_frame_equal(again.summary, result[2].summary)
