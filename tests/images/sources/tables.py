"""Sets of images as tables and shards, from the same files as a folder of classes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of every picture of a folder of classes, by its path there."""
    paths = sorted(folder.rglob("*.png"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def hugging_face_table(files: Mapping[str, bytes]) -> pa.Table:
    """The table that Hugging Face datasets makes: structs of images, class labels with names."""
    names = sorted({path.split("/")[0] for path in files})
    features = {
        "image": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    return pa.table(
        {
            "image": [{"bytes": content, "path": path} for path, content in files.items()],
            "label": [names.index(path.split("/")[0]) for path in files],
            "height": [float(len(content)) for content in files.values()],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write_saved(folder: Path, table: pa.Table, *, shards: int = 2) -> Path:
    """The folder that ``save_to_disk`` writes."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{shards:05d}.arrow" for i in range(shards)]
    rows = -(-len(table) // shards)
    for i, name in enumerate(names):
        part = table.slice(i * rows, rows)
        with (
            pa.OSFile(str(folder / name), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as w,
        ):
            w.write_table(part, max_chunksize=3)
    state = {"_data_files": [{"filename": name} for name in names], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def write_parquet(path: Path, table: pa.Table, *, rows: int = 5) -> Path:
    """A Parquet file of small row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows)
    return path


def write_shard(path: Path, members: Mapping[str, bytes], *, mode: str = "w") -> Path:
    """A tar archive of members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            archive.addfile(facts, io.BytesIO(content))
    return path


def samples(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Members of a webdataset: the pictures, their class as text, and a JSON object."""
    members: dict[str, bytes] = {}
    for path, content in files.items():
        key = path.removesuffix(".png")
        members |= {f"{key}.png": content, f"{key}.cls": key.split("/")[0].encode()}
        members[f"{key}.json"] = json.dumps({"size": len(content), "tags": ["x", key]}).encode()
    return members
