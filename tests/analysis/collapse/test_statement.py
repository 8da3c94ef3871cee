"""Are untrained encoders collapsed: verdicts, sentences, intervals and refusals."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest

from mgm_jax.analysis import Collapse, collapse_statement
from mgm_jax.analysis.collapse import families
from mgm_jax.analysis.collapse.wording import join_names
from mgm_jax.errors import InputError

SPREAD = 0.004


def tables(
    cosines: dict[str, float],
    *,
    seeds: int = 3,
    spread: float = SPREAD,
    paradigm: str = "untrained",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables ``groups`` and ``models`` of families with the given mean cosines."""
    generator = np.random.default_rng(0)
    models, groups = [], []
    for family, cosine in cosines.items():
        for seed in range(1 if family == "pixels" else seeds):
            encoder = f"{family}:seed={seed}"
            offset = spread * (seed - (seeds - 1) / 2) * (family != "pixels")
            models.append(
                {
                    "encoder": encoder,
                    "family": family,
                    "paradigm": paradigm if family != "pixels" else "unknown",
                    "images": "digits",
                    "tap": "pool",
                    "mean_cosine": cosine + offset,
                    "typical_distance": 1 - cosine,
                    "rankme": 100 * (1 - cosine) + seed,
                }
            )
            groups += [
                {
                    "encoder": encoder,
                    "images": "digits",
                    "setting": setting,
                    "tap": "pool",
                    "group": f"class{group}",
                    "nnk_diameter": 2 - 2 * cosine + 0.01 * group + 0.002 * generator.normal(),
                }
                for setting in ("semantic", "augs")
                for group in range(8)
            ]
    return pd.DataFrame(groups), pd.DataFrame(models)


def judge(cosines: dict[str, float], **options: float) -> Collapse:
    groups, models = tables(cosines, **options)  # pyright: ignore[reportArgumentType]
    return collapse_statement(groups, models, resamples=300)


@pytest.mark.parametrize(
    ("cosines", "claim", "headline"),
    [
        (
            {"resnet": 0.98, "vit": 0.4, "pixels": 0.5},
            "holds",
            "Untrained ResNet is collapsed, ViT is not: the paper’s third claim holds on digits.",
        ),
        (
            {"resnet": 0.98, "vit": 0.97, "conv4": 0.96, "pixels": 0.5},
            "fails",
            "Untrained ResNet, ViT and Conv4 are collapsed: the paper’s third claim does not hold "
            "on digits.",
        ),
        (
            {"resnet": 0.6, "vit": 0.4},
            "fails",
            "Untrained ResNet and ViT are not collapsed: the paper’s third claim does not hold on "
            "digits.",
        ),
        (
            {"resnet": 0.9, "vit": 0.4},
            "open",
            "Untrained ViT is not collapsed, ResNet is undecided: the paper’s third claim stays "
            "open on digits.",
        ),
        (
            {"conv4": 0.95},
            "untested",
            "Untrained Conv4 is collapsed: the paper’s third claim needs untrained ResNets and "
            "ViTs side by side.",
        ),
    ],
)
def test_every_way_it_can_come_out(cosines: dict[str, float], claim: str, headline: str):
    collapse = judge(cosines)
    assert collapse.claim == claim
    assert collapse.headline == headline


def test_values_are_the_means_of_the_tables():
    groups, models = tables({"resnet": 0.98, "vit": 0.4, "pixels": 0.5})
    collapse = collapse_statement(groups, models, resamples=300)
    semantic = groups[(groups["setting"] == "semantic") & groups["encoder"].str.startswith("vit")]
    vit = next(family for family in collapse.families if family.family == "vit")
    diameter = vit.measures["nnk_diameter"]
    assert diameter.value == pytest.approx(semantic["nnk_diameter"].mean(), rel=1e-12)
    assert (diameter.seeds, diameter.groups) == (3, 8)
    assert diameter.low < diameter.value < diameter.high
    assert vit.measures["mean_cosine"].value == pytest.approx(0.4)
    assert vit.seed_values["rankme"] == pytest.approx((60, 61, 62))


def test_statement_gives_numbers_intervals_and_the_control():
    statement = judge({"resnet": 0.98, "vit": 0.4, "pixels": 0.5}).statement
    assert statement.startswith("Two different images point the same way with a mean cosine of")
    assert "0.980 (95 % interval" in statement
    assert "for untrained ResNet (3 seeds)" in statement
    assert statement.endswith("and 0.500 for raw pixels.")


def test_a_cosine_short_of_one_does_not_read_one():
    statement = judge({"resnet": 0.99998, "vit": 0.4}, spread=1e-7).statement
    assert "0.99998" in statement
    assert "1.000" not in statement


def test_pixels_that_are_as_alike_leave_it_undecided():
    collapse = judge({"resnet": 0.95, "vit": 0.4, "pixels": 0.97})
    assert {family.family: family.verdict for family in collapse.families} == {
        "resnet": "undecided",
        "vit": "not collapsed",
        "pixels": "control",
    }
    assert collapse.claim == "open"


def test_intervals_stay_within_what_a_cosine_can_be():
    family = judge({"resnet": 0.99, "vit": 0.4}, spread=0.01).families[0]
    assert family.measures["mean_cosine"].high == 1.0


def test_differences_are_paired_and_signed():
    differences = judge({"resnet": 0.98, "vit": 0.4, "pixels": 0.5}).differences
    row = differences.query("measure == 'nnk_diameter' and family == 'resnet' and other == 'vit'")
    assert row["difference"].item() == pytest.approx(-1.16, abs=0.01)
    # The spread over groups is common to both families, so the difference hardly feels it.
    assert (row["high"] - row["low"]).item() < 0.02
    assert row["low"].item() < row["difference"].item() < row["high"].item()


def test_rows_in_any_order_give_the_same_result():
    groups, models = tables({"resnet": 0.98, "vit": 0.4, "pixels": 0.5})
    first = collapse_statement(groups, models, resamples=200)
    second = collapse_statement(
        groups.sample(frac=1, random_state=1), models.sample(frac=1, random_state=2), resamples=200
    )
    pd.testing.assert_frame_equal(first.to_pandas(), second.to_pandas())
    pd.testing.assert_frame_equal(first.differences, second.differences)
    assert first.statement == second.statement


def test_one_seed_and_one_group_have_no_interval():
    groups, models = tables({"resnet": 0.98, "vit": 0.4}, seeds=1)
    groups = groups[groups["group"] == "class0"]
    collapse = collapse_statement(groups, models, resamples=100)
    assert np.isnan(collapse.to_pandas()["low"]).all()
    assert collapse.claim == "holds"
    assert "interval" not in collapse.statement


def test_the_first_tap_of_an_encoder_counts():
    groups, models = tables({"resnet": 0.98, "vit": 0.4})
    other_models = models.assign(tap="stem", mean_cosine=0.1)
    other_groups = groups.assign(tap="stem", nnk_diameter=1.9)
    both = collapse_statement(
        pd.concat([other_groups, groups]), pd.concat([models, other_models]), resamples=100
    )
    alone = collapse_statement(groups, models, resamples=100)
    pd.testing.assert_frame_equal(both.to_pandas(), alone.to_pandas())


def test_an_image_set_can_be_chosen():
    groups, models = tables({"resnet": 0.98, "vit": 0.4})
    others = models.assign(images="other", mean_cosine=0.2)
    both = pd.concat([models, others])
    collapse = collapse_statement(groups, both, images="other", resamples=100)
    assert collapse.images == "other"
    assert {family.verdict for family in collapse.families} == {"not collapsed"}
    assert "nnk_diameter" not in collapse.families[0].measures
    with pytest.raises(InputError, match="expected one of digits, other, got 'none'"):
        collapse_statement(groups, both, images="none")


def test_refusals_name_what_is_missing():
    groups, models = tables({"resnet": 0.98, "vit": 0.4})
    with pytest.raises(InputError, match=r"models_df: .*missing mean_cosine"):
        collapse_statement(groups, models.drop(columns="mean_cosine"))
    with pytest.raises(InputError, match=r"groups_df: .*missing setting"):
        collapse_statement(groups.drop(columns="setting"), models)
    with pytest.raises(InputError, match="has the paradigm 'untrained'"):
        collapse_statement(*tables({"resnet": 0.98}, paradigm="supervised"))
    with pytest.raises(InputError, match="at least one row"):
        collapse_statement(groups, models.iloc[:0])


def test_notebook_form_and_table():
    collapse = judge({"resnet": 0.98, "vit": 0.4, "pixels": 0.5})
    assert collapse.headline in collapse._repr_html_()
    assert list(collapse.to_pandas()["family"].unique()) == ["resnet", "vit", "pixels"]


@pytest.mark.parametrize("resnet", ["resnet", "resnet18", "resnet_cifar", "wide_resnet50"])
@pytest.mark.parametrize("vit", ["vit", "vit_mini", "vit_s16"])
def test_families_may_be_named_after_architectures(resnet: str, vit: str):
    assert judge({resnet: 0.98, vit: 0.4}).claim == "holds"


def test_examples_run():
    result = doctest.testmod(families)
    assert (result.attempted, result.failed) == (2, 0)


def test_join_names():
    assert [join_names(n) for n in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
