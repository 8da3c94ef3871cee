"""Large parts of the page, packed: deflate in base64, which the browser unpacks by itself.

A page with Plotly and the figures of sixty encoders would be 7 MB; packed it is 2 to 3 MB. Base64
has no character that could end a script element or an attribute, whatever the names within.
"""

from __future__ import annotations

import base64
import functools
import zlib


def pack(content: str | bytes) -> str:
    """Text (as UTF-8) or bytes in the form that ``unpack`` in ``report.js`` reads."""
    raw = content.encode() if isinstance(content, str) else content
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


@functools.cache
def packed_plotly() -> str:
    """plotly.js, packed; the same for every page."""
    import plotly.offline

    return pack(plotly.offline.get_plotlyjs())
