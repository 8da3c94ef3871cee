"""Transforms of one's own, and the views that an encoder would get."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import mgm_jax as mgm
from mgm_jax.cli.commands.plan import plan
from mgm_jax.errors import InputError
from mgm_jax.images import SETTINGS, open_source, setting_from_config, transforms_from
from mgm_jax.images.operations import OPERATIONS

MODULE = """
import mgm_jax as mgm

@mgm.register_transform("{name}")
def dim(key, image, strength):
    return image * (1 - {share} * strength)
"""


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = dict(OPERATIONS), dict(SETTINGS)
    yield tmp_path
    for table, before in zip((OPERATIONS, SETTINGS), known, strict=True):
        table.clear()
        table.update(before)


def test_a_module_registers_a_transform_whose_code_is_its_identity(in_folder, monkeypatch):
    digests = []
    for share in (0.5, 0.25):
        (in_folder / f"mine_{digests.__len__()}.py").write_text(
            MODULE.format(name="dimmed", share=share)
        )
        transforms_from(f"mine_{len(digests)}")
        digests.append(SETTINGS["dimmed"].digest)
    assert len(set(digests)) == 2
    plain = mgm.views("digits", "semantic", size=8, count=2)
    dimmed = mgm.views("digits", "dimmed", views=1, size=8, count=2)
    np.testing.assert_allclose(dimmed, 0.75 * plain, atol=1e-6)
    own = setting_from_config("both", ["dimmed", "flip"])
    none = mgm.views("digits", own, views=2, size=8, count=2, strength=0)
    np.testing.assert_allclose(none[:, 1:], plain, atol=1e-6)
    (in_folder / "empty.py").write_text("")
    for module, problem in (("empty", "registers no transform"), ("absent", "No module")):
        with pytest.raises(InputError, match=problem):
            transforms_from(module)
    (in_folder / "study.yaml").write_text(
        "encoders: [{source: pixels, size: 8}]\nimages: [{source: digits}]\n"
        "augmentation: {settings: [dimmed], images: 2, views: 3}\n"
    )
    SETTINGS.pop("dimmed"), OPERATIONS.pop("dimmed")
    with pytest.raises(InputError, match="registers no transform"):
        plan(Path("study.yaml"), "out", transforms_from=["empty"])
    with pytest.raises(InputError, match="dimmed"):
        plan(Path("study.yaml"), "out", trial=False)
    # As --transforms-from does for `mgm run`: what it registers is known to the plan.
    monkeypatch.delitem(sys.modules, "mine_1")
    plan(Path("study.yaml"), "out", trial=False, transforms_from=["mine_1"])
    assert "dimmed" in SETTINGS
    with pytest.raises(InputError, match="built-in"):
        mgm.register_transform("flip")(lambda key, image, strength: image)
    with pytest.raises(InputError, match="class or a function"):
        mgm.register_transform("x")(3)


@pytest.mark.slow
def test_views_do_not_depend_on_how_many_are_asked_for():
    source = open_source("digits")
    many = mgm.views(source, "augs", views=3, size=8, count=20)
    few = mgm.views(source.subset([17]), "augs", views=2, size=8)
    assert many.shape == (20, 3, 8, 8, 3) and few.dtype == np.float32
    np.testing.assert_allclose(few[0], many[17, :2], atol=1e-6)
    with pytest.raises(InputError, match="views must be at least 1"):
        mgm.views(source, views=0)
