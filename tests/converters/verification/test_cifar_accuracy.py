"""The real CIFAR ResNets with their own classifiers, converted, on real training images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm_converters import convert
from mgm_converters.verification.verify import TOLERANCE

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def images(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """4 000 images, uint8 [4000, 32, 32, 3], and their classes."""
    folder = shared_data / "images" / "cifar10_lossless"
    files = sorted(folder.glob("cifar10_batch_*.png"))
    # A row of a picture is an image.
    batches = [np.asarray(Image.open(file)).reshape(-1, 32, 32, 3) for file in files]
    labels = json.loads((folder / "labels_derived.json").read_text())["labels"]
    return np.concatenate(batches), np.asarray(labels)


@pytest.mark.parametrize(
    "name",
    [
        "resnet20-12fca82f",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("resnet32-d509ac18", "resnet44-014dd654", "resnet56-4bfd9763")
        ),
    ],
)
def test_at_least_995_of_1000_are_right(shared_data, images, name):
    file = shared_data / "checkpoints" / "resnet_cifar10_supervised" / f"{name}.th"
    # The other depths are compared at every tap in test_real_checkpoints; here the classifier is.
    smallest = name.startswith("resnet20")
    conversion = convert(file, head=True, verify=smallest)
    assert conversion.encoder.default_tap == "pool"
    checks = {check.tap: check.error for check in conversion.report.verification}
    assert not smallest or checks["logits"] <= TOLERANCE
    pixels, labels = images
    scores = np.asarray(conversion.encoder(pixels, "logits", batch_size=500))
    accuracy = float((scores.argmax(1) == labels).mean())
    assert accuracy >= 0.995, accuracy
