"""Random crops, affine maps, deformations and flips."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgm_jax.errors import InputError
from mgm_jax.images.operations import Affine, Deform, Flip, ResizedCrop
from mgm_jax.images.transforms import centre_crop, flip

SIZE = 32


def boxes(crop: ResizedCrop, keys, *, whole: float = 1.0) -> np.ndarray:
    """Boxes ``[n, 4]`` of height, width, top and left."""
    return np.stack(jax.jit(jax.vmap(lambda key: crop._box(key, whole)))(keys), axis=-1)


def test_boxes_lie_inside_with_area_and_shape_as_asked(keys):
    drawn = boxes(ResizedCrop(scale=(0.3, 0.9), ratio=(0.5, 2.0)), keys(2000))
    height, width, top, left = drawn.T
    assert drawn.min() >= 0
    assert (top + height).max() <= 1 + 1e-6
    assert (left + width).max() <= 1 + 1e-6
    area, aspect = height * width, width / height
    assert area.min() >= 0.3 - 1e-5 and area.max() <= 0.9 + 1e-5
    assert aspect.min() >= 0.5 - 1e-4 and aspect.max() <= 2 + 1e-4


def test_boxes_are_distributed_as_those_of_torchvision(keys, torchvision):
    """Means of area, log aspect and free place, within five standard errors."""
    torch = pytest.importorskip("torch")
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(0)
    image = torch.zeros(3, 500, 500)
    theirs = [RandomResizedCrop.get_params(image, (0.2, 1.0), (3 / 4, 4 / 3)) for _ in range(2000)]
    top, left, height, width = np.array(theirs, float).T / 500
    ours = boxes(ResizedCrop(), keys(2000)).T
    for mine, other in (
        (ours[0] * ours[1], height * width),
        (np.log(ours[1] / ours[0]), np.log(width / height)),
        (ours[2] + ours[0] / 2, top + height / 2),
        (ours[3] + ours[1] / 2, left + width / 2),
    ):
        error = np.sqrt(mine.var() / mine.size + other.var() / other.size)
        assert abs(mine.mean() - other.mean()) < 5 * error
        assert mine.std() == pytest.approx(other.std(), rel=0.1)


def test_a_shape_that_never_fits_becomes_the_largest_box_in_the_middle(keys):
    drawn = boxes(ResizedCrop(scale=(1.0, 1.0), ratio=(2.0, 3.0)), keys(5))
    np.testing.assert_allclose(drawn, [[0.5, 1.0, 0.25, 0.0]] * 5, atol=1e-6)


@pytest.mark.parametrize(
    "operation",
    [
        ResizedCrop(),
        Affine(degrees=180.0, translate=0.3, scale=(0.5, 2.0), shear=20.0),
        Deform(),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_strength_leads_from_the_centre_crop_outwards(picture, keys, strengths, operation):
    """Nothing at strength 0; half of the strength stays nearer to the centre crop on average."""
    image = jnp.asarray(picture)
    plain = centre_crop(image, size=SIZE)
    view = jax.jit(
        jax.vmap(
            lambda key, strength: operation(key, image, strength=strength, size=SIZE),
            in_axes=(0, None),
        )
    )
    views = {name: view(keys(16), strength) for name, strength in strengths.items()}
    for untouched in views["none"]:
        np.testing.assert_allclose(untouched, plain, atol=1e-5)
    change = {name: float(jnp.abs(made - plain).mean()) for name, made in views.items()}
    assert 0 < change["half"] < change["full"]


@pytest.mark.parametrize("vertical", [False, True])
def test_flips_happen_as_often_as_asked(picture, keys, strengths, vertical):
    image = jnp.asarray(picture)
    operation = Flip(probability=0.3, vertical=vertical)
    flipped = flip(image, vertical=vertical)

    view = jax.jit(jax.vmap(lambda key, s: operation(key, image, strength=s), in_axes=(0, None)))

    def share(strength):
        views = view(keys(400), strength)
        is_flipped = (views == flipped).all((1, 2, 3))
        assert (is_flipped | (views == image).all((1, 2, 3))).all()
        return float(is_flipped.mean())

    assert share(strengths["none"]) == 0
    assert share(strengths["full"]) == pytest.approx(0.3, abs=0.1)
    assert share(jnp.float32(5.0)) == share(strengths["full"])


def test_displacements_have_the_size_asked_for(keys):
    """Read off a ramp, whose values tell where each pixel came from."""
    size = 48
    ramp = jnp.broadcast_to(jnp.arange(96.0)[:, None, None], (96, 96, 3))

    def moved(amount: float, smoothness: float) -> float:
        operation = Deform(amount=amount, smoothness=smoothness)
        view = jax.jit(
            jax.vmap(lambda key: operation(key, ramp, strength=jnp.float32(1.0), size=size))
        )
        views = view(keys(20))
        inner = (views - centre_crop(ramp, size=size))[:, 16:-16, 16:-16, 0]
        return float(jnp.sqrt((inner**2).mean()))

    assert moved(0.03, 0.06) == pytest.approx(0.03 * size, rel=0.2)
    assert moved(0.03, 0.12) == pytest.approx(0.03 * size, rel=0.3)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ResizedCrop(scale=(0.0, 1.0)), "scale"),
        (lambda: ResizedCrop(scale=(0.9, 0.2)), "rise"),
        (lambda: ResizedCrop(ratio=(1.0,)), "two numbers"),
        (lambda: Affine(degrees=-1.0), "degrees"),
        (lambda: Affine(scale=(0.0, 1.0)), "scale"),
        (lambda: Affine(shear=float("nan")), "shear"),
        (lambda: Deform(amount="much"), "amount"),
        (lambda: Flip(probability=1.5), "probability"),
        (lambda: Flip(vertical="yes"), "vertical"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(make, named):
    with pytest.raises(InputError, match=named):
        make()
