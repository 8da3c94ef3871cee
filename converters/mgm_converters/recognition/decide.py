"""What a checkpoint is: its spec, its method of training, its input, and how each is known.

Every source gives its ``Evidence`` (:mod:`mgm_converters.recognition.evidence`), and to each
question the first is heard that answers it:

1. what the user says;
2. the published encoder whose file this is: as the user names it, by its SHA-256, else by its name
   where weights fit;
3. what the file itself states;
4. the settings that lie beside the weights;
5. what names, shapes and keys show;
6. the spelling alone: a guess, and marked as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mgm_converters.naming.mobilenet import EFFICIENTNET_PYTORCH
from mgm_converters.naming.resnet.haiku import RESNET_HAIKU
from mgm_converters.naming.vit.flax import VIT_FLAX
from mgm_converters.recognition.architecture import infer_spec, named_spec
from mgm_converters.recognition.evidence.file import FileStatement
from mgm_converters.recognition.evidence.guesses import (
    guess_paradigm,
    guess_preprocess,
    never_trained,
)
from mgm_converters.recognition.evidence.record import Evidence, first
from mgm_converters.recognition.evidence.settings import Settings
from mgm_converters.recognition.evidence.traces import (
    Traces,
    by_file_name,
    by_sha256,
    doubt_about,
    heads_of_fixed_positions,
    likely_methods,
)
from mgm_converters.recognition.evidence.user import UserStatement
from mgm_jax.encoders import (
    CifarResNetSpec,
    EncoderSpec,
    MobileNetSpec,
    Preprocess,
    ResNetSpec,
    ViTSpec,
    check_state,
)
from mgm_jax.encoders.catalogue.methods import Method
from mgm_jax.encoders.catalogue.published import PUBLISHED, Published
from mgm_jax.encoders.catalogue.registry import TENSORFLOW_EPS
from mgm_jax.encoders.networks.vit.positions import default_periods
from mgm_jax.errors import InputError

State = dict[str, np.ndarray]

# DINOv2 was trained on 518 pixels at the very end and is evaluated on 224.
_TRAINED, _EVALUATED = 518, 224


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a checkpoint is.

    Attributes:
        spec: of the encoder.
        state: canonical weights, completed by what no file needs to hold.
        preprocess: the input.
        paradigm: kind of training.
        statement: what the file says of itself; blank where a published encoder is surer.
        method: name of the method, several joined by "or"; empty where nothing tells.
        published: name of the published encoder; empty where it is none, or not known to be one.
        known: how ``published`` is known.
        doubt: what the file leaves open, what was assumed and how to say better; may be empty.
        heads_doubt: the same of the attention heads alone.
    """

    spec: EncoderSpec
    state: State
    preprocess: Preprocess
    paradigm: str
    statement: FileStatement
    method: str = ""
    published: str = ""
    known: str = ""
    doubt: str = ""
    heads_doubt: str = ""


def decide(
    state: State,
    traces: Traces,
    *,
    model: str | None,
    settings: Settings | None,
    statement: FileStatement,
    file_name: str,
    stem: str,
    sha256: str,
    padding: str | None = None,
    given: Preprocess | None = None,
    user: UserStatement | None = None,
) -> Decision:
    """Decide what a checkpoint is.

    Args:
        state: canonical weights.
        traces: what the file shows of its training.
        model: name of an architecture or of a published encoder, where the user gave one.
        settings: that lie beside the weights.
        statement: what the file says of itself.
        file_name: of the checkpoint.
        stem: the same without the endings of checkpoints.
        sha256: of the checkpoint.
        padding: of a ResNet, where the user gave one.
        given: the input, where the user gave all of it.
        user: what else the user says of the encoder.

    Raises:
        InputError: a spec that does not follow from the weights, or weights that do not fit it.
    """
    user = user or UserStatement()
    if statement.names_training or user.method:
        # A name that somebody gave to the file proves nothing against that.
        file_name = stem = ""
    one, known = _published(state, model=model, file_name=file_name, sha256=sha256)
    family = traces.naming.family
    user.check_heads(family, state)
    stated = statement if one is None else FileStatement()
    evidence = [
        user.evidence(),
        _of_published(one),
        # The method that the user names brings its own input.
        stated.evidence() if not user.method else replace(stated.evidence(), preprocess=None),
        _of_settings(settings, model=model),
    ]
    heads = Evidence()
    if one is not None or model is not None:
        spec = named_spec(one.name if one is not None else str(model), state)
        evidence.append(likely_methods(traces, spec, stem=stem))
        methods = first(evidence, "methods").methods or ()
    else:
        statement.check_heads(family, state)
        evidence.append(heads_of_fixed_positions(state, traces))
        heads = first(evidence, "heads")
        spec = infer_spec(family, state, prefix=traces.prefix, heads=heads.heads)
        evidence.append(likely_methods(traces, spec, stem=stem))
        methods = first(evidence, "methods").methods or ()
        # Of a method the file names, it says itself what its network has.
        if traces.naming is VIT_FLAX and isinstance(spec, ViTSpec):
            # Flax's own GELU, with which both code bases train.
            spec = replace(spec, gelu="tanh")
        by_file = statement.names_training and not user.method
        spec = _with_facts(spec, () if by_file else methods, settings)
    spec = _padded(user.with_heads(spec), traces, padding)
    preprocess = given or _of_channels(
        first(evidence, "preprocess").preprocess or _usual_input(spec, traces, methods), spec
    )
    preprocess = user.with_input(preprocess)
    if not isinstance(spec, ViTSpec):
        # Convolutions take any size; windows do where they stay what they are.
        resized = replace(spec, image_size=preprocess.size)
        spec = resized if resized.weight_shapes == spec.weight_shapes else spec
    state = _completed(spec, state, settings)
    check_state(spec, state)
    input_is_known = one or stated.preprocess or (settings and settings.preprocess)
    return Decision(
        spec=spec,
        state=state,
        preprocess=preprocess,
        paradigm=first(evidence, "paradigm").paradigm or _paradigm(traces, methods, state),
        method=first(evidence, "method").method or " or ".join(method.name for method in methods),
        published=one.name if one else "",
        known=known,
        doubt="" if input_is_known or user.evidence().methods else _doubt(methods, spec, statement),
        heads_doubt=heads.doubt,
        statement=stated,
    )


def _of_published(one: Published | None) -> Evidence:
    if one is None:
        return Evidence()
    return Evidence(methods=(one.method,), preprocess=one.preprocess)


def _of_settings(settings: Settings | None, *, model: str | None) -> Evidence:
    if settings is None:
        return Evidence()
    # The architecture that the user names need not be the one that the settings are of.
    return settings.evidence() if model is None else replace(settings.evidence(), methods=None)


def _doubt(methods: tuple[Method, ...], spec: EncoderSpec, statement: FileStatement) -> str:
    if not statement.names_training:
        return doubt_about(methods, spec)
    if methods or not isinstance(spec, ResNetSpec | ViTSpec):
        return ""
    return (
        "the file does not state its input; ImageNet mean and deviation were assumed (--mean, "
        "--std)"
    )


def _published(
    state: State, *, model: str | None, file_name: str, sha256: str
) -> tuple[Published | None, str]:
    if model is not None:
        return PUBLISHED.get(model), "as named"
    certain = by_sha256(sha256)
    if certain is not None:
        return certain, "by its SHA-256"
    likely = by_file_name(file_name) if file_name else None
    if likely is None:
        return None, ""
    try:
        # Anybody may give a file this name: the weights have to fit as well.
        spec = named_spec(likely.name, state)
        check_state(spec, _completed(spec, state, None))
    except InputError:
        return None, ""
    return likely, "by the name of its file"


def _with_facts(
    spec: EncoderSpec, methods: tuple[Method, ...], settings: Settings | None
) -> EncoderSpec:
    """The spec with what the method and the settings fix."""
    if not isinstance(spec, ViTSpec):
        return spec
    if methods:
        spec = methods[0].apply(spec)
        if methods[0].name == "MSN":
            # It is read in front of the final norm.
            spec = replace(spec, feature=f"blocks.{spec.layers - 1}")
    if settings is not None:
        spec = replace(spec, **settings.vit)
    return spec


def _padded(spec: EncoderSpec, traces: Traces, padding: str | None) -> EncoderSpec:
    if traces.naming is EFFICIENTNET_PYTORCH and isinstance(spec, MobileNetSpec):
        spec = replace(spec, batch_norm_eps=TENSORFLOW_EPS)
    if padding is None and traces.naming in (RESNET_HAIKU, EFFICIENTNET_PYTORCH):
        # Weights in their original form keep their original padding.
        padding = "tf-same"
    if padding is None:
        return spec
    if not isinstance(spec, ResNetSpec | MobileNetSpec):
        raise InputError(
            f"padding: only a ResNet and a MobileNet have one to choose, this is a {spec.family}"
        )
    return replace(spec, padding=padding)  # type: ignore[arg-type]


def _usual_input(spec: EncoderSpec, traces: Traces, methods: tuple[Method, ...]) -> Preprocess:
    """The input that the method takes, else that of most networks in this spelling."""
    cifar = isinstance(spec, ResNetSpec) and spec.stem == "cifar"
    if methods and not isinstance(spec, CifarResNetSpec) and not cifar:
        size = _EVALUATED if spec.image_size == _TRAINED else spec.image_size
        return methods[0].preprocess(size)
    return guess_preprocess(traces.naming, spec, facts=traces.facts)


def _of_channels(preprocess: Preprocess, spec: EncoderSpec) -> Preprocess:
    """The input with one value of mean and deviation where the network takes grey images."""
    if spec.image_channels == len(preprocess.mean):
        return preprocess
    mean, std = (sum(values) / len(values) for values in (preprocess.mean, preprocess.std))
    return replace(preprocess, mean=(round(mean, 6),), std=(round(std, 6),))


def _paradigm(traces: Traces, methods: tuple[Method, ...], state: State) -> str:
    kinds = {method.paradigm for method in methods}
    if len(kinds) > 1:
        return "unknown"
    kind = (
        kinds.pop()
        if kinds
        else guess_paradigm(
            traces.naming, prefix=traces.prefix, facts=traces.facts, dropped=traces.names
        )
    )
    # What speaks for supervision is a classifier, which networks have before any training.
    return "untrained" if kind == "supervised" and never_trained(state) else kind


def _completed(
    spec: EncoderSpec, state: Mapping[str, np.ndarray], settings: Settings | None
) -> State:
    """The weights with the periods of rotary positions, which some files leave to a formula."""
    completed = dict(state)
    if isinstance(spec, ViTSpec) and spec.positions == "rope" and "rope_periods" not in completed:
        base = settings.rope_base if settings else 100.0
        completed["rope_periods"] = default_periods(spec.head_dim, base=base)
    return completed
