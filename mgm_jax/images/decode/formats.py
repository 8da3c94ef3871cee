"""Which files are read as images, which are passed over, and why.

What Pillow opens here is read, but for formats that it only names or hands to another program
(PostScript goes to Ghostscript). The tables below say the same to people: the page on inputs is
made from them.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath

from mgm_jax.files.formats import JPEG_XL, format_of
from mgm_jax.files.found_instead import stands_for_another

#: Formats of Pillow that are never opened, by its own names.
CLOSED_FORMATS = frozenset(("EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "PDF"))

_CONVERT = "convert it to PNG or JPEG"

#: Suffixes of files that hold pictures or might, which are not read; and what to do.
UNREAD_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), f"HEIF, which Pillow cannot decode; {_CONVERT}"),
    ".jxl": f"JPEG XL, which Pillow cannot decode; {_CONVERT}",
    **dict.fromkeys((".svg", ".svgz", ".wmf", ".emf"), f"a drawing without pixels; {_CONVERT}"),
    **dict.fromkeys((".pdf", ".eps", ".ps", ".ai", ".djvu"), f"a page, no picture; {_CONVERT}"),
    **dict.fromkeys(
        (".dng", ".cr2", ".cr3", ".crw", ".nef", ".arw", ".orf", ".raf", ".rw2", ".raw"),
        f"the raw data of a camera; develop it and {_CONVERT}",
    ),
    **dict.fromkeys((".dcm", ".nii", ".mha"), f"a medical scan; {_CONVERT}"),
    **dict.fromkeys((".exr", ".hdr"), f"more range than eight bits can show; {_CONVERT}"),
    **dict.fromkeys((".xcf", ".kra", ".clip"), f"a painting program's own; {_CONVERT}"),
    **dict.fromkeys(
        (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ogv"),
        "a film; take frames out of it",
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".tbz2", ".txz", ".7z", ".rar"),
        "an archive within the set; name it as a source of its own, or unpack it",
    ),
    **dict.fromkeys(
        (".npy", ".npz", ".h5", ".hdf5", ".hdf", ".parquet", ".arrow", ".tfrecord"),
        "an array or table; name it as a source of its own",
    ),
}

#: Suffixes of files that accompany images and are none.
DOCUMENT_SUFFIXES = frozenset(
    (
        *(".txt", ".md", ".rst", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".yaml", ".yml"),
        *(".html", ".htm", ".css", ".js", ".py", ".ipynb", ".sh", ".m", ".mat", ".pkl", ".pt"),
        *(".log", ".lst", ".list", ".ini", ".cfg", ".toml", ".lock", ".bib", ".tex", ".doc"),
        *(".docx", ".xls", ".xlsx", ".db", ".sha256", ".md5", ".sqlite"),
    )
)

#: Suffixes of tar archives.
TAR_SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz"),
    *(".tar.xz", ".txz", ".tar.zst", ".tzst"),
)

HIDDEN = "hidden, or written by the system"
DOCUMENT = "no image by its name"
STRANGE = "no image by its name, of a kind that is not known"
NO_SUFFIX = "no suffix, so not known to be an image"

#: Reasons that need no warning: nobody takes such files for images.
HARMLESS = frozenset((HIDDEN, DOCUMENT))

_SYSTEM_NAMES = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"))
_PLAIN_NAMES = frozenset(("readme", "license", "licence", "copying", "makefile", "checksums"))
_SYSTEM_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "system volume information")


@lru_cache(maxsize=1)
def open_formats() -> tuple[str, ...]:
    """Names of the formats that are opened, in the order in which Pillow tries them."""
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in CLOSED_FORMATS)


@lru_cache(maxsize=1)
def image_suffixes() -> dict[str, str]:
    """Format of every suffix that is read.

    >>> image_suffixes()[".jpeg"], ".eps" in image_suffixes()
    ('JPEG', False)
    """
    from PIL import Image

    formats = set(open_formats())
    return {
        suffix: name
        for suffix, name in sorted(Image.registered_extensions().items())
        if name in formats and suffix not in UNREAD_SUFFIXES
    }


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is hidden, or the system's own.

    >>> is_hidden(".DS_Store"), is_hidden("__MACOSX"), is_hidden("Thumbs.db"), is_hidden("a.png")
    (True, True, True, False)
    """
    lower = name.lower()
    return name.startswith(".") or lower in _SYSTEM_NAMES or lower in _SYSTEM_FOLDERS


def why_passed_over(path: str) -> str | None:
    """Why a file is not read, by its path in the set; None where it is.

    >>> why_passed_over("cats/1.JPEG"), why_passed_over("cats/._1.JPEG")
    (None, 'hidden, or written by the system')
    """
    pure = PurePosixPath(path)
    if any(map(is_hidden, pure.parts)):
        return HIDDEN
    suffix = pure.suffix.lower()
    if suffix in image_suffixes():
        return None
    if suffix in UNREAD_SUFFIXES:
        return UNREAD_SUFFIXES[suffix]
    if suffix in DOCUMENT_SUFFIXES or (not suffix and pure.name.lower() in _PLAIN_NAMES):
        return DOCUMENT
    return STRANGE if suffix else NO_SUFFIX


# What Pillow opens if it is whole: of its damage Pillow itself tells more.
_OPENED = ("a PNG picture", "a JPEG picture", "a GIF picture")
_TO_CONVERT = ("an SVG drawing", "a PDF document", "a PostScript page", JPEG_XL)
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def what_it_is(content: bytes) -> str | None:
    """In words what a content is that is not opened as an image; None where nothing tells.

    >>> what_it_is(b"")
    'empty (0 bytes)'
    """
    if (stands_for := stands_for_another(content)) is not None:
        return stands_for
    if content[4:8] == b"ftyp":
        if content[8:12] in (b"avif", b"avis"):
            return "AVIF, cut short or damaged: get it again"
        heif = content[8:12] in _HEIF
        return f"HEIF, which Pillow cannot decode: {_CONVERT}" if heif else "a film"
    what = format_of(content)
    if not what or what in _OPENED:
        return None
    return f"{what}: {_CONVERT}" if what in _TO_CONVERT else what
