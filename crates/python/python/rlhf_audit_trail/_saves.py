"""Whether a saved model is all there: some trainers save beside the training, and are not done when they say so."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

_NAMES = ("model.safetensors", "adapter_model.safetensors")
_POLL = 0.05


def is_whole(folder: str | os.PathLike[str]) -> bool:
    """Whether the safetensors files of a saved model are as long as they say, and none of its shards is missing."""
    folder = Path(folder)
    for name in _NAMES:
        index = folder / f"{name}.index.json"
        try:
            if index.is_file():
                shards = set(json.loads(index.read_bytes())["weight_map"].values())
                return all(_is_whole_file(folder / shard) for shard in shards)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return False
        if (folder / name).exists():
            return _is_whole_file(folder / name)
    # Not for us to judge, and not to wait for: what digests it says that it is of another kind.
    return any(folder.glob("pytorch_model*.bin"))


def wait(folder: str | os.PathLike[str], patience: float) -> None:
    """Waits until it is whole, or nothing has come for so many seconds."""
    size, since = -1, time.monotonic()
    while not is_whole(folder):
        now = _size(folder)
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > patience:
            return
        time.sleep(_POLL)


def _is_whole_file(path: Path) -> bool:
    """By its header, which says where each tensor ends (https://github.com/huggingface/safetensors)."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size - 8:
                return False
            header = json.loads(file.read(length))
        ends = [
            value["data_offsets"][1] for name, value in header.items() if name != "__metadata__"
        ]
        return path.stat().st_size >= 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, AttributeError, IndexError, TypeError):
        return False


def _size(folder: str | os.PathLike[str]) -> int:
    size = 0
    for path in Path(folder).rglob("*"):
        try:
            size += path.stat().st_size
        except OSError:
            # It was renamed or removed meanwhile.
            continue
    return size
