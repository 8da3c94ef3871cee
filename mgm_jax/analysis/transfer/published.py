"""Published transfer scores of known encoders, joined with models measured by a user."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources

import pandas as pd

from mgm_jax.errors import InputError, name_some

_FOLDER = "data/ericsson2021"

# Words in file names that do not tell the method.
_FILLER = re.compile(
    r"^(resnet-?50|rn?50|r50w1|1x|w1|sk0|imagenet|in1k|ilsvrc|pretrain(ed)?|checkpoint|ckpt|model|"
    r"\d*ep(och)?s?\d*|\d+e?|pth|pt|tar|bs\d+|torchvision|converted|backbone|encoder)$"
)

# What methods are called elsewhere, spelt without separators.
_ALIASES = {
    "instdisc": "insdis",
    "npid": "insdis",
    "moco": "mocov1",
    "pcl": "pclv1",
    "simclr": "simclrv1",
    "deepcluster2": "deepclusterv2",
    "sela2": "selav2",
    "sela": "selav2",
    "sup": "supervised",
}


def published_names() -> tuple[str, ...]:
    """Names of the published tables.

    >>> "many_shot_linear" in published_names()
    True
    """
    files = resources.files("mgm_jax").joinpath(_FOLDER).iterdir()
    return tuple(sorted(file.name[:-4] for file in files if file.name.endswith(".csv")))


def published_transfer(name: str, *, models: Iterable[str] | None = None) -> pd.DataFrame:
    """Published transfer scores of 14 ResNet-50 encoders, 13 self-supervised and one supervised.

    ``many_shot_linear``, ``many_shot_finetune``, ``few_shot_5way_5shot`` (``20shot``,
    ``50shot``), ``cross_domain_few_shot`` and ``dense_prediction``. Values are as published, in
    per cent where the table's ``attrs["note"]`` does not say otherwise; the columns ``ImageNet``
    and ``Avg`` are no transfer task: take ``ImageNet`` as a baseline and drop ``Avg``.

    Args:
        name: of the table; :func:`published_names` lists them.
        models: names of models measured by a user; the rows are then those models, under their
            names and in their order, as far as they are published. Case, separators and words
            such as ``resnet50`` or ``800ep`` do not matter: ``moco_v2_800ep`` is MoCo-v2.

    Returns:
        One row a model, its name in the index, one column a task; ``attrs`` holds ``note`` and
        ``source``.

    Raises:
        InputError: no table of that name, or two of ``models`` are the same published one.

    Reference: Ericsson, Gouk and Hospedales, "How Well Do Self-Supervised Models Transfer?",
    CVPR 2021, arXiv:2011.13377.

    Example:
        >>> table = published_transfer("many_shot_linear", models=["moco_v2", "SwAV", "mine"])
        >>> table["Pets"].to_dict()
        {'moco_v2': 83.3, 'SwAV': 87.6}
    """
    if name not in published_names():
        raise InputError(
            f"name: no published table {name!r}; there are {name_some(published_names())}."
        )
    file = resources.files("mgm_jax").joinpath(_FOLDER, f"{name}.csv")
    with file.open(encoding="utf-8") as lines:
        header = [line[1:].strip() for line in lines if line.startswith("#")]
    with file.open(encoding="utf-8") as lines:
        table = pd.read_csv(lines, comment="#", index_col="model")
    if models is not None:
        table = under_names_of(table, list(models))
    table.attrs = {"note": header[0], "source": header[1].removeprefix("Source: ")}
    return table


def same_model(name: str) -> str:
    """A model's name without what people spell differently.

    >>> {same_model(name) for name in ("MoCo-v2", "moco_v2", "mocov2", "MoCo v2 ResNet50 800ep")}
    {'mocov2'}
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    spelling = "".join(word for word in words if not _FILLER.match(word))
    # A bare "resnet50" may be untrained: it is no published model.
    return _ALIASES.get(spelling, spelling) or name


def unclaimed(names: Iterable[str]) -> list[str]:
    """Models that no other one shares its published name with: two runs of SimCLR are neither.

    >>> unclaimed(["moco_v2", "MoCo-v2", "swav"])
    ['swav']
    """
    names = [str(name) for name in names]
    spelt = [same_model(name) for name in names]
    return [name for name, own in zip(names, spelt, strict=True) if spelt.count(own) == 1]


def under_names_of(table: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """The rows of models as far as a table of published ones has them, under their own names.

    Raises:
        InputError: two of ``models`` are the same published one.
    """
    published = {same_model(str(model)): model for model in table.index}
    known = {model: same_model(str(model)) for model in models}
    known = {model: spelling for model, spelling in known.items() if spelling in published}
    twice = sorted(
        str(model) for model, spelling in known.items() if list(known.values()).count(spelling) > 1
    )
    if twice:
        raise InputError(
            f"models: {name_some(twice)} stand for the same published model; keep one of each."
        )
    joined = table.loc[[published[spelling] for spelling in known.values()]]
    return joined.set_axis(pd.Index(list(known), name="model"), axis=0)
