"""Human feedback on its way into the log, and what is released of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _inputs
from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import _engine


@dataclass(frozen=True)
class Logged:
    """What a call has logged."""

    first_index: int | None
    """The entry of the first of them; None where nothing could be recorded (``"continue_with_gap"``)."""
    count: int
    """How many; 0 in that case."""
    released: list[float] | list[tuple[str, str]] | None = field(default=None, repr=False)
    """In a log whose mode is ``"moderate"``, what was released of each, in the order given: of ratings the reward with
    its noise, which may lie outside the bounds; of pairs the response to take as chosen and the one to take as rejected,
    turned round where chance did so. Train on these: what follows from them costs no privacy. Else None.

    Of pairs, this and what was given tell the noise, and with the log the vote: give neither away."""
    batch: str | None = None
    """The name of the batch, in such a log. Under it the same values are told again."""


def log(
    recorder: _engine.Recorder,
    prompts: Any,
    responses: Any,
    annotator_ids: Any,
    rewards: Any,
    chosen: Any,
    rejected: Any,
    batch: str | None,
) -> Logged:
    """Checks what is given, and logs ratings or pairs."""
    if batch is not None and not isinstance(batch, str):
        raise BadInput(f"batch must be a string, not {type(batch).__name__}")
    if chosen is None and rejected is None:
        return _ratings(recorder, prompts, responses, annotator_ids, rewards, batch)
    if responses is not None or rewards is not None:
        raise BadInput("give responses and rewards, or chosen and rejected, not both")
    return _preferences(recorder, prompts, chosen, rejected, annotator_ids, batch)


def _ratings(
    recorder: _engine.Recorder,
    prompts: Any,
    responses: Any,
    annotator_ids: Any,
    rewards: Any,
    batch: str | None,
) -> Logged:
    for name, value in [
        ("prompts", prompts),
        ("responses", responses),
        ("annotator_ids", annotator_ids),
        ("rewards", rewards),
    ]:
        if value is None:
            raise BadInput(
                f"{name} is missing: a rating has prompts, responses, annotator_ids and rewards"
            )
    prompts, responses = _inputs.texts("prompts", prompts), _inputs.texts("responses", responses)
    ids = _inputs.ids(annotator_ids, len(prompts))
    rewards = _inputs.numbers("rewards", rewards)
    _inputs.same_length(prompts=prompts, responses=responses, annotator_ids=ids, rewards=rewards)
    first, count, released, batch = recorder.rate(prompts, responses, ids, rewards, batch)
    return Logged(first, count, None if batch is None else released, batch)


def _preferences(
    recorder: _engine.Recorder,
    prompts: Any,
    chosen: Any,
    rejected: Any,
    annotator_ids: Any,
    batch: str | None,
) -> Logged:
    if chosen is None or rejected is None:
        raise BadInput("a preference has both chosen and rejected")
    chosen, rejected = _inputs.texts("chosen", chosen), _inputs.texts("rejected", rejected)
    none = [None] * len(chosen)
    prompts = none if prompts is None else _inputs.texts("prompts", prompts)
    ids = none if annotator_ids is None else _inputs.ids(annotator_ids, len(chosen))
    _inputs.same_length(prompts=prompts, chosen=chosen, rejected=rejected, annotator_ids=ids)
    first, count, as_given, batch = recorder.prefer(prompts, chosen, rejected, ids, batch)
    if batch is None:
        return Logged(first, count)
    told = [
        (one, other) if given else (other, one)
        for one, other, given in zip(chosen, rejected, as_given)
    ]
    return Logged(first, count, told, batch)
