"""Which of several processes that train together this one is."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from .errors import BadInput

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
