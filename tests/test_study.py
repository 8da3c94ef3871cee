"""The study file: what is read, what is refused, and what its digest depends on."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks import study_keys
from mgm_jax.errors import InputError
from mgm_jax.study import Study, make_study, read_study

SMALL = {"encoders": [{"source": "pixels"}], "images": [{"source": "digits"}]}


def test_defaults_are_those_of_the_documentation() -> None:
    study = make_study(SMALL)
    assert study.semantic and study.augmentation is not None
    assert study.augmentation.settings == ("augs", "crop", "colorjitter", "rotation")
    assert (study.augmentation.images, study.augmentation.views) == (60, 32)
    assert study.metrics.k is None and study.metrics.kernel == "cosine"


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    views=st.integers(3, 500),
    strengths=st.lists(st.floats(0, 10), min_size=1, max_size=4, unique=True),
    name=st.text(max_size=30),
)
@example(seed=0, views=3, strengths=[1.0], name="a\x85b \u2028 é")
def test_yaml_round_trip_keeps_the_study(seed, views, strengths, name) -> None:
    study = make_study(
        SMALL
        | {
            "name": name,
            "seed": seed,
            "augmentation": {"views": views, "strengths": strengths, "settings": ["crop"]},
        }
    )
    again = Study.model_validate(yaml.safe_load(study.to_yaml()))
    assert again == study
    assert again.digest == study.digest


def test_digest_ignores_key_order_title_and_output_but_nothing_else() -> None:
    study = make_study(SMALL)
    assert make_study(dict(reversed(SMALL.items()))).digest == study.digest
    assert make_study(SMALL | {"name": "other", "output": "x"}).digest == study.digest
    assert make_study(SMALL | {"seed": 1}).digest != study.digest
    assert make_study(SMALL | {"metrics": {"k": 10}}).digest != study.digest


def test_a_number_of_seeds_stands_for_so_many_and_all_for_every_layer() -> None:
    entry = {"source": "resnet18", "init": "random", "seeds": 3, "taps": "all"}
    study = make_study(SMALL | {"encoders": [entry]})
    [made] = study.encoders
    assert made.seeds == (0, 1, 2) and made.taps == "all" and made.init == "random"
    again = Study.model_validate(yaml.safe_load(study.to_yaml()))
    assert again == study
    listed = make_study(SMALL | {"encoders": [entry | {"seeds": [0, 1, 2]}]})
    assert listed.digest == study.digest


def test_penalties_are_read_under_their_old_name_with_a_note() -> None:
    target = {"targets": [{"source": "digits"}]}
    named = make_study(SMALL | {"transfer": target | {"l2_penalties": 7}})
    with pytest.warns(FutureWarning, match=r"transfer\.strengths is called transfer\.l2_penalties"):
        old = make_study(SMALL | {"transfer": target | {"strengths": 7}})
    assert old == named and old.digest == named.digest
    # That of studies from before the name.
    assert named.digest[:16] == "2037d243b4266d8d"
    with pytest.raises(InputError, match="stands twice"):
        make_study(SMALL | {"transfer": target | {"strengths": 7, "l2_penalties": 7}})


def test_all_problems_are_named_at_once(tmp_path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "encoders: 3\nimages: [{source: digits, per_class: 0}]\nmetrics: {kernal: cosine}\n"
    )
    with pytest.raises(InputError) as caught:
        read_study(file)
    message = str(caught.value)
    for part in ("encoders", "images.0.per_class", "metrics.kernal", "problem(s)"):
        assert part in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not valid YAML"),
        ("- 1\n- 2\n", "expected a mapping"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path, text, said) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_study(file)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml"):
        read_study(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    "change",
    [
        {"augmentation": {"settings": ["semantic"]}},
        {"augmentation": {"strengths": [1.0, 1.0]}},
        {"augmentation": {"strengths": [-1.0]}},
        {"augmentation": None, "semantic": False},
        {"encoders": [{"source": "resnet18", "seeds": [1, 1]}]},
        {"encoders": [{"source": "resnet18", "seeds": 0}]},
        {"encoders": [{"source": "resnet18", "seeds": True}]},
        {"encoders": [{"source": "resnet18", "seeds": -3}]},
        {"encoders": [{"source": "resnet18", "init": "zero"}]},
        {"encoders": [{"source": "resnet18", "taps": "pool"}]},
        {"encoders": [{"source": "resnet18", "taps": ["pool", "pool"]}]},
        {"seed": -1},
        {"metrics": {"kernel": "gaussian", "bandwidth": 0}},
        {"metrics": {"kernel": "gaussian", "bandwidth": "scott"}},
    ],
)
def test_contradictions_are_refused(change) -> None:
    with pytest.raises(InputError):
        make_study(SMALL | change)


def test_the_page_of_the_keys_is_that_of_the_models() -> None:
    written = study_keys.PAGE.read_text(encoding="utf-8")
    assert written == study_keys.page(), "run: python -m benchmarks.study_keys"
    # Every key of every model has its line, with what its docstring says.
    for name in ("encoders", "per_class", "pca_threshold", "validation_share"):
        assert f"| `{name}` |" in written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metrics": {"kernal": "cosine"}}, "metrics.kernal: no such key; did you mean kernel?"),
        ({"encoders": [{"sorce": "pixels", "source": "pixels"}]}, "did you mean source?"),
        ({"transfer": {"targets": [{"source": "digits", "tset": "x"}]}}, "did you mean test?"),
        ({"zzz": 1}, "zzz: no such key; known are name, encoders, images"),
        ({"metrics": {"k": True}}, "metrics.k: .*switch"),
        ({"augmentation": {"strengths": [1.0, True]}}, "augmentation.strengths: .*switch"),
        ({"augmentation": {"strengths": [float("nan")]}}, "finite"),
    ],
)
def test_a_key_or_value_that_is_near_is_named(change, said) -> None:
    with pytest.raises(InputError, match=said):
        make_study(SMALL | change)


def test_anchors_are_read_and_a_key_of_each_mapping_counts_for_itself(tmp_path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "encoders: [&one {source: pixels, size: 8}, {<<: *one, size: 16}]\n"
        "images: [{source: digits}]\n"
    )
    study = read_study(file)
    assert [(one.source, one.size) for one in study.encoders] == [("pixels", 8), ("pixels", 16)]


def test_letters_that_json_writes_in_halves_are_whole(tmp_path) -> None:
    """A name of two halves could be written to no table."""
    file = tmp_path / "s.yaml"
    content = {
        "encoders": [{"source": "pixels", "name": "\U0001f41d"}],
        "images": [{"source": "d"}],
    }
    file.write_text(json.dumps(content))
    assert read_study(file).encoders[0].name == "\U0001f41d"
    file.write_text(file.read_text().replace("\\udc1d", ""))
    with pytest.raises(InputError, match="one half of a letter"):
        read_study(file)
