"""Several copies of one encoder in a file, and which of them its method evaluates.

Methods train one network and keep a moving average of it beside; files hold both. Which of the two
the authors evaluate differs: DINO the average (its teacher), BYOL and MoCo the trained one.
:data:`COPIES` is the table; the report says which copy was taken and which were left, and the user
may choose another by name (``--copy``), by prefix (``--prefix``) or by key (``--key``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm_converters.naming.rules import Naming
from mgm_converters.reading.wrappers import WRAPPER_STEPS
from mgm_jax.errors import InputError

# Words of a step that say average; those of the network that is trained.
_AVERAGE = r"ema|teacher|momentum|target|averaged?|avg|swa|key|k|slow|shadow|m"
_TRAINED = r"online|student|query|q|raw|context|main"
_EMA = r"(?:\w+_)?(?:ema|averaged?|avg|swa|shadow)(?:_\w+)?(?:\.\w+)*"


@dataclass(frozen=True, kw_only=True)
class CopyRule:
    """Which of two copies is evaluated.

    Attributes:
        of: the methods or libraries that write both.
        evaluated: pattern of what tells the evaluated copy from the other, steps joined by dots.
        other: pattern of the other; ``{base}`` is what ``base`` matched in ``evaluated``.
        shown: the two in words, for the documentation.
        beside: pattern of a name outside both that has to be there.
        fact: pattern of the name of a fact that has to lie beside the weights.
        sure: whether the method is known to evaluate this one.
    """

    of: str
    evaluated: str
    other: str
    shown: tuple[str, str]
    beside: str = ""
    fact: str = ""
    sure: bool = True


COPIES: tuple[CopyRule, ...] = (
    CopyRule(
        of="PyContrast",
        evaluated="model",
        other="model_ema",
        shown=("model", "model_ema"),
        fact=r"opt\.method",
    ),
    CopyRule(
        of="MoCo, PCL; OpenSelfSup, MMSelfSup",
        evaluated="encoder_q",
        other="encoder_k",
        shown=("encoder_q", "encoder_k"),
    ),
    CopyRule(
        of="MoCo in VISSL",
        evaluated=r"base_model\.model",
        other=r"loss\.moco_encoder(?:\.\w+)*",
        shown=("base_model.model", "loss.moco_encoder"),
    ),
    CopyRule(
        of="MoCo-v3",
        evaluated="base_encoder",
        other="momentum_encoder",
        shown=("base_encoder", "momentum_encoder"),
    ),
    CopyRule(
        of="DINO, iBOT, DINOv2, EsViT; lightly's examples of DINO",
        evaluated=r"teacher(_\w+)?(?:\.\w+)*",
        other=r"student(_\w+)?(?:\.\w+)*",
        shown=("teacher", "student"),
    ),
    CopyRule(
        of="DINO in lightly, the student under the plain name",
        evaluated=r"teacher_(?P<base>\w+)",
        other="{base}",
        shown=("teacher_backbone", "backbone"),
        beside=r"(?:.*\.)?(?:student|teacher)_head\..*",
    ),
    CopyRule(
        of="I-JEPA, MSN",
        evaluated="target_encoder",
        other="encoder|context_encoder",
        shown=("target_encoder", "encoder"),
    ),
    CopyRule(
        of="BYOL and others with an online network; MMSelfSup, OpenSelfSup",
        evaluated=r"(?:online|query)(?:_\w+)?(?:\.\w+)*",
        other=r"(?:target|momentum|key|teacher|slow)(?:_\w+)?(?:\.\w+)*",
        shown=("online_network, online_net, online_encoder", "target_network, ..."),
    ),
    CopyRule(
        of="MMEngine and with it MMPretrain, whose hook swaps the two as it saves",
        evaluated=r"(?:state_dict)?",
        other="ema_state_dict",
        shown=("state_dict (the averages)", "ema_state_dict (the raw weights)"),
        # The count of its averages, which only the wrapper of MMEngine keeps there.
        beside=r"ema_state_dict\.steps",
    ),
    CopyRule(
        of="averages of timm, torchvision, Lightning, ema-pytorch",
        evaluated=_EMA,
        other=r"(?!(?:\w+_)?(?:ema|teacher|momentum|target)(?:_\w+)?)[\w.]*",
        shown=("state_dict_ema, model_ema, ema_state_dict, ema_model", "state_dict, model"),
    ),
    CopyRule(
        of="solo-learn (all methods with a momentum network), MoBY; lightly's benchmarks, where "
        "the plain name is the network that is evaluated",
        evaluated=r"(?P<base>\w+)",
        other=r"(?:momentum|target|teacher|student|query|key)_{base}"
        r"|{base}_(?:momentum|target|teacher|student|query|key|k|m)",
        shown=("backbone", "momentum_backbone, teacher_backbone, student_backbone, query_backbone"),
    ),
    CopyRule(
        of="others that name one copy a target or a momentum network",
        evaluated=r"[\w.]*",
        other=r"(?:\w+[_.])*(?:momentum|target|key|slow|encoder_k|moco_encoder)(?:[_.]\w+)*",
        shown=("(any name)", "momentum_..., target_..."),
        sure=False,
    ),
    CopyRule(
        of="others that name one copy a teacher",
        evaluated=r"(?:\w+[_.])*teacher(?:[_.]\w+)*",
        other=r"[\w.]*",
        shown=("teacher...", "(any name)"),
        sure=False,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An encoder in a file.

    Attributes:
        keys: that lead to its table.
        prefix: what stands before its names in that table.
        naming: the spelling of its names.
    """

    keys: tuple[str, ...]
    prefix: str
    naming: Naming

    @property
    def steps(self) -> tuple[str, ...]:
        """Keys and prefix as steps, wrappers left out."""
        steps = (step for part in (*self.keys, self.prefix) for step in part.split("."))
        return tuple(step for step in steps if step and step not in WRAPPER_STEPS)

    @property
    def label(self) -> str:
        """How it is named to the user."""
        keys = "".join(f"[{key}]" for key in self.keys)
        return f"{keys} {self.prefix}*".strip() if self.prefix else keys or "the top of the file"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The copy that was taken.

    Attributes:
        taken: the candidate.
        left: the other copies, label to reason.
        doubt: why another one may be meant; empty where the method is known.
    """

    taken: Candidate
    left: Mapping[Candidate, str]
    doubt: str = ""


def choose(
    candidates: Sequence[Candidate],
    *,
    file: Path,
    same: Callable[[Candidate, Candidate], bool],
    facts: Mapping[str, Any],
    names: Sequence[str],
    copy: str | None = None,
    prefix: str | None = None,
    key: str | None = None,
) -> Choice:
    """The one encoder of a file that is meant.

    Args:
        candidates: one or more.
        file: for messages.
        same: whether two candidates hold the same values.
        facts: plain values beside the weights.
        names: all names in the file, keys before them.
        copy: name of the copy that the user wants: a step of its path, or what it is (``online``,
            ``student``, ``raw``; ``momentum``, ``teacher``, ``target``, ``ema``).
        prefix: what stands before its names.
        key: that leads to it, several joined by dots.

    Raises:
        InputError: several encoders, of which no rule says which is meant, or none or several
            that the user's words fit.
    """
    wanted = _asked_for(list(candidates), copy=copy, prefix=prefix, key=key, file=file)
    if len(wanted) == 1:
        left = {
            one: "another copy; this one was asked for" for one in candidates if one != wanted[0]
        }
        return Choice(taken=wanted[0], left=left)
    groups: list[list[Candidate]] = []
    for one in wanted:
        group = next((g for g in groups if g[0].naming == one.naming and same(g[0], one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    for group in groups:
        beaten = {
            id(other): rule
            for other in groups
            if other is not group
            and (rule := _preferred(group, other, facts=facts, names=names)) is not None
        }
        if len(beaten) == len(groups) - 1:
            taken = group[0]
            left = {one: f"stored a second time beside {taken.label}" for one in group[1:]}
            rules = [beaten[id(other)] for other in groups if other is not group]
            for other in groups:
                if other is not group:
                    reason = f"another copy; {beaten[id(other)].of}: {taken.label} is evaluated"
                    left |= dict.fromkeys(other, reason)
            doubt = ""
            if not all(rule.sure for rule in rules):
                others = " and ".join(one.label for one in left)
                doubt = (
                    f"the file holds several copies of the encoder, and no known method says which "
                    f"it evaluates; {taken.label} was taken, {others} left (--copy NAME chooses)"
                )
            return Choice(taken=taken, left=left, doubt=doubt)
    raise _several([group[0] for group in groups], file)


def _asked_for(
    candidates: list[Candidate],
    *,
    copy: str | None,
    prefix: str | None,
    key: str | None,
    file: Path,
) -> list[Candidate]:
    wanted = candidates
    if prefix is not None:
        bare = prefix.rstrip(".")
        wanted = [one for one in wanted if one.prefix.rstrip(".") == bare]
    if key is not None:
        steps = tuple(step for step in key.replace("][", ".").strip("[]").split(".") if step)
        exact = [one for one in wanted if one.keys == steps]
        wanted = exact or [
            one for one in wanted if key in one.keys or one.keys[: len(steps)] == steps
        ]
    if copy is not None:
        wanted = _of_name(wanted, copy)
    if not wanted:
        asked = {"--copy": copy, "--prefix": prefix, "--key": key}
        said = " ".join(f"{name} {value!r}" for name, value in asked.items() if value is not None)
        listed = "; ".join(one.label for one in candidates)
        raise InputError(f"{file}: no encoder fits {said}; it holds {listed}")
    if copy is not None and len(wanted) > 1:
        raise _several(wanted, file)
    return wanted


def _of_name(candidates: list[Candidate], copy: str) -> list[Candidate]:
    """The candidates that a word names: by a whole step, by a part of one, or by what they are."""
    word = copy.rstrip(".")
    exact = [one for one in candidates if word in (*one.steps, ".".join(one.steps))]
    partly = [one for one in candidates if any(word in step.split("_") for step in one.steps)]
    named = exact if exact else partly
    if named and len(named) < len(candidates):
        return named
    average = [one for one in candidates if _says(one, _AVERAGE)]
    trained = [one for one in candidates if one not in average]
    if re.fullmatch(_AVERAGE, word):
        return average
    if re.fullmatch(_TRAINED, word):
        return trained
    return named


def _says(one: Candidate, words: str) -> bool:
    return any(re.fullmatch(words, part) for step in one.steps for part in step.split("_"))


def _preferred(
    group: Sequence[Candidate],
    other: Sequence[Candidate],
    *,
    facts: Mapping[str, Any],
    names: Sequence[str],
) -> CopyRule | None:
    """The first rule that speaks of two copies, where it speaks for the first."""
    if group[0].naming != other[0].naming:
        return None
    for rule in COPIES:
        if rule.beside and not any(re.fullmatch(rule.beside, name) for name in names):
            continue
        if rule.fact and not any(re.fullmatch(rule.fact, name) for name in facts):
            continue
        pairs = [(a, b) for a in group for b in other]
        if any(_fits(rule, *_difference(a.steps, b.steps)) for a, b in pairs):
            return rule
        if any(_fits(rule, *_difference(b.steps, a.steps)) for a, b in pairs):
            return None
    return None


def _difference(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, str]:
    """What is left of two paths without the steps that both begin and end with."""
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return ".".join(a), ".".join(b)


def _fits(rule: CopyRule, evaluated: str, other: str) -> bool:
    match = re.fullmatch(rule.evaluated, evaluated)
    if match is None:
        return False
    base = re.escape(match.groupdict().get("base") or "")
    return re.fullmatch(rule.other.replace("{base}", base), other) is not None


def _several(candidates: Sequence[Candidate], file: Path) -> InputError:
    listed = "; ".join(f"{one.naming.name} behind {_shown(one)}" for one in candidates)
    prefixes = [one.prefix.rstrip(".") for one in candidates if one.prefix]
    keys = [".".join(one.keys) for one in candidates if one.keys]
    # What tells them apart: names that several share choose none of them.
    by_prefix = len(set(prefixes)) == len(prefixes) and (bool(prefixes) or not keys)
    ways = " or ".join(
        [f"--prefix {one}" for one in prefixes] if by_prefix else [f"--key {one}" for one in keys]
    )
    return InputError(
        f"{file}: holds several encoders: {listed}. Choose one with {ways or '--model'}, name the "
        "architecture that is meant (--model), or save the one encoder alone: "
        "torch.save(model.state_dict(), FILE)"
    )


def _shown(one: Candidate) -> str:
    keys = "".join(f"[{key}]" for key in one.keys)
    behind = f"the prefix {one.prefix}" if one.prefix else "no prefix"
    return f"{keys}, {behind}" if keys else behind
