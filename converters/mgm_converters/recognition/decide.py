"""What a checkpoint is: its spec, its method of training, its input, and how each is known.

The evidence, the surest first:

1. what the user says (:mod:`said`), and the published encoder that the user names;
2. the published encoder whose file this is, by its SHA-256, else by its name where weights fit;
3. what the file itself states (:mod:`stated`, :mod:`trainings`);
4. the settings that lie beside the weights (:mod:`config`);
5. what names, shapes and keys show (:mod:`identify`), else the spelling alone
   (:mod:`provenance`): a guess, and marked as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mgm_converters.naming.resnet_haiku import RESNET_HAIKU
from mgm_converters.naming.vit_flax import VIT_FLAX
from mgm_converters.recognition.architecture import infer_spec, named_spec
from mgm_converters.recognition.config import Config
from mgm_converters.recognition.identify import (
    Traces,
    by_file_name,
    by_sha256,
    by_stem,
    doubt,
    identify,
)
from mgm_converters.recognition.positions import are_fixed
from mgm_converters.recognition.provenance import (
    guess_paradigm,
    guess_preprocess,
    never_trained,
)
from mgm_converters.recognition.said import Said
from mgm_converters.recognition.stated import Stated
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
        stated: what the file says of itself; blank where a published encoder is surer.
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
    stated: Stated
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
    config: Config | None,
    stated: Stated,
    file_name: str,
    stem: str,
    sha256: str,
    padding: str | None = None,
    given: Preprocess | None = None,
    said: Said | None = None,
) -> Decision:
    """Decide what a checkpoint is.

    Args:
        state: canonical weights.
        traces: what the file shows of its training.
        model: name of an architecture or of a published encoder, where the user gave one.
        config: settings beside the weights.
        stated: what the file says of itself.
        file_name: of the checkpoint.
        stem: the same without the endings of checkpoints.
        sha256: of the checkpoint.
        padding: of a ResNet, where the user gave one.
        given: the input, where the user gave all of it.
        said: what else the user says of the encoder.

    Raises:
        InputError: a spec that does not follow from the weights, or weights that do not fit it.
    """
    said = said or Said()
    if stated.names_training or said.method:
        # A name that somebody gave to the file proves nothing against that.
        file_name = stem = ""
    one, known = _published(state, model=model, file_name=file_name, sha256=sha256)
    heads_doubt = ""
    said.check_heads(traces.naming.family, state)
    if one is not None:
        spec, methods = named_spec(one.name, state), (one.method,)
    elif model is not None:
        spec = named_spec(model, state)
        methods = said.methods or _methods(traces, spec, None, stated, stem=stem)
    else:
        stated.check_heads(traces.naming.family, state)
        heads = said.heads or stated.heads or (config.heads if config else None)
        if heads is None:
            heads, heads_doubt = _heads_of_fixed_positions(state, traces)
        spec = infer_spec(traces.naming.family, state, prefix=traces.prefix, heads=heads)
        methods = said.methods or _methods(traces, spec, config, stated, stem=stem)
        # Of a method the file names, it says itself what its network has.
        if traces.naming is VIT_FLAX and isinstance(spec, ViTSpec):
            # Flax's own GELU, with which both code bases train.
            spec = replace(spec, gelu="tanh")
        spec = _with_facts(
            spec, () if stated.names_training and not said.method else methods, config
        )
    spec = said.with_heads(spec)
    spec = _padded(spec, traces, padding)
    told = Stated() if said.method else stated
    guessed = given or _of_channels(_preprocess(spec, traces, one, methods, config, told), spec)
    preprocess = said.with_input(guessed)
    if not isinstance(spec, ViTSpec):
        # Convolutions take any size; windows do where they stay what they are.
        resized = replace(spec, image_size=preprocess.size)
        spec = resized if resized.weight_shapes == spec.weight_shapes else spec
    state = _completed(spec, state, config)
    check_state(spec, state)
    told = stated if one is None else Stated()
    sure = one or stated.preprocess or (config and config.preprocess)
    return Decision(
        spec=spec,
        state=state,
        preprocess=preprocess,
        paradigm=said.paradigm or told.paradigm or _paradigm(traces, methods, state),
        method=said.method or told.method or " or ".join(method.name for method in methods),
        published=one.name if one else "",
        known=known,
        doubt="" if sure or said.methods else _doubt(methods, spec, stated),
        heads_doubt=heads_doubt,
        stated=told,
    )


def _methods(
    traces: Traces, spec: EncoderSpec, config: Config | None, stated: Stated, *, stem: str
) -> tuple[Method, ...]:
    """The published methods that it may be of, the likeliest first."""
    if stated.names_training:
        return (stated.known_method,) if stated.known_method else ()
    if config is not None and config.method is not None:
        return (config.method,)
    return _narrowed(identify(traces, spec), spec, stem=stem)


def _doubt(methods: tuple[Method, ...], spec: EncoderSpec, stated: Stated) -> str:
    if not stated.names_training:
        return doubt(methods, spec)
    if methods or not isinstance(spec, ResNetSpec | ViTSpec):
        return ""
    return (
        "the file does not state its input; ImageNet mean and deviation were assumed (--mean, "
        "--std)"
    )


# MoCo-v3 gave its small ViT twice the usual heads, and all of its ViTs fixed positions.
_SMALL, _SMALL_HEADS, _USUAL_HEADS = 384, 12, 6


def _heads_of_fixed_positions(state: State, traces: Traces) -> tuple[int | None, str]:
    """The heads of MoCo-v3's small ViT, where its positions are found, and the doubt about them."""
    positions, kernel = state.get("pos_embed"), state.get("patch_embed.proj.weight")
    if positions is None or kernel is None or len(kernel) != _SMALL:
        return None, ""
    decoded = traces.has(r"decoder\w*|mask_token")
    if traces.behind("base_encoder") or traces.behind("momentum_encoder") or decoded:
        return None, ""
    if not are_fixed(positions):
        return None, ""
    return _SMALL_HEADS, (
        f"no weight reveals the attention heads; the positions are fixed sines, as in MoCo-v3's "
        f"small ViT, so its {_SMALL_HEADS} heads were taken and not the usual {_USUAL_HEADS} of "
        f"this width; say it where that is wrong: --heads {_USUAL_HEADS}"
    )


def _narrowed(methods: tuple[Method, ...], spec: EncoderSpec, *, stem: str) -> tuple[Method, ...]:
    """The one method that the file's name speaks for, where nothing in the file speaks against."""
    # A ViT's method also decides its network, which a name alone must not.
    named = by_stem(stem)
    if named is None or not isinstance(spec, ResNetSpec):
        return methods
    return (named,) if not methods or named in methods else methods


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
    spec: EncoderSpec, methods: tuple[Method, ...], config: Config | None
) -> EncoderSpec:
    """The spec with what the method and the settings fix."""
    if not isinstance(spec, ViTSpec):
        return spec
    if methods:
        spec = methods[0].apply(spec)
        if methods[0].name == "MSN":
            # It is read in front of the final norm.
            spec = replace(spec, feature=f"blocks.{spec.layers - 1}")
    if config is not None:
        spec = replace(spec, **config.vit)
    return spec


def _padded(spec: EncoderSpec, traces: Traces, padding: str | None) -> EncoderSpec:
    if padding is None and traces.naming is RESNET_HAIKU:
        # Weights in their original form keep their original padding.
        padding = "tf-same"
    if padding is None:
        return spec
    if not isinstance(spec, ResNetSpec | MobileNetSpec):
        raise InputError(
            f"padding: only a ResNet and a MobileNet have one to choose, this is a {spec.family}"
        )
    return replace(spec, padding=padding)  # type: ignore[arg-type]


def _preprocess(
    spec: EncoderSpec,
    traces: Traces,
    one: Published | None,
    methods: tuple[Method, ...],
    config: Config | None,
    stated: Stated,
) -> Preprocess:
    if one is not None:
        return one.preprocess
    if stated.preprocess is not None:
        return stated.preprocess
    if config is not None and config.preprocess is not None:
        return config.preprocess
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


def _completed(spec: EncoderSpec, state: Mapping[str, np.ndarray], config: Config | None) -> State:
    """The weights with the periods of rotary positions, which some files leave to a formula."""
    completed = dict(state)
    if isinstance(spec, ViTSpec) and spec.positions == "rope" and "rope_periods" not in completed:
        base = config.rope_base if config else 100.0
        completed["rope_periods"] = default_periods(spec.head_dim, base=base)
    return completed
