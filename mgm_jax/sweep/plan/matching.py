"""Files that one entry of a study stands for, and names that tell them apart."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path


def matching_files(source: str, *, base: Path) -> list[Path]:
    """The files that a glob matches, sorted; steps that exist as they are written are no patterns.

    Args:
        source: the glob, relative to ``base`` or absolute.
        base: folder that it is seen from.
    """
    pattern = _pattern(Path(source).expanduser(), base)
    return sorted(base / one for one in glob.glob(pattern, root_dir=base, recursive=True))


def _pattern(source: Path, base: Path) -> str:
    """A glob in which steps that exist as they are written are no patterns: ``[lr=1e-3]``."""
    steps: list[str] = []
    whole = True
    for step in source.parts:
        whole = whole and (base / Path(*steps, step)).exists()
        steps.append(step)
        if whole:
            continue
        break
    literal = steps if whole else steps[:-1]
    rest = source.parts[len(literal) :]
    return str(Path(*(glob.escape(step) for step in literal), *rest))


def told_apart(files: Sequence[Path], *, stem: Callable[[Path], str]) -> dict[Path, str]:
    """A name for each file: its stem, with as many folders before it as tell it from the others.

    >>> files = [Path("lr1/best.pth"), Path("lr2/best.pth"), Path("last.pth")]
    >>> told_apart(files, stem=lambda file: file.stem).values()
    dict_values(['lr1-best', 'lr2-best', 'last'])
    """
    labels = {file: stem(file) for file in files}
    for depth in range(1, max((len(file.parts) for file in files), default=0)):
        counts = Counter(labels.values())
        for file in files:
            if counts[labels[file]] > 1:
                folders = file.parent.parts[-depth:]
                labels[file] = "-".join((*(f.strip("/\\") for f in folders), stem(file)))
    return labels
