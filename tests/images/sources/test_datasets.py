"""Images that a program holds: arrays, tensors, and map-style data sets."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mgm_jax.errors import InputError
from mgm_jax.images import ImageChanged, canvases, open_source
from tests.images.pictures import random_pixels

PIXELS = np.stack([random_pixels(i, 6, 6) for i in range(5)])


def test_arrays_of_every_library_hold_the_same_images():
    source = open_source(PIXELS, labels=["b", "a", "b", "a", "a"], ids=list("vwxyz"), name="mine")
    assert source.ids == tuple("vwxyz") and source.labels.tolist() == [1, 0, 1, 0, 0]
    assert source.name == "mine" and open_source(source) is source
    plain = open_source(PIXELS)
    assert plain.ids == tuple("01234") and plain.classes == ()
    assert open_source(jnp.asarray(PIXELS)).digest == plain.digest
    torch = pytest.importorskip("torch")
    assert open_source(torch.tensor(PIXELS).permute(0, 3, 1, 2)).digest == plain.digest
    assert open_source(torch.tensor(PIXELS)).digest == plain.digest
    values = open_source(PIXELS, columns={"age": [1.0, 2, 3, 4, 5]})
    assert values.columns["age"].tolist() == [1, 2, 3, 4, 5] and values.digest == plain.digest
    with pytest.raises(InputError, match="labels must hold one an image, 5; got 2"):
        open_source(PIXELS, labels=[0, 1])
    with pytest.raises(InputError, match="distinct names"):
        open_source(PIXELS, ids=[1, 1, 2, 3, 4])
    with pytest.raises(InputError, match="column 'age' must have one value"):
        open_source(PIXELS, columns={"age": [1.0]})
    with pytest.raises(InputError, match="depth"):
        open_source(PIXELS, depth=2)


def test_items_are_pictures_arrays_tensors_or_bytes():
    torch = pytest.importorskip("torch")

    class Pets(torch.utils.data.Dataset):
        classes = ("dog", "cat")

        def __len__(self):
            return len(PIXELS)

        def __getitem__(self, i):
            return torch.tensor(PIXELS[i]).permute(2, 0, 1) / 255, torch.tensor(i % 2)

    source = open_source(Pets())
    assert [source.classes[label] for label in source.labels] == ["dog", "cat"] * 2 + ["dog"]
    pictures = open_source([Image.fromarray(one) for one in PIXELS])
    mappings = open_source([{"img": one, "label": None} for one in PIXELS])
    pairs = open_source(torch.utils.data.TensorDataset(torch.tensor(PIXELS).permute(0, 3, 1, 2)))
    for held in (source, pictures, mappings, pairs):
        assert held.fingerprints == pictures.fingerprints
        assert np.array_equal(held.read(3), PIXELS[3])
    assert pairs.classes == ()


def test_what_cannot_be_a_source_is_refused_by_name():
    rng = np.random.default_rng(0)

    class Random:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return rng.integers(0, 255, (4, 4), np.uint8)

    with pytest.raises(ImageChanged, match="random transforms"):
        # A data set that changes is an error also where bad images are left out.
        next(canvases(open_source(Random()), resize=4, batch_size=3, on_error="skip"))
    with pytest.raises(InputError, match="make a list"):
        open_source(iter(PIXELS))
    with pytest.raises(InputError, match="no items"):
        open_source([])
    with pytest.raises(InputError, match="they have pixels"):
        open_source([{"pixels": PIXELS[0]}])
    with pytest.raises(InputError, match="cannot be decoded"):
        open_source([b"none"])
    frame = pd.DataFrame({"image": list("ab")})
    with pytest.raises(InputError, match=r"got a DataFrame of pandas\. Pass its column"):
        open_source(frame)

    class Broken(Random):
        def __getitem__(self, i):
            raise OSError("truncated")

    with pytest.raises(InputError, match="image 0 cannot be read from the data set: OSError: trun"):
        open_source(Broken())
