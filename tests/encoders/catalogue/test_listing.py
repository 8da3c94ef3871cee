"""What ``mgm models`` prints."""

from __future__ import annotations

from mgm_jax.encoders import ARCHITECTURES, PUBLISHED
from mgm_jax.encoders.catalogue.listing import address_lines, architecture_rows, published_rows


def test_every_entry_has_a_full_row() -> None:
    for (header, rows), names in (
        (published_rows(PUBLISHED.values()), PUBLISHED),
        (architecture_rows(ARCHITECTURES), ARCHITECTURES),
    ):
        assert [row[0] for row in rows] == list(names)
        assert all(len(row) == len(header) and all(row) for row in rows)


def test_every_address_is_whole_on_one_line() -> None:
    lines = dict(line.split(" ", 1) for line in address_lines(PUBLISHED.values()))
    assert list(lines) == list(PUBLISHED)
    assert lines["clip_vitb32"].endswith(f"sha256:{PUBLISHED['clip_vitb32'].sha256}")
    assert all(PUBLISHED[name].address in line for name, line in lines.items())
