"""Which of several processes that train together this one is, and where they meet.

Rank 0 owns the log. The others find it through a file in the log's private folder, which only the owner of the folder
can read: it names a Unix socket and holds the token that the socket asks for.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What tells one job of several processes from another on the same host, as torchrun sets it.
_JOB = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")


@dataclass(frozen=True)
class Ranks:
    """A process among those that train together."""

    rank: int
    """Its number, from 0."""
    world: int
    """How many there are."""
    job: str
    """What all of them have in common and others have not."""
    node: int
    """The number of its host, from 0."""

    @property
    def are_many(self) -> bool:
        """Whether there are others."""
        return self.world > 1 or self.rank > 0


def here() -> Ranks:
    """This process: by ``torch.distributed`` where that is initialised, else by torchrun's environment."""
    rank, world = _number("RANK", 0), _number("WORLD_SIZE", 1)
    # Looked up, not imported: without torch nobody has initialised it.
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        rank, world = distributed.get_rank(), distributed.get_world_size()
    job = "/".join([*(os.environ.get(name, "") for name in _JOB), str(world)])
    return Ranks(rank, max(world, rank + 1), job, _number("GROUP_RANK", 0))


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit()):
        raise BadInput(f"the environment's {name} must be a whole number, not {text!r}")
    return int(text)


@dataclass(frozen=True)
class Meeting:
    """Where the owner of a log is found."""

    socket: str
    """The socket's path."""
    token: str
    """What it asks for, hex. Secret."""
    owner: str
    """Drawn anew by each owner, hex."""
    job: str
    """The owner's job."""
    host: str
    """The owner's host."""
    process: int
    """The owner's process."""

    def __repr__(self) -> str:
        return f"Meeting(socket={self.socket!r}, process={self.process})"


def meeting_file(directory: Path) -> Path:
    """The file that says where the owner of the log in this folder is."""
    return directory / "private" / "ranks.json"


def announce(directory: Path, meeting: Meeting) -> None:
    """Says where the owner is, to whoever may read the folder's keys."""
    path = meeting_file(directory)
    written = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        written.unlink()
    handle = os.open(written, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(vars(meeting), file)
    os.replace(written, path)


def announced(directory: Path) -> Meeting | None:
    """Where the owner is, if there is one that says so."""
    try:
        told: Any = json.loads(meeting_file(directory).read_text())
        return Meeting(**told)
    except (OSError, TypeError, ValueError):
        return None


def is_alive(process: int) -> bool:
    """Whether there is such a process on this host."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
