"""What a study will cost before it runs: passes, bytes, hours, and what is there already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from mgm_jax.encoders import ARCHITECTURES
from mgm_jax.encoders.any_encoder import AnyEncoder
from mgm_jax.encoders.catalogue.published import Published
from mgm_jax.errors import name_some
from mgm_jax.features import StoredFeatures
from mgm_jax.sweep.plan.cells import Cell
from mgm_jax.sweep.plan.workload import Workload

# Bytes of a checksum beside a decoded image.
_CHECKSUM = 4
_FLOAT = 4


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """A published encoder that is not at hand.

    Attributes:
        name: of it.
        bytes: of its encoder in float32; heads and optimizers in the file come on top.
        licence: of the weights.
        obstacle: why it cannot be fetched by itself; empty where it can.
    """

    name: str
    bytes: int
    licence: str
    obstacle: str

    @classmethod
    def of(cls, one: Published) -> Fetch:
        """What is known of a published encoder before it is fetched."""
        return cls(
            name=one.name,
            bytes=_FLOAT * one.parameters,
            licence=one.licence,
            obstacle=one.obstacle and "not by itself",
        )


@dataclass(frozen=True, kw_only=True)
class Share:
    """Views that one encoder has to look at.

    Attributes:
        encoder: its name.
        network: what decides the speed: encoders of one network take equally long.
        views: forward passes in all.
        done: how many of them are there.
    """

    encoder: str
    network: str
    views: int
    done: int

    @property
    def left(self) -> int:
        """Forward passes still to do."""
        return self.views - self.done


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a study comes to.

    Attributes:
        name: of the study.
        fetches: published encoders that are not at hand.
        shares: forward passes, an entry an encoder.
        images: name of each image set to its number of images.
        cells: cells to measure; ``cells_done`` of them are there.
        cells_done: as it says.
        transfers: probes and scores.
        transfers_done: as it says.
        embedding_bytes: of all embeddings.
        canvas_bytes: of the decoded images, as far as the limit lets them.
        unloaded: encoders that cannot be loaded, with the reason.
        rates: views a second of each network, measured; empty where no trial was made.
        cell_seconds: seconds of measuring one cell, measured; 0 where no trial was made.
    """

    name: str
    fetches: tuple[Fetch, ...]
    shares: tuple[Share, ...]
    images: Mapping[str, int]
    cells: int
    cells_done: int
    transfers: int
    transfers_done: int
    embedding_bytes: int
    canvas_bytes: int
    unloaded: tuple[tuple[str, str], ...]
    rates: Mapping[str, float]
    cell_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Of what is left, on this host: looking at all views, and measuring all cells."""
        looking = sum(one.left / self.rates[one.network] for one in self.shares)
        return looking + self.cell_seconds * (self.cells - self.cells_done)

    def lines(self) -> list[str]:
        """The forecast in words."""
        views = sum(one.views for one in self.shares)
        done = sum(one.done for one in self.shares)
        sets = ", ".join(f"{name} ({count:,} images)" for name, count in self.images.items())
        lines = [
            self.name,
            f"  encoders         {len(self.shares)} of "
            f"{len({one.network for one in self.shares})} network(s)",
            f"  images           {sets}",
            *self._fetch_lines(),
            f"  forward passes   {views:,}" + (f", {done:,} of them there" if done else ""),
            f"  cells            {self.cells:,} to measure"
            + (f", {self.cells_done:,} of them there" if self.cells_done else ""),
        ]
        if self.transfers:
            lines.append(
                f"  transfer         {self.transfers:,} probes and scores"
                + (f", {self.transfers_done:,} of them there" if self.transfers_done else "")
            )
        lines.append(
            f"  disk             {_size(self.embedding_bytes)} of embeddings, up to "
            f"{_size(self.canvas_bytes)} of decoded images"
        )
        if self.rates:
            of = ", ".join(f"{name} {rate:.3g}" for name, rate in self.rates.items())
            probes = ", probes not counted" if self.transfers else ""
            lines += [
                f"  time             about {_duration(self.seconds)} on this host{probes}",
                f"                   measured just now, views a second: {of}",
            ]
        lines += [
            f"  left out         {name}: {what.splitlines()[0]}" for name, what in self.unloaded
        ]
        return lines

    def _fetch_lines(self) -> list[str]:
        if not self.fetches:
            return ["  to fetch         nothing"]
        able = [one for one in self.fetches if not one.obstacle]
        by_licence: dict[str, list[str]] = {}
        for one in able:
            by_licence.setdefault(one.licence, []).append(f"{one.name} ({_size(one.bytes)})")
        lines = [
            f"  to fetch         {len(able)} file(s), at least "
            f"{_size(sum(one.bytes for one in able))}; `mgm run --download` does it"
        ]
        lines += [
            f"                   {licence}: {', '.join(names)}"
            for licence, names in by_licence.items()
        ]
        unable = [one.name for one in self.fetches if one.obstacle]
        if unable:
            lines.append(
                f"                   by hand: {name_some(unable)}; `mgm convert NAME --download` "
                "says how"
            )
        return lines


def forecast(
    work: Workload,
    *,
    fetches: Sequence[Published] = (),
    rates: Mapping[str, float] | None = None,
    cell_seconds: float = 0.0,
) -> Forecast:
    """Count what a workload has to do, and what an earlier run has left.

    Args:
        work: the study; opened, nothing of it done.
        fetches: published encoders that are not at hand.
        rates: views a second of each network, by :func:`network_of`.
        cell_seconds: of measuring one cell.
    """
    measured = [cell for cell in work.cells if work.is_measured(cell)]
    canvases = 0
    if work.cache is not None:
        looks = {
            (cell.images.name, look.resize, look.interpolation): len(cell.images.source)
            * (3 * look.resize**2 + _CHECKSUM)
            for cell in work.embedded
            if (look := getattr(cell.subject.encoder, "preprocess", None)) is not None
        }
        canvases = min(sum(looks.values()), work.cache.limit)
    return Forecast(
        name=work.study.name,
        fetches=tuple(map(Fetch.of, fetches)),
        shares=tuple(_shares(work)),
        images={one.name: len(one.source) for one in work.sources},
        cells=len(measured),
        cells_done=sum(work.record_path(cell).is_file() for cell in measured),
        transfers=len(work.transfers),
        transfers_done=sum(work.transfer_path(job).is_file() for job in work.transfers),
        embedding_bytes=sum(_stored_bytes(work, cell) for cell in work.embedded),
        canvas_bytes=canvases,
        unloaded=tuple((one.where, one.what) for one in work.unloaded),
        rates=rates or {},
        cell_seconds=cell_seconds,
    )


def network_of(encoder: AnyEncoder) -> str:
    """What decides how long a view takes: the network and the size of its input."""
    look, spec = encoder.preprocess, encoder.spec
    # A published encoder is of an architecture that has a name, whatever its own.
    alike = asdict(spec) | {"image_size": 0}
    names = (
        name
        for name, one in ARCHITECTURES.items()
        if type(one.spec) is type(spec) and asdict(one.spec) | {"image_size": 0} == alike
    )
    name = next(names, encoder.meta.get("architecture") or spec.family)
    return f"{name} at {look.size}"


def _shares(work: Workload) -> Iterator[Share]:
    """An entry an encoder; layers of one pass count once, features on the disk not at all."""
    passes: dict[str, dict[object, list[Cell]]] = {}
    networks = {}
    for cell in work.embedded:
        encoder, name = cell.subject.encoder, cell.subject.name
        if not isinstance(encoder, StoredFeatures):
            networks[name] = network_of(encoder)
            own = passes.setdefault(name, {})
            own.setdefault((cell.images.name, cell.plan), []).append(cell)
    for name, plans in passes.items():
        cells = [group[0] for group in plans.values()]
        yield Share(
            encoder=name,
            network=networks[name],
            views=sum(cell.plan.rows for cell in cells),
            # A pass is there when all its layers are.
            done=sum(min(_rows_there(work, cell) for cell in group) for group in plans.values()),
        )


def _rows_there(work: Workload, cell: Cell) -> int:
    commits = len(list((work.embeddings_path(cell) / "commits").glob("[0-9]*.json")))
    return min(cell.plan.rows, commits * cell.plan.chunk_rows)


def _stored_bytes(work: Workload, cell: Cell) -> int:
    width = 2 if "16" in work.study.dtype else _FLOAT
    return cell.plan.rows * cell.manifest.width * width


def _size(number: float) -> str:
    """Bytes in words.

    >>> _size(94_000_000), _size(2_500_000_000)
    ('94 MB', '2.5 GB')
    """
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def _duration(seconds: float) -> str:
    """A time in the unit that fits it.

    >>> _duration(40), _duration(600), _duration(7200)
    ('40 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
