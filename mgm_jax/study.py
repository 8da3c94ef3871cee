# pyright: strict
"""The study file: what to measure, as frozen and validated models.

A study names encoders, image sets, augmentation settings and metrics. It is read from YAML, every
key once; nothing in it is ever executed. Two studies with the same content have the
same digest, whatever the order of their keys or the layout of the file.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from mgm_jax.errors import InputError, note_old_name
from mgm_jax.files.seals import digest_of
from mgm_jax.strict_yaml import read_yaml

ProbeName = Literal["linear", "ridge", "knn", "few-shot"]
TransferScoreName = Literal["logme", "h-score", "gbc", "transrate"]


#: Untrained encoders that one entry may stand for.
MAX_SEEDS = 10_000


def _mapping(content: object) -> dict[str, Any] | None:
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None


class _Frozen(BaseModel):
    # Unknown keys are refused: a misspelt option that is silently ignored is a wrong result.
    # NaN and Inf pass every comparison that would refuse them.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any, info: ValidationInfo) -> Any:
        """``yes``, ``on`` and ``true`` are switches in YAML; Python would take them for 1."""
        field = cls.model_fields[str(info.field_name)]
        given: object = value
        listed = cast("Iterable[Any]", given) if isinstance(given, list | tuple) else [value]
        if field.annotation is not bool and any(isinstance(one, bool) for one in listed):
            raise ValueError("expected no switch; YAML reads yes, no, on, off, true, false as one")
        if info.field_name == "source" and any(
            isinstance(one, str) and not one.strip() for one in listed
        ):
            # As a path it would be the folder of the study.
            raise ValueError("expected a name or a place; a text without letters is none")
        return value


# Keys of an encoder that say of a checkpoint what it does not, the first two older than the others.
_CONVERSION = ("model", "size", "mean", "std", "method", "heads", "prefix", "key")

# Keys of an image set that came later.
_LATER_OF_IMAGES = ("image", "label", "id", "fallback", "multilabel", "regression")


class EncoderEntry(_Frozen):
    """One encoder, or several of one kind.

    Attributes:
        source: a PyTorch checkpoint file or a glob of them, a folder written by ``mgm convert``,
            ``zoo:NAME`` for a shipped encoder (a pattern for several, ``zoo:all`` for all),
            ``published:NAME`` for a published one (a pattern for several, ``published:resnet50``
            for the 14 of the paper; ``mgm run --download`` fetches what is not there),
            ``hf:owner/name`` or ``timm:name`` for weights on the hub, converted,
            the name of an architecture (``mgm models``) for an untrained encoder, or with
            ``init: random`` that of a published encoder. Models that stay in their library are
            ``torch:timm/NAME``, ``torch:hf/NAME`` (a name on the hub or a folder) and
            ``onnx:FILE``; ``callable:NAME`` is an encoder that the command line names with
            ``--encoder-from``, or that Python hands over.
        name: the name in tables and figures; by default the file's stem or the architecture.
        model: for a checkpoint, the architecture, where recognition should be overridden.
        init: ``random`` takes the network without its weights: one before its first training
            step, the control of whatever a checkpoint or a published name stands for. An
            architecture's name means that anyhow.
        seeds: for random weights, one encoder a seed; a number n stands for the seeds 0 to n - 1.
        family: encoders that belong together in comparisons; by default the kind of network
            (``resnet``, ``vit``, ``conv4``, ...).
        paradigm: how it was trained, e.g. ``contrastive``; by default what the checkpoint says.
        taps: layers to read; empty means the encoder's default feature, ``all`` every layer from
            the first to the feature, in one forward pass. Maps are averaged over positions; of
            tokens the class token is taken, the mean of the patches where there is none.
        size: side of the input in pixels, where it differs from the encoder's own.
        mean: taken off the input, a value a channel on the scale [0, 1], where the encoder does
            not say it or says it wrongly; with ``std``.
        std: what the input is then divided by, same scale.
        method: for a checkpoint, how it was trained, where it does not say so.
        heads: for the checkpoint of a ViT, its attention heads.
        copy: for a checkpoint that holds several copies of the encoder, which one: ``teacher``,
            ``momentum``, ... (as ``mgm convert --copy``).
        prefix: for a checkpoint, what stands before the names of the encoder that is meant.
        key: for a checkpoint, the key under which that encoder lies.
        channel_order: for a graph of ONNX, ``bgr`` where it takes blue first; ``mean`` and ``std``
            are said as red, green, blue all the same.
        fallback: for a source ``data:NAME``, the source to take, said loudly, where it is not in
            the folder of data.
    """

    source: str
    name: str | None = None
    model: str | None = None
    init: Literal["random"] | None = None
    seeds: tuple[int, ...] = (0,)
    family: str | None = None
    paradigm: str | None = None
    taps: Literal["all"] | tuple[str, ...] = ()
    size: int | None = Field(default=None, ge=8, le=2048)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    method: str | None = None
    heads: int | None = Field(default=None, ge=1)
    copy_: str | None = Field(default=None, alias="copy")
    prefix: str | None = None
    key: str | None = None
    channel_order: Literal["rgb", "bgr"] | None = None
    fallback: str | None = None

    @property
    def conversion(self) -> dict[str, Any]:
        """What is said of a checkpoint, as options of ``convert``; what is not said is left out."""
        said = {name: getattr(self, name) for name in _CONVERSION}
        said["copy"] = self.copy_
        return {name: value for name, value in said.items() if value is not None}

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, serialise: Any) -> dict[str, Any]:
        # So that studies from before these keys keep their digest.
        content = serialise(self)
        content["copy"] = content.pop("copy_", content.get("copy"))
        return {
            name: value
            for name, value in content.items()
            if value is not None
            or name not in (*_CONVERSION[2:], "copy", "channel_order", "fallback")
        }

    @field_validator("channel_order")
    @classmethod
    def _order_of_a_graph(cls, order: str | None, info: ValidationInfo) -> str | None:
        if order is not None and not str(info.data.get("source")).startswith("onnx:"):
            raise ValueError("it is said of a graph of ONNX (onnx:FILE) alone")
        return order

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, seeds: Any) -> Any:
        # A count of less than one is caught below as no seed at all.
        if isinstance(seeds, bool) or not isinstance(seeds, int):
            return seeds
        if seeds > MAX_SEEDS:
            raise ValueError(f"expected at most {MAX_SEEDS} seeds")
        return tuple(range(seeds))

    @field_validator("taps", mode="before")
    @classmethod
    def _list_of_taps(cls, taps: Any) -> Any:
        if isinstance(taps, str) and taps != "all":
            raise ValueError("expected 'all' or a list of layers such as [layer3.5, pool]")
        return taps

    @field_validator("taps")
    @classmethod
    def _distinct_taps(
        cls, taps: Literal["all"] | tuple[str, ...]
    ) -> Literal["all"] | tuple[str, ...]:
        if taps != "all" and len(set(taps)) != len(taps):
            raise ValueError("expected distinct layers")
        return taps

    @field_validator("seeds")
    @classmethod
    def _some_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError(
                "expected one or more distinct seeds, 0 or larger, or how many (1 or more)"
            )
        return seeds


class ImageLimits(_Frozen):
    """Limits of an image set that differ from those by default.

    Attributes:
        pixels: of one image.
        file_bytes: of one image file, also as it is unpacked from an archive.
        unpacked_bytes: of all that a compressed archive or array file unpacks to.
        ratio: of unpacked to stored bytes.
        files: in a folder or archive.
    """

    pixels: int | None = Field(default=None, ge=1)
    file_bytes: int | None = Field(default=None, ge=1)
    unpacked_bytes: int | None = Field(default=None, ge=1)
    ratio: int | None = Field(default=None, ge=1)
    files: int | None = Field(default=None, ge=1)


class ImagesEntry(_Frozen):
    """One image set.

    Attributes:
        source: a folder of classes or a ``.zip`` or ``.tar`` of one; shards of webdataset
            (``shards/{000..012}.tar``, ``wds:place``); a saved Hugging Face data set; ``.parquet``
            or ``.arrow`` files of image bytes; a manifest (``.csv``, ``.tsv``, ``.parquet``) of
            paths; an ``.h5``, ``.npz``, ``.npy`` or ``idx3-ubyte`` file; ``digits`` or
            ``photo-patches`` (built in), ``rows:folder``, or ``tfds:name/split``.
        name: the name in tables and figures; by default taken from the source.
        split: take one split alone: a folder called so or for the same purpose, the arrays of it
            in an ``.npz`` file, or a split of TFDS.
        depth: how many folders name a class, in a folder or archive.
        classes: keep these classes alone; names, or patterns as in a shell. None keeps all.
        per_class: keep this many images of each class, drawn by ``seed``.
        count: keep this many images in all, drawn by ``seed``.
        seed: seed of the drawing.
        value_range: of images deeper than eight bits, the values that are black and white; None
            means 0 and 65535, or of floats 0 and 1.
        limits: raises what an image set may ask of the memory: ``pixels``, ``file_bytes``,
            ``unpacked_bytes``, ``ratio``, ``files``.
        image: of a table, the column that holds the images or their paths; of a webdataset their
            suffix, of HDF5 their array. None finds the usual ones.
        label: likewise of the class.
        id: likewise of the names of the images.
        fallback: for a source ``data:NAME``, the source to take, said loudly, where it is not in
            the folder of data.
    """

    source: str
    name: str | None = None
    split: str | None = None
    depth: int = Field(default=1, ge=1, le=9)
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    per_class: int | None = Field(default=None, ge=1)
    count: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)
    value_range: tuple[float, float] | None = None
    limits: ImageLimits | None = None
    image: str | None = None
    label: str | None = None
    id: str | None = None
    fallback: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, serialise: Any) -> dict[str, Any]:
        # So that studies from before these keys keep their digest.
        content = serialise(self)
        return {
            name: value
            for name, value in content.items()
            if name not in _LATER_OF_IMAGES or value not in (None, [], ())
        }


class FeaturesEntry(_Frozen):
    """Features of one model that were computed elsewhere, in files.

    Attributes:
        source: a file (``.npy``, ``.npz``, ``.safetensors``, ``.parquet``, ``.h5``, ``.pt``), a
            folder of zarr, a glob (a model a file), or a list of shards of one array;
            ``[n, d]``, one row an image, or ``[images, views, d]``.
        name: the name in tables and figures; by default the file's stem.
        key: which array, of a file that holds several.
        layers: name of a layer to key, in the order of their depth, the one that stands for the
            model last; instead of ``key``.
        labels: file of labels, ``.csv`` (columns ``id`` and ``label``, or one alone), ``.parquet``,
            ``.npy`` or ``.txt``; by default what the features' file states.
        ids: file of ids, which name the image of each row, likewise; models of the same images in
            another order are aligned by them.
        images: name of the set of images, in tables; models of one name are compared with each
            other and must have the same images.
        family: models that belong together in comparisons.
        paradigm: how the model was trained.
        architecture: of the model, for the tables.
    """

    source: tuple[str, ...] = Field(min_length=1)
    name: str | None = None
    key: str | None = None
    layers: dict[str, str] | None = Field(default=None, min_length=1)
    labels: str | None = None
    ids: str | None = None
    images: str = "images"
    family: str | None = None
    paradigm: str | None = None
    architecture: str | None = None

    @field_validator("source", mode="before")
    @classmethod
    def _one_source(cls, source: Any) -> Any:
        return (source,) if isinstance(source, str) else source

    @model_validator(mode="after")
    def _key_or_layers(self) -> FeaturesEntry:
        if self.key is not None and self.layers is not None:
            raise ValueError("give key (one array) or layers (several), not both")
        return self


class TargetEntry(ImagesEntry):
    """A labelled image set that encoders are transferred to.

    Attributes:
        test: source of its test images, where it has some of its own; they are taken whole and
            ``per_class`` and ``count`` draw from the others. None splits the set.
        test_split: the split of ``test``, or without ``test`` of the same source, that holds them.
        multilabel: for several labels an image, the column (of a manifest or another table) that
            lists them, or columns of 0 and 1; probed by ``linear`` and ``ridge``, scored by mean
            average precision, at 11 points of recall as VOC2007 and in full.
        regression: for real values, their column or columns; probed by ``ridge``, scored by R².
    """

    test: str | None = None
    test_split: str | None = None
    multilabel: str | tuple[str, ...] | None = None
    regression: str | tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_kind_of_target(self) -> TargetEntry:
        if self.multilabel is not None and self.regression is not None:
            raise ValueError("give multilabel or regression, not both")
        if () in (self.multilabel, self.regression):
            raise ValueError("expected one or more columns")
        return self


class Transfer(_Frozen):
    """Probes and transferability scores of every encoder on labelled image sets.

    Attributes:
        targets: the image sets; of features, ``features:NAME`` is the set of that name.
        score_table: file (``.csv`` or ``.parquet``) of scores that are known already, a row a
            model and a column a task, the name of the model in the first column; ``scores: FILE``
            is the same. ``published:ericsson2021`` are the published scores of 14 ResNet-50 on
            eight tasks, joined by the names of the encoders.
        probes: ``linear`` and ``ridge`` classifiers, ``knn``, ``few-shot`` prototypes.
        scores: ``logme``, ``h-score``, ``gbc``, ``transrate``.
        test_share: share of each class that is held out for testing, drawn by the study's seed.
        validation_share: share of each class of the rest that chooses the penalty.
        l2_penalties: how many a linear or ridge probe tries, spread from 1e-6 to 1e5; its old name
            ``strengths`` is still read.
        k: neighbours that vote.
        way: classes of a few-shot episode.
        shots: images of each class in its support, one row of the table each.
        queries: images of each class that are told apart.
        episodes: how many are drawn.
        level: coverage of the intervals.
    """

    targets: tuple[TargetEntry, ...] = ()
    score_table: str | None = None
    probes: tuple[ProbeName, ...] = ("linear", "ridge", "knn", "few-shot")
    scores: tuple[TransferScoreName, ...] = ("logme", "h-score", "gbc", "transrate")
    test_share: float = Field(default=0.3, gt=0, lt=1)
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    l2_penalties: int = Field(default=45, ge=1, le=1000)
    k: int = Field(default=10, ge=1)
    way: int = Field(default=5, ge=2)
    shots: tuple[int, ...] = (5, 20, 50)
    queries: int = Field(default=15, ge=1)
    episodes: int = Field(default=600, ge=2)
    level: float = Field(default=0.95, gt=0, lt=1)

    @field_validator("probes", "scores", "shots")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("expected each at most once")
        return values

    @field_validator("shots")
    @classmethod
    def _some_shots(cls, shots: tuple[int, ...]) -> tuple[int, ...]:
        if not shots or min(shots) < 1:
            raise ValueError("expected one or more shots, 1 or larger")
        return shots

    @model_validator(mode="before")
    @classmethod
    def _penalties_by_their_old_name(cls, content: Any) -> Any:
        keys = _mapping(content)
        if keys is None or "strengths" not in keys:
            return content
        if "l2_penalties" in keys:
            raise ValueError("l2_penalties stands twice: strengths is its old name")
        note_old_name("transfer.strengths", "transfer.l2_penalties")
        return {("l2_penalties" if k == "strengths" else k): v for k, v in keys.items()}

    @model_validator(mode="before")
    @classmethod
    def _scores_from_a_file(cls, content: Any) -> Any:
        keys = _mapping(content)
        if keys is not None and isinstance(keys.get("scores"), str):
            return {**keys, "score_table": keys["scores"], "scores": ()}
        return content

    @model_validator(mode="after")
    def _something_to_do(self) -> Transfer:
        if not self.targets and self.score_table is None:
            raise ValueError("nothing to do: name targets, or a file of scores")
        if self.targets and not self.probes and not self.scores:
            raise ValueError("nothing to do: name probes or scores")
        return self


class Augmentation(_Frozen):
    """Augmentation manifolds: many views of one image are one group.

    Attributes:
        settings: names of augmentation settings, built in or defined under ``custom_settings``.
        strengths: factors on each setting; 0 is the identity, 1 the setting as defined.
        images: how many images, spread evenly over the classes.
        views: how many views of each image.
    """

    settings: tuple[str, ...] = ("augs", "crop", "colorjitter", "rotation")
    strengths: tuple[float, ...] = (1.0,)
    images: int = Field(default=60, ge=1)
    views: int = Field(default=32, ge=3)

    @field_validator("strengths")
    @classmethod
    def _sane_strengths(cls, strengths: tuple[float, ...]) -> tuple[float, ...]:
        if not strengths or len(set(strengths)) != len(strengths) or min(strengths) < 0:
            raise ValueError("expected one or more distinct strengths, 0 or larger")
        return strengths

    @field_validator("settings")
    @classmethod
    def _distinct_settings(cls, settings: tuple[str, ...]) -> tuple[str, ...]:
        if not settings or len(set(settings)) != len(settings) or "semantic" in settings:
            raise ValueError("expected one or more distinct settings other than 'semantic'")
        return settings


class MetricOptions(_Frozen):
    """How the manifolds are measured.

    Attributes:
        k: candidates a point; None means 50, or the group's size less one where it is smaller.
        kernel: ``cosine`` (shifted cosine, (1 + cos)/2) or ``gaussian``.
        bandwidth: width of the Gaussian kernel; None means per point, ``hurtado`` one for a group
            by the rule of arXiv 2210.17475.
        center: ``global`` subtracts the mean embedding of the whole image set before
            normalising; None leaves the embeddings as they are.
        pca_threshold: share of the variance that local PCA has to explain, in (0, 1].
        resamples: bootstrap resamples of the intervals.
        level: coverage of the intervals, in (0, 1).
    """

    k: int | None = Field(default=None, ge=1)
    kernel: Literal["cosine", "gaussian"] = "cosine"
    bandwidth: float | Literal["hurtado"] | None = None
    center: Literal["global"] | None = None
    pca_threshold: float = Field(default=0.95, gt=0, le=1)
    resamples: int = Field(default=2000, ge=100)
    level: float = Field(default=0.95, gt=0, lt=1)

    @field_validator("bandwidth", mode="before")
    @classmethod
    def _width_or_rule(cls, value: Any) -> Any:
        # One sentence instead of a complaint of each kind that it could be.
        width = isinstance(value, int | float) and value > 0
        if value is not None and value != "hurtado" and not width:
            raise ValueError("expected a number above 0, or hurtado")
        return value


class Study(_Frozen):
    """Everything ``mgm run`` needs to know.

    Attributes:
        name: title of the report.
        encoders: what is measured.
        images: on which images.
        features: models of which features are at hand, beside the encoders or instead of them.
        semantic: measure semantic manifolds (groups are classes, images as they are).
        augmentation: measure augmentation manifolds; None leaves them out.
        custom_settings: augmentation settings of your own, name -> list of operations.
        metrics: how the manifolds are measured.
        transfer: probes and scores on labelled image sets; None leaves them out.
        seed: seed of every random draw: views, null pairs, bootstrap, splits, episodes.
        dtype: number format of the stored embeddings.
        on_error: what an unreadable image does: ``raise`` or ``skip`` (named and counted).
        output: folder of the results; relative to the study file. ``-o`` overrides it.
    """

    name: str = "study"
    encoders: tuple[EncoderEntry, ...] = ()
    images: tuple[ImagesEntry, ...] = ()
    features: tuple[FeaturesEntry, ...] = ()
    semantic: bool = True
    augmentation: Augmentation | None = Augmentation()
    custom_settings: dict[str, list[Any]] = Field(default_factory=dict)
    metrics: MetricOptions = MetricOptions()
    transfer: Transfer | None = None
    seed: int = Field(default=0, ge=0, lt=2**32)
    dtype: Literal["float32", "bfloat16"] = "float32"
    on_error: Literal["raise", "skip"] = "raise"
    output: str | None = None

    @model_validator(mode="after")
    def _something_to_measure(self) -> Study:
        if not self.encoders and not self.features:
            raise ValueError("nothing to measure: name encoders and images, or features")
        if bool(self.encoders) != bool(self.images):
            raise ValueError("encoders and images go together: each needs the other")
        if not self.semantic and self.augmentation is None:
            raise ValueError("nothing to measure: set semantic: true or give augmentation")
        return self

    def with_callables(self, names: Iterable[str]) -> Study:
        """The study with encoders that a program hands over, those that it does not name yet."""
        known = {entry.source for entry in self.encoders}
        sources = [f"callable:{name}" for name in names]
        more = [EncoderEntry(source=one) for one in sources if one not in known]
        return self.model_copy(update={"encoders": (*self.encoders, *more)})

    @property
    def digest(self) -> str:
        """sha256 (hex) of what is measured; title and output folder do not enter."""
        # Keys that came later enter where they are used, so that older studies keep their digest.
        later: set[str] = set() if self.features else {"features"}
        content = self.model_dump(mode="json", exclude={"name", "output"} | later)
        if self.transfer is not None and self.transfer.score_table is None:
            content["transfer"].pop("score_table")
        if self.transfer is not None:
            # As it was called when digests began.
            content["transfer"]["strengths"] = content["transfer"].pop("l2_penalties")
        return digest_of(content)

    def to_yaml(self) -> str:
        """The study as YAML that :func:`read_study` reads back, defaults left out."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        if yaml.safe_load(text) == content:
            return text
        # PyYAML folds Unicode's own line breaks, such as U+0085, into spaces: escape them.
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=False)


def read_study(path: str | Path) -> Study:
    """Read and validate a study file.

    Raises:
        InputError: the file is missing, is no YAML mapping (see
            :func:`~mgm_jax.strict_yaml.read_yaml`), or a field is wrong; all wrong fields are
            named at once.
    """
    path = Path(path)
    content = read_yaml(path, what="study")
    keys = _mapping(content)
    if keys is None:
        raise InputError(
            f"study {path}: expected a mapping with the keys encoders and images, "
            f"got {type(content).__name__}"
        )
    return make_study(keys, where=f"study {path}")


def make_study(content: dict[str, Any], *, where: str = "study") -> Study:
    """Validate a study given as a mapping.

    >>> make_study({"encoders": [{"source": "pixels"}], "images": [{"source": "digits"}]}).name
    'study'
    """
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        problems = [_problem(one["loc"], one) for one in error.errors(include_url=False)]
        raise InputError(f"{where}: {len(problems)} problem(s)\n" + "\n".join(problems)) from error


# What is said of a value of another type, in the words of YAML; of the rest Pydantic speaks.
_LIST, _MAPPING = "expected a list, such as [a, b]", "expected a mapping, such as {source: digits}"
_EXPECTED = {
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "string_type": "expected a text; YAML takes numbers and dates for texts in quotes only",
}


def _problem(keys: tuple[int | str, ...], problem: Mapping[str, Any]) -> str:
    """One problem in one line."""
    field = ".".join(str(part) for part in keys) or "the whole"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1])
        near = difflib.get_close_matches(str(keys[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"  {field}: no such key; {hint}"
    got = "" if problem["type"] == "missing" else f" (got {repr(problem['input'])[:80]})"
    said = _EXPECTED.get(problem["type"], str(problem["msg"])).removeprefix("Value error, ")
    return f"  {field}: {said}{got}"


def _known_keys(keys: tuple[int | str, ...]) -> list[str]:
    """Keys that a part of a study may have."""
    model: type[BaseModel] = Study
    for part in keys:
        if isinstance(part, str) and part in model.model_fields:
            model = inner_model(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, alone, in a tuple or beside None; None for other fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (inner_model(part) for part in get_args(annotation))
    return next((one for one in inner if one is not None), None)


class _CallableModule(ModuleType):
    """``mgm.study`` is this module once it is imported, and the function that users call."""

    def __call__(self, **how: Any) -> Any:
        # By name: the study file knows nothing of those who run it.
        return importlib.import_module("mgm_jax.in_memory").study(**how)


sys.modules[__name__].__class__ = _CallableModule
