"""Rules that several spellings of vision transformers share."""

from __future__ import annotations

from mgm_converters.naming.rules import Part, Rename, Rule


def joined(
    block: str,
    names: tuple[str, ...],
    *,
    target: str = "attn.qkv",
    separator: str = r"\.",
    blank: tuple[int, ...] = (),
    optional: bool = False,
) -> tuple[Rule, ...]:
    """The rules that join several matrices of a block, and their biases, into one.

    Args:
        block: pattern of the block with its number as the only group.
        names: patterns of the parts, in the canonical order.
        target: canonical name within the block.
        separator: pattern between a part and ``weight`` or ``bias``.
        blank: parts whose bias may be missing, where it is zero.
        optional: whether the matrices may be missing as well; biases always may.
    """
    return tuple(
        Part(
            pattern=rf"{block}\.{name}{separator}{kind}",
            target=rf"blocks.\1.{target}.{kind}",
            position=position,
            of=len(names),
            optional=optional or kind == "bias",
            blank=blank if kind == "bias" else (),
        )
        for kind in ("weight", "bias")
        for position, name in enumerate(names)
    )


def attention_biases(block: str) -> tuple[Rule, ...]:
    """The rules that join the biases ``q_bias``, ``k_bias`` and ``v_bias`` of BEiT and its heirs.

    The one of the keys changes no attention, so that most files leave it out.
    """
    return tuple(
        Part(
            pattern=rf"{block}\.attn\.{part}_bias",
            target=r"blocks.\1.attn.qkv.bias",
            position=position,
            of=3,
            optional=True,
            blank=(1,),
        )
        for position, part in enumerate("qkv")
    )


def renamed(block: str, names: dict[str, str], *, optional: bool = False) -> tuple[Rule, ...]:
    """The rules that rename the weight and the bias of parts of a block."""
    return tuple(
        Rename(
            pattern=rf"{block}\.{theirs}\.(weight|bias)",
            target=rf"blocks.\1.{ours}.\2",
            optional=optional,
        )
        for theirs, ours in names.items()
    )
