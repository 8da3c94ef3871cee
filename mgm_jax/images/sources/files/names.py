"""Names of files as ids: valid text, one spelling, everything in them visible."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

# Letters of other alphabets that look like a Latin one, and that one.
_TWINS = str.maketrans(
    "аеіјорсухѕһԁԛԝАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧοιν",
    "aeijopcyxshdqwABEKMHOPCTYXIJSABEZHIKMNOPTYXoiv",
)

# Separators, controls, formats without a form of their own, halves of pairs, private ones.
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))


def visible(raw: str) -> str:
    """The path of a file as text: composed (NFC), with what cannot be seen or is no UTF-8 escaped.

    Args:
        raw: parts joined by ``/``; bytes that are no UTF-8 as surrogates, as Python reads them.

    >>> visible("cafe\\u0301/1.png"), visible("caf\\udce9/\\n1.png"), visible("a /1.png")
    ('café/1.png', 'caf\\\\xe9/\\\\x0a1.png', 'a\\\\x20/1.png')
    """
    if raw.isascii() and raw.isprintable() and " /" not in raw and "/ " not in raw:
        return raw
    text = raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = unicodedata.normalize("NFC", text).split("/")
    return "/".join(_part(part) for part in parts)


def writable(text: str) -> str:
    """A name or label with what tables cannot hold escaped: bytes that are no UTF-8, controls.

    >>> writable("caf\\udce9 "), writable("a/b ")
    ('caf\\\\xe9\\\\x20', 'a/b ')
    """
    bare = all(one >= " " and not "\ud800" <= one <= "\udfff" for one in text)
    return text if bare else visible(text)


def _part(part: str) -> str:
    shown = "".join(_escaped(one) if _is_unseen(one) else one for one in part)
    # A space at an end is as good as unseen.
    inner = shown.strip(" ")
    lead = len(shown) - len(shown.lstrip(" "))
    return "\\x20" * lead + inner + "\\x20" * (len(shown) - lead - len(inner))


def _is_unseen(one: str) -> bool:
    kind = unicodedata.category(one)
    return kind in _UNSEEN or (kind == "Zs" and one != " ")


def _escaped(one: str) -> str:
    code = ord(one)
    if code < 2**8:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"


def distinct_ids(raws: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
    """Ids that differ, of files whose names differ only in how their letters are composed.

    The first such file, one whose name is composed if there is one, keeps its id; of the others
    every letter outside of ASCII is escaped.

    Args:
        raws: paths as they are.
        ids: the visible ones.
    """
    counts = Counter(ids)
    if len(counts) == len(ids):
        return tuple(ids)
    taken: set[str] = set()
    made = list(ids)
    composed_first = sorted(
        range(len(ids)), key=lambda i: (unicodedata.normalize("NFC", raws[i]) != raws[i], i)
    )
    for i in composed_first:
        if ids[i] in taken:
            # The id may be the end of the path alone.
            parts = raws[i].split("/")[-1 - ids[i].count("/") :]
            raw = "/".join(parts).encode("utf-8", "surrogateescape")
            shown = raw.decode("utf-8", "backslashreplace")
            made[i] = shown.encode("ascii", "backslashreplace").decode()
        taken.add(made[i])
    return tuple(made)


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ but look alike: in case, in width, by letters of other alphabets.

    >>> look_alikes(["cat", "Cat", "dog", "с\\u0430t"])
    [('Cat', 'cat', 'саt')]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        form = unicodedata.normalize("NFKC", name).translate(_TWINS).casefold()
        for escape in ("\\x20", "\\xa0", "\\u200b", "\\u200c", "\\u200d", "\\ufeff"):
            form = form.replace(escape, "")
        groups.setdefault(" ".join(form.split()), []).append(name)
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1]
