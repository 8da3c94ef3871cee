"""The encoders of a study, loaded and named."""

from __future__ import annotations

import difflib
import glob
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mgm_jax.encoders import (
    ARCHITECTURES,
    PUBLISHED,
    CifarResNetSpec,
    Encoder,
    ResNetSpec,
    ViTSpec,
    WrappedEncoder,
    load_encoder,
    untrained_control,
)
from mgm_jax.encoders.catalogue.methods import METHODS, known_paradigm
from mgm_jax.encoders.catalogue.published import is_published_source, published_sources
from mgm_jax.encoders.checkpoint import is_encoder_folder
from mgm_jax.errors import InputError, name_some
from mgm_jax.features import StoredFeatures
from mgm_jax.images.sources.files.names import writable
from mgm_jax.progress import progress
from mgm_jax.study import EncoderEntry, FeaturesEntry
from mgm_jax.sweep.plan.matching import matching_files, told_apart
from mgm_jax.zoo import is_zoo_source, zoo_files

#: Turns a checkpoint file, or the name of a published encoder, into a folder of Flax weights below
#: the given one, or a pickle of features into a file of them, and returns it.
Convert = Callable[[Path | str, "EncoderEntry | FeaturesEntry", Path], Path]

#: Opens a model of another library (``torch:``, ``onnx:``) as an encoder: the entry, the folder
#: that relative paths start from, and the seed of random weights.
OpenModel = Callable[["EncoderEntry", Path, int], WrappedEncoder]

#: What stands before the name of an encoder that the caller of a study hands over.
CALLABLE = "callable:"

#: What stands before the names of models that other libraries run.
FOREIGN = ("torch:", "onnx:")

#: Told of an encoder that is left out: its name and why.
OnFailure = Callable[[str, Exception], None]

#: An entry of one encoder, where it comes from, and the seed of random weights.
Job = tuple[EncoderEntry, Path | str, int]

#: What names of a hub begin with.
_HUBS = ("hf:", "timm:")

_SUFFIXES = (".tar", ".pth", ".pt", ".th", ".ckpt", ".safetensors", ".bin")


class _BrokenFile(Exception):
    """A file that is there and yet gives no encoder."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(name)
        self.name = name
        self.error = error


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One encoder under study.

    Attributes:
        name: unique within the study.
        encoder: the loaded encoder.
        family: encoders that are compared as one group.
        paradigm: how it was trained; marked where it is guessed, see ``known_paradigm``.
        seed: of the random weights; None for trained encoders.
        taps: layers to read, the one that stands for the encoder first.
    """

    name: str
    encoder: Encoder | WrappedEncoder | StoredFeatures
    family: str
    paradigm: str
    seed: int | None
    taps: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """The architecture's name, as in ``mgm models``."""
        return str(self.encoder.meta.get("architecture") or self.encoder.spec.family)

    @property
    def columns(self) -> dict[str, object]:
        """What tables say of it, in their order."""
        return {
            "encoder": self.name,
            "family": self.family,
            "architecture": self.architecture,
            "paradigm": self.paradigm,
        }


def load_subjects(
    entries: tuple[EncoderEntry, ...],
    *,
    base: Path,
    cache: Path,
    convert: Convert | None,
    on_failure: OnFailure | None = None,
    callables: Mapping[str, Encoder | WrappedEncoder] | None = None,
    open_model: OpenModel | None = None,
) -> tuple[Subject, ...]:
    """Load every encoder that the entries name.

    Args:
        entries: from the study file.
        base: folder that relative paths start from.
        cache: folder for converted checkpoints.
        convert: called for each checkpoint file; None where no converter is at hand.
        on_failure: called with the name of an encoder whose file cannot be converted or loaded,
            and the error; that encoder is then left out. By default the error is raised.
        callables: the encoders that entries name as ``callable:NAME``.
        open_model: opens models of other libraries.

    Raises:
        InputError: a source that does not exist, or two encoders of one name.
    """
    jobs = _told_apart([job for entry in entries for job in _expand(entry, base=base)])
    subjects = []
    with progress("encoders", total=len(jobs), unit="encoder") as bar:
        for entry, source, seed in jobs:
            try:
                if entry.source.startswith((CALLABLE, *FOREIGN)) and isinstance(source, str):
                    one = _outside(entry, seed, base, callables or {}, open_model)
                else:
                    one = _load(entry, source, seed, cache=cache, convert=convert)
                subjects.append(one)
            except _BrokenFile as broken:
                if on_failure is None:
                    raise broken.error from None
                on_failure(broken.name, broken.error)
            bar.advance()
    counts = Counter(subject.name for subject in subjects)
    twice = sorted(name for name, times in counts.items() if times > 1)
    if twice:
        raise InputError(
            f"encoders: the name(s) {name_some(twice)} stand for more than one encoder; "
            "give each entry a name of its own"
        )
    return tuple(subjects)


def _expand(entry: EncoderEntry, *, base: Path) -> Iterator[Job]:
    """One job a file of a glob, a folder, or a seed of random weights."""
    path = base / Path(entry.source).expanduser()
    if path.exists():
        yield from _seeded(entry, path)
    elif entry.source.startswith((CALLABLE, *FOREIGN, *_HUBS)):
        yield from _seeded(entry, entry.source)
    elif is_zoo_source(entry.source):
        yield from _each(entry, zoo_files(entry.source))
    elif is_published_source(entry.source):
        yield from _published(entry)
    elif glob.has_magic(entry.source):
        files = matching_files(entry.source, base=base)
        if not files:
            raise InputError(f"encoders: no file matches {entry.source!r} below {base}")
        yield from _each(entry, files)
    elif entry.source.partition(":")[0] in ARCHITECTURES:
        for seed in entry.seeds:
            yield entry, entry.source, seed
    elif entry.source in PUBLISHED:
        if entry.init is None:
            raise InputError(
                f"encoders: {entry.source} is a published encoder; write published:{entry.source} "
                "for its weights, or give init: random for its untrained control"
            )
        yield from _seeded(entry, entry.source)
    else:
        raise InputError(
            f"encoders: {entry.source!r} is no file or folder (looked in {base}) and no known "
            f"architecture or published encoder{_meant(entry.source)}; `mgm models` lists them"
        )


def _meant(source: str) -> str:
    """What a source that stands for nothing may have been to be."""
    if "$" in source:
        return "; variables of the shell are not looked up in a study, write their values"
    near = difflib.get_close_matches(source, [*ARCHITECTURES, *PUBLISHED], n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def _told_apart(jobs: list[Job]) -> list[Job]:
    """The jobs, with the folder joined to the name where two files have the same one."""
    named = {
        i: source
        for i, (entry, source, _) in enumerate(jobs)
        if isinstance(source, Path) and entry.name is None
    }
    labels = told_apart(list(dict.fromkeys(named.values())), stem=_stem)
    for i, source in named.items():
        entry, _, seed = jobs[i]
        if labels[source] != _stem(source):
            control = "-random" if entry.init is not None else ""
            renamed = entry.model_copy(update={"name": labels[source] + control})
            jobs[i] = (renamed, source, seed)
    return jobs


def _each(entry: EncoderEntry, files: Sequence[Path]) -> Iterator[Job]:
    """The jobs of all files that one entry stands for."""
    labels = told_apart(files, stem=_stem)
    for file in files:
        of_file = entry
        if len(files) > 1 and entry.name:
            # One name for many files would clash; it becomes the prefix of their stems.
            of_file = entry.model_copy(update={"name": f"{entry.name}-{labels[file]}"})
        yield from _seeded(of_file, file)


def _published(entry: EncoderEntry) -> Iterator[Job]:
    """The jobs of all published encoders that one entry stands for, their weights or controls."""
    names = published_sources(entry.source)
    for name in names:
        of_one = entry
        if len(names) > 1 and entry.name:
            of_one = entry.model_copy(update={"name": f"{entry.name}-{name}"})
        yield from _seeded(of_one, name)


def _seeded(entry: EncoderEntry, source: Path | str) -> Iterator[Job]:
    """A trained encoder once, its untrained control once a seed."""
    if entry.init is None:
        if entry.seeds != (0,):
            raise InputError(
                f"encoders: seeds only apply to random weights, and {source} has weights of its "
                "own; leave out seeds, or give init: random"
            )
        yield entry, source, 0
        return
    for seed in entry.seeds:
        yield entry, source, seed


def _load(
    entry: EncoderEntry,
    source: Path | str,
    seed: int,
    *,
    cache: Path,
    convert: Convert | None,
) -> Subject:
    numbered = f"-s{seed}" if len(entry.seeds) > 1 else ""
    named = isinstance(source, str) and source in PUBLISHED and entry.init is None
    if isinstance(source, Path) or source.startswith(_HUBS) or named:
        encoder = _trained(source, entry, cache=cache, convert=convert)
        if entry.init is not None:
            own = (entry.name or f"{_own_name(source)}-random") + numbered
            encoder = untrained_control(encoder, seed=seed, size=entry.size, name=own)
    elif source in PUBLISHED:
        own = (entry.name or f"{source}-random") + numbered
        encoder = untrained_control(source, seed=seed, size=entry.size, name=own)
    else:
        where = source + ("" if ":seed=" in source else f":seed={seed}")
        where += "" if entry.size is None else f":size={entry.size}"
        encoder = load_encoder(where, name=(entry.name or source) + numbered)
    if entry.mean is not None and not isinstance(source, Path):
        encoder = _with_input(encoder, entry, size=None)
    drawn = encoder.meta.get("seed")
    return Subject(
        name=encoder.name,
        encoder=encoder,
        family=entry.family or encoder.spec.family,
        paradigm=entry.paradigm or _paradigm(entry, encoder),
        seed=None if drawn is None else int(str(drawn)),
        taps=_taps(encoder, entry.taps),
    )


def _outside(
    entry: EncoderEntry,
    seed: int,
    base: Path,
    callables: Mapping[str, Encoder | WrappedEncoder],
    open_model: OpenModel | None,
) -> Subject:
    """An encoder that the caller hands over, or a model of another library."""
    name = entry.name or entry.source.partition(":")[2]
    if len(entry.seeds) > 1:
        name += f"-s{seed}"
    if entry.source.startswith(CALLABLE):
        key = entry.source.removeprefix(CALLABLE)
        if key not in callables:
            raise InputError(
                f"encoders: {entry.source} is an encoder of a program's own; hand it over with "
                f"mgm run --encoder-from package.module:function, or mgm.study(encoders=...). "
                f"There is {name_some(sorted(callables)) or 'none'}"
            )
        unfit = [one for one in entry.conversion if one != "method"]
        if unfit or entry.init is not None:
            raise InputError(
                f"encoders: {name_some(unfit) or 'init'} cannot be said of {entry.source}; say it "
                "where it is wrapped"
            )
        encoder = replace(callables[key], name=name)
    elif open_model is None:
        raise InputError(
            f"encoders: {entry.source} is run by another library, which the converters call; run "
            "the study with mgm run, or mgm.study"
        )
    else:
        try:
            encoder = replace(open_model(entry, base, seed), name=name)
        except Exception as error:
            raise _BrokenFile(name, error) from error
    drawn = encoder.meta.get("seed")
    return Subject(
        name=name,
        encoder=encoder,
        family=entry.family or _family(encoder),
        paradigm=entry.paradigm or _paradigm(entry, encoder),
        seed=None if drawn is None else int(str(drawn)),
        taps=_taps(encoder, entry.taps),
    )


def _family(encoder: Encoder | WrappedEncoder) -> str:
    # That they are callables makes no family of networks.
    if isinstance(encoder, WrappedEncoder):
        return str(encoder.meta.get("architecture") or encoder.name)
    return encoder.spec.family


def _paradigm(entry: EncoderEntry, encoder: Encoder | WrappedEncoder) -> str:
    """How an encoder was trained: as the entry's method, else as the encoder says."""
    method = METHODS.get(entry.method or "")
    return method.paradigm if method else known_paradigm(encoder.meta)


def _trained(
    source: Path | str, entry: EncoderEntry, *, cache: Path, convert: Convert | None
) -> Encoder:
    """The encoder of a checkpoint, of a folder with one in it, of a converted folder, or of a name.

    A name is that of a published encoder, which whoever converts knows where to find.
    """
    name = entry.name or _own_name(source)
    converted = isinstance(source, Path) and is_encoder_folder(source)
    if not converted and convert is None:
        raise InputError(
            f"encoders: {source} is a checkpoint; convert it with `mgm convert {source}`"
        )
    try:
        if not converted and convert is not None:
            return load_encoder(convert(source, entry, cache), name=name)
        unfit = [one for one in entry.conversion if one not in ("model", "size", "mean", "std")]
        if [one for one in unfit if one != "method"]:
            raise InputError(
                f"encoders: {' and '.join(unfit)} are said of a checkpoint while it is converted, "
                f"and {source} is a converted encoder; name the checkpoint"
            )
        return _with_input(load_encoder(source, name=name), entry, size=entry.size)
    except Exception as error:
        raise _BrokenFile(name, error) from error


def _with_input(encoder: Encoder, entry: EncoderEntry, *, size: int | None) -> Encoder:
    """The encoder with what the entry says of its input."""
    if size is None and entry.mean is None and entry.std is None:
        return encoder
    if not isinstance(encoder.spec, ResNetSpec | ViTSpec | CifarResNetSpec) and size is not None:
        raise InputError(f"encoders: the size of {encoder.name}, {encoder.spec.family}, is fixed")
    changed = encoder.preprocess.changed(size=size, mean=entry.mean, std=entry.std)
    return replace(encoder, preprocess=changed)


def _taps(
    encoder: Encoder | WrappedEncoder, taps: Literal["all"] | tuple[str, ...]
) -> tuple[str, ...]:
    if taps == "all":
        # The feature first: where one row stands for an encoder, it is the first.
        return tuple(dict.fromkeys((encoder.default_tap, *encoder.spec.depth_taps)))
    unknown = [tap for tap in taps if tap not in encoder.taps]
    if unknown:
        raise InputError(
            f"encoders: {encoder.name} has no tap {name_some(unknown)}; "
            f"it has {', '.join(encoder.taps)}"
        )
    return taps or (encoder.default_tap,)


def _own_name(source: Path | str) -> str:
    """What an encoder is called that its entry does not name."""
    if isinstance(source, Path):
        return _stem(source)
    # Of a name on a hub the owner, the library and the revision are left out.
    on_hub = source.startswith(_HUBS)
    return re.split("[/:]", source.partition("@")[0])[-1] if on_hub else source


def _stem(path: Path) -> str:
    name = path.name
    while Path(name).suffix.lower() in _SUFFIXES:
        name = Path(name).stem
    return writable(name)
