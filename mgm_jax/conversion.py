"""What a study asks of the converters: checkpoints to Flax, models of other libraries opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgm_jax.encoders import WrappedEncoder


def open_model(entry: Any, base: Path, seed: int) -> WrappedEncoder:
    """The encoder of an entry ``torch:timm/NAME``, ``torch:hf/NAME`` or ``onnx:FILE``."""
    from mgm_converters.foreign import open_model as open_foreign

    return open_foreign(entry, base, seed)


def convert_entry(file: Path | str, entry: Any, cache: Path, *, fetch: bool = False) -> Path:
    """Convert a checkpoint into the study's cache, once for each content and what is said of it."""
    from mgm_converters import CONVERTER_VERSION
    from mgm_converters import convert as convert_checkpoint
    from mgm_converters.reading.files.source import digest_of_source, find_source
    from mgm_jax.encoders import PUBLISHED
    from mgm_jax.files.names import safe_name
    from mgm_jax.study import FeaturesEntry

    if isinstance(entry, FeaturesEntry):
        from mgm_converters.features import unpack_features

        return unpack_features(Path(file), cache)
    said = entry.conversion
    model = said.pop("model", None)
    given: Path | str = file
    if isinstance(file, str):
        known = file in PUBLISHED
        model = model or (file if known else None)
        file = find_source(file, fetch=fetch).file
        # What a name on a hub says of its weights, their path in a cache does not.
        given = file if known else given
    parts = [digest_of_source(file)[:12], f"c{CONVERTER_VERSION}", model or "recognised"]
    parts += [f"{name}={value}" for name, value in sorted(said.items())]
    folder = cache / safe_name("-".join((file.name, *parts)), most=160)
    if not folder.exists():
        made = convert_checkpoint(given, folder, model=model, **said)
        if made.report.doubt:
            # In a study nobody sees the report; the keys of the entry are named as the options.
            print(f"{file.name}: {made.report.doubt}", file=sys.stderr)
    return folder
