"""From what a user names to a file: a path, a folder, a name on a hub, a published encoder."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm_converters.reading.files.download import cache_folder, download
from mgm_converters.reading.files.shards import INDEX_ENDING, is_index, part_names, read_index
from mgm_converters.reading.jax_files import digest_of, jax_format
from mgm_converters.reading.partitioned import partition_of_folder, whole_in_folder
from mgm_converters.recognition.evidence.settings import (
    CONFIG,
    PREPROCESSOR,
    Settings,
    read_settings,
)
from mgm_converters.recognition.evidence.traces import published_name
from mgm_jax.encoders import ARCHITECTURES
from mgm_jax.encoders.catalogue.published import PUBLISHED, Published
from mgm_jax.encoders.checkpoint import is_encoder_folder
from mgm_jax.errors import InputError, name_some
from mgm_jax.zoo import is_zoo_source, zoo_files

# Names of weights in a folder or repository of Hugging Face or timm, the one to take first.
WEIGHTS = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
_HUBS = {"hf:": "", "timm:": "timm/"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file of weights, and what is known of it besides.

    Attributes:
        file: of the weights.
        config: the settings beside it, None where there are none.
        model: name of the published encoder, None where it was not given by name.
        name: what to call the encoder; empty where the file's name is to be taken.
    """

    file: Path
    settings: Settings | None = None
    model: str | None = None
    name: str = ""


def is_hub_name(text: str) -> bool:
    """Whether a source is a name on a hub, ``hf:owner/name`` or ``timm:name``."""
    return text.startswith(tuple(_HUBS))


def find_source(text: str | Path, *, fetch: bool = False) -> Source:
    """The file that a user means.

    Args:
        text: path of a checkpoint; folder with ``config.json`` and weights; ``hf:owner/name`` or
            ``timm:name`` with ``@revision`` where wanted; ``zoo:name``; or the name of a published
            encoder.
        fetch: whether a published encoder may be downloaded.

    Raises:
        InputError: nothing of that name, weights that are missing, or no connection.
    """
    path, name = Path(text), str(text)
    if path.is_dir() and jax_format(path):
        return Source(file=path, name=path.resolve().name)
    if path.is_dir():
        weights = weights_in(path)
        return Source(file=weights, settings=read_settings(path), name=path.resolve().name)
    if path.is_file():
        # A settings file beside the weights speaks for them only under the hubs' own names.
        own = path.name in WEIGHTS or is_index(path)
        return Source(file=path, settings=read_settings(path.parent) if own else None)
    if is_zoo_source(name):
        return Source(file=_zoo_file(name))
    if is_hub_name(name):
        return _from_hub(name)
    name = published_name(name) if published_name(name) in PUBLISHED else name
    if name in PUBLISHED:
        return Source(file=_published_file(PUBLISHED[name], fetch=fetch), model=name, name=name)
    if fetch or not path.suffix:
        raise InputError(_unknown(name))
    return Source(file=path)


# Endings of files that hold weights, where a folder has one of them alone.
_ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar", ".th", ".pkl")
# Files of a training that are no weights.
_NO_WEIGHTS = ("training_args.bin", "optimizer.pt", "scheduler.pt", "optimizer.bin")


def weights_in(folder: Path) -> Path:
    """The file of weights in a folder, or the index of weights in parts.

    Raises:
        InputError: none, several of which none has a known name, weights both whole and in parts,
            or one device's share of them.
    """
    present = [name for name in WEIGHTS if (folder / name).is_file()]
    indices = [
        name + INDEX_ENDING for name in WEIGHTS if (folder / (name + INDEX_ENDING)).is_file()
    ]
    for index in indices:
        whole = index.removesuffix(INDEX_ENDING)
        if whole in present:
            raise InputError(
                f"{folder}: holds {whole} and, in parts, what {index} lists, and either may be "
                f"left over from another save; name the one that is meant: {folder / whole} or "
                f"{folder / index}"
            )
    # In the order of WEIGHTS, whole or in parts.
    named = [one for name in WEIGHTS for one in (name, name + INDEX_ENDING)]
    known = [name for name in named if name in present or name in indices]
    if known:
        return folder / known[0]
    if is_encoder_folder(folder):
        raise InputError(f"{folder}: is a converted encoder already; load_encoder reads it")
    shares = partition_of_folder(folder)
    if shares:
        raise InputError(f"{folder}: {shares}")
    others = whole_in_folder(folder) or sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name.endswith(_ENDINGS) and path.name not in _NO_WEIGHTS
    )
    if len(others) == 1:
        return others[0]
    if others:
        raise InputError(
            f"{folder}: holds {len(others)} files that may be weights: "
            f"{name_some(path.name for path in others)}; name one of them"
        )
    raise InputError(f"{folder}: no weights here; expected one of {', '.join(WEIGHTS)}")


def digest_of_source(path: Path) -> str:
    """SHA-256 of the weights that a path names: of a file, or of all parts and their index."""
    if path.is_dir() and jax_format(path):
        return digest_of(path)
    file = weights_in(path) if path.is_dir() else path
    files = [file, *read_index(file)] if is_index(file) else [file]
    digests = []
    for one in files:
        with one.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    joined = " ".join(digests)
    return joined if len(files) == 1 else hashlib.sha256(joined.encode()).hexdigest()


def _zoo_file(name: str) -> Path:
    first, *more = zoo_files(name)
    if more:
        raise InputError(f"{name}: names {len(more) + 1} encoders; convert them one by one")
    return first


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, [*PUBLISHED, *ARCHITECTURES], n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`mgm models` lists the names"
    return f"{name}: no such file, and no published encoder of that name; {hint}"


def not_at_hand(names: Iterable[str]) -> tuple[Published, ...]:
    """The published encoders, of some, that no earlier download has left in the cache."""
    return tuple(PUBLISHED[name] for name in names if not _cached(PUBLISHED[name]).is_file())


def _cached(one: Published) -> Path:
    return cache_folder() / one.name / (one.file_name or "weights")


def _published_file(one: Published, *, fetch: bool) -> Path:
    file = _cached(one)
    if file.is_file():
        # Compared with what was recorded when it was fetched.
        return download(one.address, file, sha256=one.sha256)
    if one.obstacle:
        raise InputError(f"{one.name}: published at {one.address}, but {one.obstacle}")
    if not fetch:
        raise InputError(
            f"{one.name} is published at {one.address}; add --download to fetch it, or fetch it "
            f"by hand and run `mgm convert FILE --model {one.name}`"
        )
    return download(one.address, file, sha256=one.sha256)


def _from_hub(text: str) -> Source:
    prefix = next(one for one in _HUBS if text.startswith(one))
    repository, _, revision = (_HUBS[prefix] + text.removeprefix(prefix)).partition("@")
    if repository.count("/") != 1 or repository.startswith("/") or repository.endswith("/"):
        raise InputError(f"{text}: expected hf:owner/name or timm:name")
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise InputError(
            f"{text}: needs the huggingface_hub library, which comes with transformers and timm: "
            "pip install huggingface_hub; or fetch the repository by hand and convert its folder"
        ) from error
    folder = None
    for name in (CONFIG, PREPROCESSOR):
        file, _ = _hub_file(hub, repository, name, revision)
        folder = file.parent if file is not None and name == CONFIG else folder
    weights, reason = _hub_weights(hub, repository, revision)
    if weights is None:
        raise InputError(
            f"{text}: found no weights ({reason}); expected one of {', '.join(WEIGHTS)}. Where "
            "there is no network, only what the local cache holds can be loaded (HF_HOME)"
        )
    return Source(
        file=weights,
        settings=None if folder is None else read_settings(folder),
        name=repository.rpartition("/")[2],
    )


def _hub_weights(hub: Any, repository: str, revision: str) -> tuple[Path | None, str]:
    reason = ""
    for name in WEIGHTS:
        file, reason = _hub_file(hub, repository, name, revision)
        if file is not None:
            return file, ""
    for name in WEIGHTS:
        index, _ = _hub_file(hub, repository, name + INDEX_ENDING, revision)
        if index is not None:
            for part in part_names(index):
                _, reason = _hub_file(hub, repository, part, revision)
            read_index(index)
            return index, ""
    return None, reason


def _hub_file(hub: Any, repository: str, name: str, revision: str) -> tuple[Path | None, str]:
    """A file of a repository, from the cache where it lies there; or None and the reason."""
    try:
        return Path(hub.hf_hub_download(repository, name, revision=revision or None)), ""
    # The library passes on whatever its connections raise; all mean that there is no file.
    except Exception as error:
        lines: Sequence[str] = str(error).strip().splitlines()
        return None, f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
