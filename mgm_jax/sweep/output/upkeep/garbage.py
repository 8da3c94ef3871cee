"""What lies in an output folder and no study refers to: embeddings, records, images, leftovers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mgm_jax.errors import InputError, name_some
from mgm_jax.files.whole import DAMAGED, PART
from mgm_jax.sweep.output.hold import hold
from mgm_jax.sweep.output.layout import read_layouts
from mgm_jax.sweep.output.ledger import FOLDER as FAILED
from mgm_jax.sweep.plan.workload import CANVASES

#: Temporary files of a writer that was killed begin so.


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What may be removed.

    Attributes:
        out: the output folder.
        kept_for: the studies whose files stay: name and origin of each.
        paths: files and folders that none of them refers to, and their bytes.
    """

    out: Path
    kept_for: tuple[tuple[str, str], ...]
    paths: tuple[tuple[Path, int], ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(size for _, size in self.paths)

    def lines(self) -> list[str]:
        """The account in words, one line a path."""
        kept = [f"kept for {name} ({origin})" for name, origin in self.kept_for]
        unreferenced = [
            f"{path.relative_to(self.out)}  {_bytes(size)}" for path, size in self.paths
        ]
        return [*kept, *unreferenced, f"{len(self.paths)} unreferenced, {_bytes(self.size)} in all"]


def find_garbage(out: Path, *, forget: tuple[str, ...] = ()) -> Garbage:
    """Find what no study of an output folder refers to.

    Args:
        out: the output folder.
        forget: origins, paths or names of studies that no longer count.

    Raises:
        InputError: no study was run in ``out``, or none of those that ``forget`` names.
    """
    layouts = read_layouts(out)
    dropped = {}
    for one in forget:
        meant = {one, str(Path(one).expanduser().resolve())}
        of_one = {p: f for p, f in layouts.items() if f.origin in meant or f.name == one}
        if not of_one:
            known = name_some(f"{files.name} ({files.origin})" for files in layouts.values())
            raise InputError(f"{out}: no study {one!r} was run here, but {known}")
        dropped |= of_one
    kept = [files for path, files in layouts.items() if path not in dropped]
    wanted = {out / name for files in kept for name in files.paths()}
    paths = [path for path in _owned(out) if path not in wanted]
    owned = set(paths)
    paths += [path for path in _leftovers(out) if owned.isdisjoint([path, *path.parents])]
    return Garbage(
        out=out,
        kept_for=tuple((files.name, files.origin) for files in kept),
        paths=tuple((path, _size(path)) for path in sorted([*paths, *dropped])),
    )


def collect_garbage(out: Path, *, forget: tuple[str, ...] = ()) -> Garbage:
    """Remove what no study refers to; says what it was.

    Raises:
        InputError: a run writes into ``out`` at the moment, or no study was run there.
    """
    with hold(out):
        garbage = find_garbage(out, forget=forget)
        for path, _ in garbage.paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for folder in (out / "embeddings").glob("*/"):
            if not any(folder.iterdir()):
                folder.rmdir()
    return garbage


def _owned(out: Path) -> Iterator[Path]:
    """Everything that belongs to some cell or encoder, of this study or of another."""
    for pattern in ("embeddings/*/*", "records/*", f"{FAILED}/*", "encoders/*", f"{CANVASES}/*"):
        yield from (path for path in out.glob(pattern) if not path.name.startswith(PART))


def _leftovers(out: Path) -> Iterator[Path]:
    for where, _, names in os.walk(out):
        for name in names:
            # TensorStore writes NAME.__lock and renames it.
            if name.startswith(PART) or name.endswith((".__lock", DAMAGED)):
                yield Path(where) / name


def _size(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(
        (Path(where) / name).lstat().st_size for where, _, names in os.walk(path) for name in names
    )


def _bytes(size: int) -> str:
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
