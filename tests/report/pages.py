"""What a browser would make of a page, without its scripts."""

from __future__ import annotations

import base64
import json
import zlib
from html.parser import HTMLParser
from typing import Any


def unpack(packed: str) -> str:
    """The text of a packed part of a page."""
    return zlib.decompress(base64.b64decode(packed, validate=True)).decode()


def with_colours(value: Any) -> Any:
    """Plotly's checks know real colours, not the custom properties of the page."""
    if isinstance(value, dict):
        return {key: with_colours(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_colours(item) for item in value]
    return "#123456" if isinstance(value, str) and value.startswith("--") else value


class Page(HTMLParser):
    """Tags, words and figures of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.figures: dict[str, dict] = {}
        self._figure = ""
        self._script: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if "data-figure" in attributes:
            self._figure = attributes["data-figure"] or ""
        if tag == "script":
            self._script = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._script is not None:
            if self._figure and self._figure not in self.figures:
                self.figures[self._figure] = json.loads(unpack("".join(self._script)))
            self._script = None

    def handle_data(self, data: str) -> None:
        (self.text if self._script is None else self._script).append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())
