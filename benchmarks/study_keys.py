"""Write ``docs/study.md``: every key of a study file, from the models that read it.

    python -m benchmarks.study_keys

A test compares the page with what this writes.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mgm_jax.strict_yaml import MAX_BYTES, MAX_DEPTH, MAX_ENTRIES
from mgm_jax.study import Study, inner_model

PAGE = Path(__file__).resolve().parents[1] / "docs" / "study.md"

_HEAD = f"""# The study file

<!-- Written by `python -m benchmarks.study_keys`; change the docstrings of `mgm_jax/study.py`. -->

A study is a YAML file (UTF-8) with the keys below; `mgm run study.yaml -o results/` does what it
says. Only `encoders` and `images` must be there.

```yaml
encoders: [{{source: "zoo:simclr-vit"}}, {{source: "checkpoints/*.pth"}}]
images: [{{source: photos/}}]
augmentation: {{settings: [crop, colorjitter], views: 32}}
transfer: {{targets: [{{source: labelled/}}]}}
```

A key that is not known is refused, with the nearest that is; so is a key that stands twice, and
`yes`, `no`, `on`, `off`, `true`, `false` where a number or a name is expected. Patterns and paths
are seen from the study file. Nothing in the file is executed. A file may have {MAX_BYTES} bytes and
{MAX_ENTRIES} entries, aliases unfolded, at most {MAX_DEPTH} deep.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, model in _models(Study, "The whole file"):
        doc = (model.__doc__ or "").split("Attributes:")[0].strip()
        parts.append(f"## {title}\n\n{_joined(doc)}\n\n{_table(model)}")
    return "\n".join(parts)


def _models(model: type[BaseModel], title: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """A model and those of its keys, each once, in the order of the keys."""
    yield title, model
    for name, field in model.model_fields.items():
        inner = inner_model(field.annotation)
        if inner is not None:
            below = name if model is Study else f"{title.strip('`')}.{name}"
            yield from _models(inner, f"`{below}`")


def _table(model: type[BaseModel]) -> str:
    said = _attributes(model)
    lines = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        # A key that Python has another use for is a field with another name.
        key = field.alias or name
        cells = (f"`{key}`", _kind(field), _default(field), said.get(key) or said[name])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and of those it extends say of every key."""
    texts: dict[str, str] = {}
    for one in reversed(model.__mro__):
        # From Python 3.13 on the compiler takes the indentation off already.
        _, _, text = inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")
        entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", text, flags=re.MULTILINE)
        texts |= {name: _joined(what) for name, what in entries}
    return texts


def _joined(text: str) -> str:
    # YAML has another word for it.
    text = re.sub(r"\bNone\b", "`null`", text.replace("``", "`"))
    return " ".join(text.split())


def _kind(field: FieldInfo) -> str:
    limits = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if hasattr(limit, name)
    ]
    return ", ".join([_type(field.annotation), *limits])


def _type(kind: Any) -> str:
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if kind in plain:
        return plain[kind]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_type(one) for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is tuple:
        return f"list of {_type(get_args(kind)[0])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "mapping (below)"
    return "mapping of lists"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be there"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
