"""Where the ranks of one host meet.

Rank 0 owns the log. The others find it through a file in the log's private folder, which only the owner of the folder
can read: it names a Unix socket and holds the token that the socket asks for.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
