"""Weights that a training over many devices left in pieces: named, with what puts them together.

DeepSpeed (ZeRO) and PyTorch's FSDP write what each device holds. To join the pieces needs the
program that wrote them, or a script that it left beside them; both run code of the user's own, so
they are named here and not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_ZERO = re.compile(r"(?:bf16_)?zero_pp_rank_\d+_mp_rank_\d+_(?:optim|model)_states\.pt")
_MODEL_RANK = re.compile(r"mp_rank_(\d+)_model_states\.pt")
_DEEPSPEED = (
    "run `python zero_to_fp32.py . pytorch_model.bin` in the folder of the checkpoint, where "
    "DeepSpeed leaves that script, and convert pytorch_model.bin"
)
_FSDP = (
    "save them whole in the training's own program, with "
    "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
    "options=StateDictOptions(full_state_dict=True, cpu_offload=True))"
)
_DCP = (
    "run `python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pt` and "
    "convert weights.pt"
)


def partition_of_file(path: Path) -> str:
    """What a file of a partitioned checkpoint is, by its name; empty where it is none."""
    if _ZERO.fullmatch(path.name):
        return f"it is one device's share of a DeepSpeed (ZeRO) checkpoint; {_DEEPSPEED}"
    if path.suffix == ".distcp":
        return f"it is one device's share of a distributed checkpoint of PyTorch; {_DCP}"
    return ""


def partition_of_folder(folder: Path) -> str:
    """What a folder of a partitioned checkpoint is; empty where it is none."""
    names = [path.name for path in folder.iterdir()]
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        return f"a distributed checkpoint of PyTorch in shares; {_DCP}"
    below = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    if any(_ZERO.fullmatch(path.name) for one in below for path in one.iterdir()):
        return f"a DeepSpeed (ZeRO) checkpoint in shares; {_DEEPSPEED}"
    return ""


def whole_in_folder(folder: Path) -> list[Path]:
    """The files of DeepSpeed in a folder that hold all weights of a model: one, if any."""
    files = [path for path in folder.iterdir() if _MODEL_RANK.fullmatch(path.name)]
    return sorted(files)


def partition_of_names(names: Iterable[str]) -> str:
    """What a table of flat shares is, by the names of its tensors; empty where it is none."""
    if any(re.search(r"(?:^|[._])flat_param(?:_\d+)?$", name) for name in names):
        return f"its tensors are flat shares of FSDP (flat_param), without their shapes; {_FSDP}"
    return ""


def partition_of_type(name: str) -> str:
    """What a file is that names a type of distributed tensors; empty where it is another type."""
    if name.startswith("torch.distributed"):
        return (
            "its weights are distributed tensors, of which one file holds one device's share; "
            f"{_FSDP}"
        )
    return ""


def partition_of_shapes(shapes: Iterable[tuple[int, ...]]) -> str:
    """What a table is whose tensors are empty: ZeRO 3 keeps the names and not the values."""
    sizes = list(shapes)
    if sizes and sum(0 in shape for shape in sizes) > len(sizes) / 2:
        return f"most of its tensors are empty, as in a DeepSpeed (ZeRO 3) file; {_DEEPSPEED}"
    return ""
