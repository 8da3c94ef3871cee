"""A study of arrays in memory: the whole tool from one call, and what it found in one value."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm_jax.errors import InputError, name_some
from mgm_jax.geometry.points.checks import as_array, is_real
from mgm_jax.geometry.points.frames import refuse_other_order
from mgm_jax.geometry.points.groups import column_texts
from mgm_jax.shown.result import Result

if TYPE_CHECKING:
    import pandas as pd

    from mgm_jax.images import ImageSource

_TABLES = (
    *("summary", "models", "groups", "points", "clusters", "cluster_agreement", "similarity"),
    *("transfer", "prediction", "predictions", "features"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyResults(Result):
    """Every table of a study, and its report.

    Attributes:
        folder: where they lie, as Parquet and CSV.
        tables: those that the study gave ground for, by name: ``summary`` (means with intervals),
            ``models`` (a row a model), ``groups``, ``points``, ``clusters``,
            ``cluster_agreement``, ``similarity``, ``transfer``, ``prediction``, ``predictions``,
            ``features``.
        headline: what was found, in a sentence or two.
        page: the report.
    """

    folder: Path
    tables: Mapping[str, pd.DataFrame]
    headline: str
    page: Path

    def __getattr__(self, name: str) -> pd.DataFrame:
        """A table as an attribute, such as ``results.summary``."""
        if name.startswith("_") or name not in self.tables:
            raise AttributeError(
                f"StudyResults has no table {name!r}; it has {', '.join(self.tables)}"
            )
        return self.tables[name]

    def to_pandas(self) -> pd.DataFrame:
        """The summary: a row a model, setting and metric, means with intervals."""
        return self.tables["summary"]

    def __repr__(self) -> str:
        """The headline and where the rest is."""
        return f"StudyResults({self.headline} Tables: {', '.join(self.tables)}; {self.page})"

    def _line(self) -> str:
        return f"{self.headline} {self.page}"

    def _picture(self) -> str:
        from mgm_jax.shown.plot import intervals_svg

        models = self.tables["models"]
        shown = [name for name in ("nnk_degree", "rankme", "knn_accuracy") if name in models]
        return "".join(
            f"<div>{name}</div>{intervals_svg(models.iloc[:, 0].tolist(), models[name].to_numpy())}"
            for name in shown[:1]
        )

    def _shown_table(self) -> pd.DataFrame:
        return self.tables["models"].iloc[:, :12]


def study(
    *,
    features: Mapping[str, Any] | None = None,
    encoders: Mapping[str, Any] | Sequence[str | Path] | None = None,
    images: Any | None = None,
    settings: Sequence[str] | None = None,
    labels: Sequence[Any] | np.ndarray | None = None,
    ids: Sequence[Any] | np.ndarray | None = None,
    scores: pd.DataFrame | str | Path | None = None,
    probes: Sequence[str] = (),
    families: Mapping[str, str] | None = None,
    paradigms: Mapping[str, str] | None = None,
    out: str | Path = "results",
    name: str = "study",
    **options: Any,
) -> StudyResults:
    """Measure, cluster, compare and predict from one call; ``mgm run`` on values in memory.

    What is done already in ``out`` is not done again; a changed array or encoder is measured anew.

    Args:
        features: name of each model to its features of the same images in the same order,
            ``[n, d]``, or ``[images, views, d]``: NumPy, JAX, PyTorch or pandas; or to a file of
            them (``.npy``, ``.npz``, ``.safetensors``, ``.parquet``, ``.h5``, a folder of zarr).
        encoders: name of each encoder to what it is: one of :func:`mgm_jax.load_encoder`, a
            callable in :func:`mgm_jax.wrap`, a model of timm, or a source as a study file names it
            (a checkpoint, an architecture, ``torch:timm/NAME``, ``onnx:file.onnx``); or a list of
            such sources.
        images: what the encoders look at: a source as a study file names it, such as a folder of
            classes or ``digits``, or several, or mappings with the keys of an image set; or images
            in memory: an array ``[n, h, w(, c)]``, a ``torch.utils.data.Dataset`` or another data
            set with items, what :func:`mgm_jax.open_source` gives, or names to several of these.
        settings: augmentation settings that encoders are measured under; None for those of a
            study, an empty list for none.
        labels: one label an image of the features, or of images in memory, or a file of those of
            the features; None makes one cloud of all images.
        ids: one name an image; None counts them.
        scores: known scores of transfer, a row a model (the index, or the first column of a file)
            and a column a task; None predicts nothing, unless there are probes.
        probes: of ``linear``, ``ridge``, ``knn``, ``few-shot``: measured on the labels.
        families: name of a model to its family, for comparisons and held-out prediction.
        paradigms: name of a model to how it was trained.
        out: folder of the results.
        name: title of the report.
        **options: further keys of a study, such as ``metrics={"k": 20}``, ``seed=1``.

    Returns:
        Every table, the headline and the page.

    Raises:
        InputError: arrays that do not fit each other or the labels; what a study may not have.

    Example:
        >>> import tempfile
        >>> x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
        >>> result = study(features={"a": x, "b": x**3}, labels=np.arange(60) % 3,
        ...               metrics={"k": 5, "resamples": 100}, out=tempfile.mkdtemp())
        >>> sorted(set(result.summary["encoder"]))
        ['a', 'b']
    """
    from mgm_jax.conversion import convert_entry, open_model
    from mgm_jax.images.sources.files.names import writable
    from mgm_jax.report import headline_of_results, write_report
    from mgm_jax.study import make_study
    from mgm_jax.sweep import run_study

    features = {} if features is None else features
    if not isinstance(features, Mapping):
        raise InputError(
            "features must be names of models to their features, such as {'mine': x}; got "
            f"{type(features).__name__}."
        )
    if not features and not encoders:
        raise InputError("features or encoders must name at least one model; got none.")
    if bool(encoders) != (images is not None):
        raise InputError("encoders and images go together: each needs the other.")
    models = {*map(str, features), *(map(str, encoders) if isinstance(encoders, Mapping) else ())}
    for what, named in (("families", families), ("paradigms", paradigms)):
        if models and (unknown := [one for one in named or () if str(one) not in models]):
            raise InputError(
                f"{what} must be of models of the study, {name_some(sorted(models))}; got also "
                f"{name_some(unknown)}."
            )
    tables = [(f"features[{one!r}]", value) for one, value in features.items()]
    for what, value in [*tables[1:], ("labels", labels), ("ids", ids)]:
        if tables:
            refuse_other_order(tables[0][1], value, names=(tables[0][0], what))
    folder = Path(out)
    inputs = folder / "inputs"
    try:
        inputs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out must be a folder that can be written to: {error}.") from error
    written = {one: _file(inputs, one, value) for one, value in features.items()}
    beside = {
        key: str(
            Path(values).resolve()
            if isinstance(values, str | Path)
            else _column(inputs / f"{key}.csv", key[:-1], values)
        )
        for key, values in (("labels", labels), ("ids", ids))
        if values is not None
    }
    entries = [
        {"name": writable(str(one)), "source": str(path.resolve()), **beside}
        | ({"family": families[one]} if families and one in families else {})
        | ({"paradigm": paradigms[one]} if paradigms and one in paradigms else {})
        for one, path in written.items()
    ]
    content: dict[str, Any] = {"name": name, "features": entries}
    given: dict[str, Any] = {}
    held: dict[str, ImageSource] = {}
    if encoders:
        content["encoders"], given = _encoders(encoders, families or {}, paradigms or {})
        content["images"], held = _images(images, None if features else (labels, ids))
    if settings:
        content["augmentation"] = {"settings": list(settings)}
    elif settings is not None or not encoders:
        content["augmentation"] = None
    content |= options
    transfer: dict[str, Any] = {}
    if probes:
        targets = [{"source": "features:images"}] if features else []
        transfer |= {"targets": targets + content.get("images", []), "probes": list(probes)}
        transfer |= {"scores": []}
    if scores is not None:
        transfer["score_table"] = str(_scores(inputs, scores))
    if transfer:
        content["transfer"] = transfer | content.get("transfer", {})
    result = run_study(
        make_study(content, where="study"),
        folder,
        base=Path.cwd(),
        convert=convert_entry,
        callables=given,
        open_model=open_model,
        image_sets=held,
    )
    result.refuse_nothing()
    page = write_report(folder)
    for failure in result.failures:
        warnings.warn(f"not measured: {failure.where}: {failure.what}", stacklevel=2)
    headline = headline_of_results(folder)
    return StudyResults(
        folder=folder,
        tables=_tables(folder),
        headline=f"{headline.title} {headline.lead}".strip(),
        page=page,
    )


def _encoders(
    encoders: Mapping[str, Any] | Sequence[str | Path],
    families: Mapping[str, str],
    paradigms: Mapping[str, str],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The entries of a study, and the encoders that they name as callables."""
    from mgm_jax.encoders.callables.given import as_encoder

    if not isinstance(encoders, Mapping):
        return [{"source": str(one)} for one in encoders], {}
    entries, given = [], {}
    for name, value in encoders.items():
        source = str(value)
        if not isinstance(value, str | Path):
            given[name] = as_encoder(name, value)
            source = f"callable:{name}"
        entries.append(
            {"name": name, "source": source}
            | ({"family": families[name]} if name in families else {})
            | ({"paradigm": paradigms[name]} if name in paradigms else {})
        )
    return entries, given


def _images(
    images: Any, said: tuple[Any, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, ImageSource]]:
    """The entries of a study, and the sets in memory that they name.

    Args:
        images: as :func:`study` takes them.
        said: labels and ids of one set in memory.
    """
    from mgm_jax.images import open_source

    if isinstance(images, str | Path) or (isinstance(images, Mapping) and "source" in images):
        images = [images]
    listed = isinstance(images, list | tuple)
    if listed and all(isinstance(one, str | Path | Mapping) for one in images):
        entries = [one if isinstance(one, Mapping) else {"source": str(one)} for one in images]
        # Items of a data set are mappings, too; they have no source.
        if all("source" in one for one in entries):
            return [dict(one) for one in entries], {}
    sets = images if isinstance(images, Mapping) else {"images": images}
    labels, ids = said if said is not None and len(sets) == 1 else (None, None)
    held = {}
    for name, one in sets.items():
        if isinstance(one, str | Path):
            held[name] = open_source(one, warn=False)
        else:
            held[name] = open_source(one, name=name, labels=labels, ids=ids, warn=False)
    return [{"name": name, "source": f"held:{name}"} for name in held], held


def open_report(results: StudyResults | str | Path) -> Path:
    """Write the page of finished results and open it in a browser, where there is one.

    Args:
        results: from :func:`study`, or a folder of results.

    Returns:
        The page.
    """
    import webbrowser

    from mgm_jax.report import write_report

    folder = results.folder if isinstance(results, StudyResults) else Path(results)
    page = write_report(folder)
    webbrowser.open(page.resolve().as_uri())
    return page


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    import pandas as pd

    files = {name: folder / f"{name}.parquet" for name in _TABLES}
    return {name: pd.read_parquet(file) for name, file in files.items() if file.is_file()}


def _file(folder: Path, name: str, value: Any) -> Path:
    """Features in a file: the one that is named, or one that is written."""
    from mgm_jax.files.names import safe_name
    from mgm_jax.files.whole import whole_file

    if isinstance(value, str | Path):
        return Path(value)
    array = np.asarray(as_array(value, name=f"features[{name!r}]"))
    if not is_real(array.dtype) and array.dtype != bool:
        raise InputError(
            f"features[{name!r}] must hold real numbers; got {array.dtype}. Convert it to float32."
        )
    # What float32 holds of wider numbers is looked at where all features are read.
    exact = array.dtype.itemsize <= (2 if array.dtype.kind in "iu" else 4)
    kept = np.float32 if exact else np.float64
    path = folder / f"{safe_name(str(name))}.npy"
    with whole_file(path) as part:
        np.save(part, np.ascontiguousarray(array, kept), allow_pickle=False)
    return path


def _column(path: Path, name: str, values: Any) -> Path:
    from mgm_jax.files.whole import whole_file
    from mgm_jax.images.sources.files.names import writable

    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([name])
        texts = column_texts(values, name=f"{name}s")
        # As the names of files are written, where a folder of images states them.
        writer.writerows([[writable(one)] for one in texts])
    return path


def _scores(folder: Path, scores: Any) -> Path | str:
    from mgm_jax.files.whole import whole_file

    if isinstance(scores, str) and scores.startswith("published:"):
        return scores
    if isinstance(scores, str | Path):
        return Path(scores).resolve()
    if not hasattr(scores, "to_csv"):
        raise InputError(
            "scores must be a data frame, a row a model and a column a task, or a file of one; got "
            f"{type(scores).__name__}."
        )
    path = folder / "scores.csv"
    with whole_file(path) as part:
        scores.to_csv(part, index_label="model")
    return path.resolve()
