"""A recorder that lets training go on when nothing can be recorded, and puts the gap on record when it can again."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import warnings
from collections import Counter

from .errors import AuditError, LogDamaged, RecordingFailed

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# After so many seconds it is tried again, then after twice as many, up to the most: opening a log takes a while.
_FIRST, _MOST = 1.0, 60.0

# Annotations that are lost: no first one of none, nothing released of them, in no batch.
_NONE: tuple[None, int, list[Any], None] = (None, 0, [], None)


class _Gap:
    """A time in which nothing is recorded."""

    def __init__(self, error: AuditError) -> None:
        self.since = time.time_ns() // 1000
        self.reason = _reason(error)
        self.lost: Counter[str] = Counter()
        self.pause = _FIRST
        self.next = time.monotonic() + _FIRST
        self.is_noted = False
        """Whether the event that tells of it waits in the recorder."""


class Forgiving:
    """Records by a recorder. What that cannot record is lost and counted."""

    def __init__(self, recorder: Any, directory: str | os.PathLike[str], passphrase: str | None):
        self._recorder = recorder
        self._again = (directory, passphrase)
        self._lock = threading.Lock()
        self._gap: _Gap | None = None

    def start_run(self, details: str) -> None:
        """As the recorder's: a run that cannot be started raises."""
        self._recorder.start_run(details)

    def rate(self, *arguments: Any) -> Any:
        """As the recorder's; none and 0 where they are lost."""
        return self._try("annotations", len(arguments[0]), _NONE, "rate", *arguments)

    def prefer(self, *arguments: Any) -> Any:
        """As the recorder's; none and 0 where they are lost."""
        return self._try("annotations", len(arguments[1]), _NONE, "prefer", *arguments)

    def judge(self, *arguments: Any) -> tuple[int | None, int]:
        """As the recorder's; none and 0 where they are lost."""
        return self._try("judgements", len(arguments[1]), (None, 0), "judge", *arguments)

    def event(self, *arguments: Any) -> None:
        """As the recorder's."""
        self._try("events", 1, None, "event", *arguments)

    def numbers(self, *arguments: Any) -> None:
        """As the recorder's."""
        self._try("metrics", 1, None, "numbers", *arguments)

    def begin_batch(self) -> None:
        """As the recorder's, which need not be able to record for it."""
        self._recorder.begin_batch()

    def use_batch(self) -> None:
        """As the recorder's, which need not be able to record for it."""
        self._recorder.use_batch()

    def weights(self, *arguments: Any) -> None:
        """As the recorder's."""
        self._try("updates", 1, None, "weights", *arguments)

    def saved(self, *arguments: Any) -> None:
        """As the recorder's."""
        self._try("checkpoints", 1, None, "saved", *arguments)

    def checkpoint(self, *arguments: Any) -> tuple[int | None, str | None]:
        """As the recorder's; nothing where it is lost."""
        return self._try("checkpoints", 1, (None, None), "checkpoint", *arguments)

    def join(self) -> None:
        """As the recorder's."""
        self._try("", 0, None, "join")

    def flush(self) -> None:
        """As the recorder's."""
        self._try("", 0, None, "flush")

    def settle(self) -> int | None:
        """As the recorder's; none where nothing can be recorded."""
        return self._try("", 0, None, "settle")

    def end_run(self, outcome: str) -> None:
        """Ends the run, if by a last attempt; else it has no end in the log."""
        gap = self._gap
        if gap is not None:
            gap.next = 0.0
        self._try("", 0, None, "end_run", outcome)
        if self._gap is not None:
            warnings.warn(
                f"nothing could be recorded since {time.ctime(self._gap.since / 1e6)} ({self._gap.reason}), so the run has "
                "no end in the log",
                stacklevel=6,
            )

    def close(self) -> None:
        """As the recorder's. What was committed is safe, and the next who opens the log finishes its files."""
        try:
            self._recorder.close()
        except (LogDamaged, RecordingFailed) as error:
            if self._gap is None:
                warnings.warn(f"the log's files are not up to date: {error}", stacklevel=6)

    def __getattr__(self, name: str) -> Any:
        # Cards, evidence and rounds have no use without a log: they raise.
        if self._gap is not None and not self._is_back(self._gap):
            raise RecordingFailed(
                f"nothing can be recorded now ({self._gap.reason}); try again later"
            )
        return getattr(self._recorder, name)

    def _try(self, what: str, many: int, otherwise: Any, call: str, *arguments: Any) -> Any:
        gap = self._gap
        if gap is None or self._is_back(gap):
            try:
                return getattr(self._recorder, call)(*arguments)
            except (LogDamaged, RecordingFailed) as error:
                gap = self._fallen(error)
        with self._lock:
            if many:
                gap.lost[what] += many
        return otherwise

    def _fallen(self, error: AuditError) -> _Gap:
        with self._lock:
            if self._gap is None:
                self._gap = _Gap(error)
            return self._gap

    def _is_back(self, gap: _Gap) -> bool:
        """Whether it can be recorded again, which is tried now and then."""
        if time.monotonic() < gap.next or not self._lock.acquire(blocking=False):
            return False
        try:
            if self._gap is not gap:
                return self._gap is None
            try:
                self._open_and_tell(gap)
            except AuditError:
                gap.next = time.monotonic() + gap.pause
                gap.pause = min(2 * gap.pause, _MOST)
                return False
            self._gap = None
            return True
        finally:
            self._lock.release()

    def _open_and_tell(self, gap: _Gap) -> None:
        waited = self._recorder.reopen(*self._again) - gap.is_noted
        gap.is_noted = False
        if waited > 0:
            gap.lost["events"] += waited
        told = {
            "title": "Gap in the record",
            "gap": {"since": gap.since, "until": time.time_ns() // 1000},
            "document": {"reason": gap.reason, "lost": dict(gap.lost)},
        }
        self._recorder.event("incident", json.dumps(told))
        gap.is_noted = True
        self._recorder.flush()


def _reason(error: AuditError) -> str:
    """The kind of error and what the system said, but no path: the log is public."""
    said = re.search(r"[^:]*\(os error \d+\)", str(error))
    return type(error).__name__ + (f":{said[0]}" if said else "")
