"""Encoders of synthetic studies."""

from __future__ import annotations

from dataclasses import dataclass

HOSTILE_NAMES = (
    "</script><script>document.title='broken'</script>",
    "<b>bold</b> & \"quoted\" 'name'",
    "encoder-" + "a" * 285 + "-seed=0",
    "encoder-" + "a" * 285 + "-seed=1",
    "ünï·cødé 模型 🦊",
    "{{ 7 * 7 }} ${x} %s",
)


@dataclass(frozen=True, kw_only=True)
class FakeEncoder:
    """One encoder of a synthetic study; ``collapse`` in 0 .. 1 pulls all images together."""

    name: str
    family: str = "conv4"
    architecture: str = "conv4"
    paradigm: str = "contrastive"
    seed: int = 0
    collapse: float = 0.3


def one_encoder() -> list[FakeEncoder]:
    """A first look at one network."""
    return [FakeEncoder(name="resnet50", family="resnet50", architecture="resnet50")]


def demo_encoders() -> list[FakeEncoder]:
    """Three untrained families of three seeds, and raw pixels."""
    rows = [
        FakeEncoder(
            name=f"{architecture}:seed={seed}",
            family=family,
            architecture=architecture,
            paradigm="untrained",
            seed=seed,
            collapse=collapse + 0.004 * seed,
        )
        for family, architecture, collapse in (
            ("resnet18", "resnet18", 0.95),
            ("conv4", "conv4", 0.8),
            ("vit_mini", "vit_mini", 0.35),
        )
        for seed in range(3)
    ]
    pixels = FakeEncoder(
        name="pixels", family="pixels", architecture="pixels", paradigm="control", collapse=0.4
    )
    return [*rows, pixels]


def population(count: int) -> list[FakeEncoder]:
    """Many trained encoders of one architecture."""
    paradigms = ("contrastive", "contrastive+clustering", "supervised", "untrained")
    return [
        FakeEncoder(
            name=f"{paradigms[i % 4].split('+')[-1]}_{100 * 2 ** (i // 8)}img_run{i}",
            paradigm=paradigms[i % 4],
            seed=i,
            collapse=0.2 + 0.5 * ((i * 7) % 40) / 40,
        )
        for i in range(count)
    ]


def hostile_encoders() -> list[FakeEncoder]:
    """Names that hold markup, templates, non-Latin letters, or 300 characters."""
    return [FakeEncoder(name=name, collapse=0.2 + 0.1 * i) for i, name in enumerate(HOSTILE_NAMES)]
