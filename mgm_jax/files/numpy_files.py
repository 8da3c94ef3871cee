# pyright: strict
"""Why NumPy cannot read a file, without its advice to load what may run code."""

from __future__ import annotations

from pathlib import Path

from mgm_jax.files.found_instead import found_instead

_OBJECTS = ("allow_pickle", "Python objects", "Object arrays")


def why_not(path: Path, error: Exception) -> str:
    """The end of a sentence on a .npy or .npz file that NumPy cannot read.

    Args:
        path: the file.
        error: what NumPy raised.

    >>> why_not(Path("labels.npy"), ValueError("Object arrays cannot be loaded when ..."))[:40]
    ': it holds objects of Python, which are '
    """
    zipped = path.suffix.lower() == ".npz"
    meant = "a zip archive" if zipped else "an array of NumPy (.npy)"
    instead = found_instead(path, meant=meant)
    text = str(error)
    if any(one in text for one in _OBJECTS):
        # NumPy takes all it does not know for a pickle.
        if instead and "begins as one" not in instead:
            return f".{instead}"
        return (
            ": it holds objects of Python, which are never loaded. Save numbers or texts, such as "
            "labels.astype(str)."
        )
    # A file that is there and begins as it should is cut short.
    return f": {text}.{instead}"
