"""Examples of docstrings keep their line breaks on the site.

The parser knows the section "Examples" as code; ours are headed "Example", as they hold one.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Renames the section when a docstring is read."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for every object that was loaded."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
