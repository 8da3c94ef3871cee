"""What every public result has: a table, one line, and what a notebook shows."""

from __future__ import annotations

from html import escape
from typing import Any

_ROWS = 12


class Result:
    """Base of the results: ``_repr_html_`` from the line, the picture and the table."""

    def to_pandas(self, *args: Any, **options: Any) -> Any:
        """The result as a table of pandas."""
        raise NotImplementedError

    def _line(self) -> str:
        """What stands above the picture."""
        return repr(self)

    def _picture(self) -> str:
        """The picture, as SVG."""
        raise NotImplementedError

    def _shown_table(self) -> Any:
        """The rows that are shown below it, a data frame."""
        return self.to_pandas()

    def _repr_html_(self) -> str:
        table = self._shown_table()
        table = table.to_frame() if table.ndim == 1 else table
        rows = table.head(_ROWS).to_html(float_format="{:.4g}".format, escape=True)
        rest = len(table) - _ROWS
        more = f"<p>and {rest} more rows: <code>.to_pandas()</code></p>" if rest > 0 else ""
        return f"<p>{escape(self._line())}</p><div>{self._picture()}</div>{rows}{more}"
