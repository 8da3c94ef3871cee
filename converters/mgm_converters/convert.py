"""From a PyTorch checkpoint to a verified encoder: the one function behind ``mgm convert``.

Read, unwrap, select, translate, build, verify, write. Everything that is wrong with the names
and shapes is collected and reported at once; the folder is written last, and only when nothing is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mgm_converters.naming.rules import Family, Translation, translate
from mgm_converters.reading.arrays import to_array
from mgm_converters.reading.files.source import find_source
from mgm_converters.reading.limits import Limits
from mgm_converters.reading.read import read_checkpoint
from mgm_converters.reading.unwrap import Unwrapped
from mgm_converters.recognition.architecture import architecture_name, assumptions
from mgm_converters.recognition.classifier import with_classifier
from mgm_converters.recognition.decide import decide
from mgm_converters.recognition.evidence.file import read_statement
from mgm_converters.recognition.evidence.traces import Traces, published_name
from mgm_converters.recognition.evidence.training import statement_of_training
from mgm_converters.recognition.evidence.user import UserStatement
from mgm_converters.recognition.select import select_encoder
from mgm_converters.recognition.spelling import DividedNames
from mgm_converters.report import ConversionError, Report
from mgm_converters.verification.verify import TapCheck
from mgm_converters.verification.verify import verify as compare
from mgm_jax.encoders import (
    ARCHITECTURES,
    Encoder,
    Preprocess,
    check_state,
    save_encoder,
)
from mgm_jax.encoders.catalogue.published import PUBLISHED
from mgm_jax.errors import InputError

# Raised whenever a rule changes, so that a folder tells which rules it was made with.
CONVERTER_VERSION = "3.1"

_ENDINGS = (".tar", ".pth", ".pt", ".th", ".ckpt", ".bin", ".pkl", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A converted encoder, and what became of its checkpoint.

    Attributes:
        encoder: ready to use.
        report: every tensor of the file, and the comparison with PyTorch.
        folder: where it was written; None where it was not.
    """

    encoder: Encoder
    report: Report
    folder: Path | None


def convert(
    file: str | Path,
    out: str | Path | None = None,
    *,
    model: str | None = None,
    name: str | None = None,
    preprocess: Preprocess | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    method: str | None = None,
    heads: int | None = None,
    padding: str | None = None,
    copy: str | None = None,
    prefix: str | None = None,
    key: str | None = None,
    head: bool = False,
    verify: bool = True,
    overwrite: bool = False,
    fetch: bool = False,
    limits: Limits | None = None,
) -> Conversion:
    """Convert a published or a user's own checkpoint into an encoder.

    Args:
        file: the checkpoint (nothing in it is executed); or a folder of Hugging Face with weights
            and settings, ``hf:owner/name``, ``timm:name``, ``zoo:name``, or the name of a
            published encoder.
        out: folder to write the encoder to; nothing is written where None.
        model: name of the architecture in ``ARCHITECTURES`` or of the encoder in ``PUBLISHED``,
            where the weights do not reveal it or hold several encoders; by default it follows
            from names, shapes and the name and digest of the file.
        name: what tables and figures shall call the encoder; by default the file's, endings off.
        preprocess: the input it was trained on; by default what its authors evaluate it on.
        size: side of the input in pixels, where only that is to be said.
        mean: taken off the input, a value a channel on the scale [0, 1]; with ``std``.
        std: what the input is then divided by, same scale.
        method: how it was trained, by a name that :mod:`mgm_jax.encoders.catalogue.methods` or
            :mod:`mgm_converters.recognition.evidence.training` knows; it also fixes the input,
            where the method is a published one.
        heads: attention heads of a ViT.
        padding: ``torchvision`` or ``tf-same`` for a ResNet; by default that of the file: original
            weights of BYOL pad as TensorFlow does, everything in PyTorch as torchvision does.
        copy: of several copies of the encoder in the file the one that is wanted: a step of its
            name (``teacher_backbone``) or what it is (``momentum``, ``online``, ...); by default
            the one that its method evaluates (:mod:`mgm_converters.recognition.copies`).
        prefix: what stands before the names of the encoder that is wanted.
        key: of the file, under which that encoder lies, several joined by dots.
        head: keep the linear classifier beside the encoder, as the tap ``logits``.
        verify: compare with a PyTorch network at every tap, and fail where one differs by more
            than a relative error of 1e-4. Where PyTorch is not installed (a safetensors file
            needs none) nothing is compared, and the report says so.
        overwrite: replace ``out`` where it is an encoder's folder.
        fetch: download a published encoder that is not in the cache.
        limits: on what the file may unfold to; ``Limits().times(10)`` raises all.

    Returns:
        The encoder and the report.

    Raises:
        ConversionError: names, shapes or activations that do not fit, all problems at once.
        InputError: a file that cannot be read or is not recognised, an unknown ``model``, no
            connection, or an ``out`` that exists.

    Example:
        >>> conversion = convert("resnet50.pth", "encoders/resnet50")  # doctest: +SKIP
        >>> print("\\n".join(conversion.report.lines()))  # doctest: +SKIP
    """
    if model is not None and model not in ARCHITECTURES:
        model = published_name(model)
    family = None if model is None else _family(model)
    source = find_source(file, fetch=fetch)
    model = model or source.model
    user = UserStatement.of(size=size, mean=mean, std=std, method=method, heads=heads)
    checkpoint = read_checkpoint(source.file, limits=limits)
    statement = read_statement(checkpoint.metadata, file=checkpoint.path)
    selected = select_encoder(checkpoint, family=family, copy=copy, prefix=prefix, key=key)
    unwrapped, divided = selected.unwrapped, selected.divided
    if not statement.names_training:
        training = statement_of_training(unwrapped.facts)
        statement = replace(statement, method=training.method, paradigm=training.paradigm)
    translation, problems = _translate(unwrapped, divided)
    naming, stripped = divided.naming, divided.prefix
    dropped = {
        **unwrapped.passed,
        **divided.dropped,
        **{stripped + one: reason for one, reason in translation.dropped.items()},
    }
    traces = Traces(
        naming=naming,
        keys=unwrapped.keys,
        prefix=stripped,
        names=(*dropped, *divided.left),
        facts=unwrapped.facts,
        format=checkpoint.format,
    )
    mapped = {stripped + one: target for one, target in translation.mapped.items()}
    left = divided.left
    try:
        decision = decide(
            translation.state,
            traces,
            model=model,
            settings=source.settings,
            statement=statement,
            file_name=checkpoint.path.name,
            stem=_stem(checkpoint.path),
            sha256=checkpoint.sha256,
            padding=padding,
            given=preprocess,
            user=user,
        )
        spec, state = decision.spec, decision.state
        if head:
            outside = dropped | dict.fromkeys(left, "")
            spec, weights, origin = with_classifier(spec, unwrapped.tensors, outside=outside)
            state, mapped = state | weights, mapped | origin
            dropped = {one: reason for one, reason in dropped.items() if one not in origin}
            left = tuple(one for one in left if one not in origin)
            check_state(spec, state)
    except InputError as error:
        raise ConversionError(checkpoint.path, [*problems, str(error)]) from error
    if problems:
        raise ConversionError(checkpoint.path, problems)
    encoder = Encoder.from_state(
        state,
        name=name or source.name or _stem(checkpoint.path),
        spec=spec,
        preprocess=preprocess or decision.preprocess,
    )
    torch_version = _torch_version()
    checks = _verified(checkpoint.path, encoder, state) if verify and torch_version else ()
    given = preprocess is not None or user.says_input
    facts = (*assumptions(spec), _input(encoder.preprocess, given=given))
    told = {f"{user.heads or decision.statement.heads} heads"}
    if decision.statement.preprocess is not None and preprocess is None:
        told.add(facts[-1])
    own = selected.names
    report = Report(
        source=checkpoint.path.name,
        sha256=checkpoint.sha256,
        format=checkpoint.format,
        keys=unwrapped.keys,
        prefix=stripped,
        naming=naming.name,
        architecture=architecture_name(spec),
        paradigm=decision.paradigm,
        method=decision.method,
        published=decision.published,
        known=decision.known,
        mapped={own.get(one, one): target for one, target in mapped.items()},
        dropped={own.get(one, one): reason for one, reason in dropped.items()},
        left=tuple(own.get(one, one) for one in left),
        taken=selected.taken,
        copies=selected.copies,
        doubt="; ".join(
            one
            for one in (
                selected.doubt,
                decision.heads_doubt,
                "" if preprocess or (given and user.method) else decision.doubt,
            )
            if one
        ),
        guessed=not (decision.published or decision.statement.names_training or user.method),
        stated=tuple(fact for fact in facts if fact in told),
        assumptions=tuple(fact for fact in facts if fact not in told),
        training=decision.statement.training,
        verification=checks,
        converter_version=CONVERTER_VERSION,
        unverified="" if checks else _why_unverified(verify),
        torch_version=torch_version,
    )
    encoder = replace(encoder, meta=_meta(report))
    folder = None if out is None else save_encoder(encoder, out, overwrite=overwrite)
    return Conversion(encoder=encoder, report=report, folder=folder)


def _family(model: str) -> Family:
    """The family that ``--model`` names; only its spellings are looked for."""
    known = PUBLISHED.get(model) or ARCHITECTURES.get(model)
    if known is None:
        close = difflib.get_close_matches(model, [*ARCHITECTURES, *PUBLISHED], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "`mgm models` lists the names"
        raise InputError(f"model: there is no architecture {model!r}; {hint}")
    family = known.spec.family
    if family in ("pixels", "callable"):
        raise InputError("model: pixels has no weights, so there is nothing to convert")
    return family


def _translate(unwrapped: Unwrapped, divided: DividedNames) -> tuple[Translation, list[str]]:
    """The canonical weights in float32, and everything that is wrong with names and types."""
    arrays, problems = _arrays(unwrapped, divided)
    translation = translate(divided.naming, arrays)
    problems += translation.problems
    state = {key: a.astype(np.float32, copy=False) for key, a in translation.state.items()}
    return replace(translation, state=state), problems


def _arrays(unwrapped: Unwrapped, divided: DividedNames) -> tuple[dict[str, np.ndarray], list[str]]:
    """The encoder's tensors as arrays, the prefix taken off; those that cannot be are problems."""
    arrays: dict[str, np.ndarray] = {}
    problems: list[str] = []
    for name in divided.inside:
        try:
            arrays[name.removeprefix(divided.prefix)] = to_array(unwrapped.tensors[name])
        except TypeError as error:
            problems.append(f"{name}: expected a dense tensor of real numbers, got {error}")
    return arrays, problems


def _verified(
    path: Path, encoder: Encoder, state: Mapping[str, np.ndarray]
) -> tuple[TapCheck, ...]:
    checks = compare(encoder, state)
    failed = [check for check in checks if not check.passed]
    if failed:
        raise ConversionError(
            path,
            [
                f"tap {check.tap}: differs from PyTorch by a relative error of {check.error:.1e}, "
                f"expected at most {check.tolerance:.0e}"
                for check in failed
            ],
        )
    return checks


def _torch_version() -> str:
    """Of the PyTorch that is installed; empty where none is."""
    try:
        import torch
    except ImportError:
        return ""
    return torch.__version__


def _why_unverified(wanted: bool) -> str:
    return "PyTorch is not installed" if wanted else "it was not asked for"


def _meta(report: Report) -> dict[str, Any]:
    """What is written beside the weights; the first entries are the ones that tables show."""
    return {
        "architecture": report.architecture,
        "paradigm": report.paradigm,
        "method": report.method,
        "guessed": report.guessed,
        "doubt": report.doubt,
        "published": report.published,
        "training": dict(report.training),
        "source": report.source,
        "sha256": report.sha256,
        "converter_version": report.converter_version,
        "conversion": report.to_dict(),
    }


def _input(preprocess: Preprocess, *, given: bool) -> str:
    values = "[0, 1] as it is"
    if preprocess.mean != (0.0, 0.0, 0.0) or preprocess.std != (1.0, 1.0, 1.0):
        values = f"mean {preprocess.mean}, deviation {preprocess.std}"
    return (
        f"short side {preprocess.resize}, centre {preprocess.size}, {preprocess.interpolation}, "
        f"{values}{' (given)' if given else ''}"
    )


def _stem(path: Path) -> str:
    """The file's name without the endings of checkpoints, ``best.pth.tar`` to ``best``."""
    name = path.name
    while name.endswith(_ENDINGS):
        name = name[: name.rindex(".")]
    return name or path.name
