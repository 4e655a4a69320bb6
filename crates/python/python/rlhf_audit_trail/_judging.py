"""What reward functions are given and what they answer, as TRL's trainers with reward functions have it."""

from __future__ import annotations

import json
import math
from typing import Any


def log(trainer: Any, prompts: list[Any], completions: list[Any], rewards: Any) -> None:
    """Logs what each reward function, or reward model, thought of the completions of a training batch.

    Args:
        trainer: TRL's, with ``auditor``.
        prompts: n texts or conversations.
        completions: n texts or conversations, in the same order.
        rewards: a tensor of m rows and a column for each reward function. Those of this process are n of its rows.
    """
    first = trainer.accelerator.process_index * len(prompts)
    columns = rewards[first : first + len(prompts)].T.tolist()
    for name, column in zip(trainer.reward_func_names, columns, strict=True):
        # A function says None, which TRL makes NaN, where it has no opinion.
        judged = [at for at, reward in enumerate(column) if math.isfinite(reward)]
        if judged:
            trainer.auditor.log_judgements(
                name,
                [text(prompts[at]) for at in judged],
                [text(completions[at]) for at in judged],
                [column[at] for at in judged],
            )


def text(said: Any) -> str:
    """A text as it is; a conversation as JSON."""
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str)
