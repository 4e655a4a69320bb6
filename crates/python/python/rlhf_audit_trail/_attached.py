"""The log of rank 0, as the other ranks of its host see it."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import deque
from pathlib import Path

from ._frames import Channel, kept_from_children
from ._meeting import Meeting, announced, is_alive
from ._owner import error_of
from ._ranks import Ranks
from .errors import AuditError, BadInput, RecordingFailed, Unsupported

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# So many messages may be under way; then the next one waits for their acknowledgement.
_MANY = 512

# A connection that was lost is made again within so many seconds.
_AGAIN = 5.0

# A connection that is lost so many times, and nothing was acknowledged meanwhile, is given up.
_LOSSES = 10


class Attached:
    """Logs by the recorder of rank 0: judgements durably before the call returns, numbers soon after."""

    def __init__(self, directory: Path, model: str, ranks: Ranks, patience: float) -> None:
        self._directory = directory
        self._model = model
        self._ranks = ranks
        self._patience = patience
        self._process = os.getpid()
        self._session = secrets.token_hex(16)
        self._lock = threading.RLock()
        self._number = 0
        self._awaited = 0
        self._answered = 0
        self._losses = 0
        self._ended = False
        self._is_deserted = False
        self._unacknowledged: deque[dict[str, Any]] = deque()
        self._trouble: AuditError | None = None
        self._owner: str | None = None
        self._channel = self._attach()

    def rate(self, *arguments: Any) -> Any:
        """As the recorder's."""
        return tuple(self._ask("rate", *arguments))

    def prefer(self, *arguments: Any) -> Any:
        """As the recorder's."""
        return tuple(self._ask("prefer", *arguments))

    def judge(self, *arguments: Any) -> tuple[int | None, int]:
        """As the recorder's."""
        first, count = self._ask("judge", *arguments)
        return first, count

    def event(self, kind: str, data: str) -> None:
        """As the recorder's, and says which rank it is from."""
        self._tell("event", kind, data)

    def numbers(self, step: int, metrics: dict[str, float], policy: str) -> None:
        """As the recorder's, and says which rank it is from."""
        self._tell("numbers", step, metrics, policy)

    def join(self) -> None:
        """Waits until everything given is durable."""
        with self._lock:
            self._ours()
            while self._unacknowledged:
                self._next()
            self._raise()

    def settle(self) -> int | None:
        """As the recorder's."""
        return self._ask("settle")

    def end_run(self, outcome: str) -> None:
        """Says to rank 0 that this rank is done, and how. The run is ended by rank 0."""
        self._ask("leave", outcome)

    def reopen(self, *_: Any) -> int:
        """Attaches again where the connection is lost."""
        with self._lock:
            self._ours()
            self._again(0.0)
        return 0

    def close(self) -> None:
        """Gives the connection up."""
        if os.getpid() == self._process:
            self._channel.close()

    def _tell(self, call: str, *arguments: Any) -> None:
        """Sends a message, and does not wait until it is acted on."""
        with self._lock:
            self._ours()
            self._raise()
            self._send(call, arguments)
            while len(self._unacknowledged) > _MANY:
                self._next()
            self._hear()

    def _ask(self, call: str, *arguments: Any) -> Any:
        """Sends a message, and waits for the answer."""
        with self._lock:
            self._ours()
            self._raise()
            self._awaited = self._number + 1
            number = self._send(call, arguments)
            while (answer := self._next()).get("number") != number:
                continue
            self._answered = number
            if "error" in answer:
                raise error_of(answer["error"])
            return answer["result"]

    def _ours(self) -> None:
        if os.getpid() != self._process:
            raise RecordingFailed(
                "this process is a child of the one that is attached to the log; log from the parent"
            )

    def _raise(self) -> None:
        """The first failure of what was not waited for is told once."""
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble

    def _send(self, call: str, arguments: tuple[Any, ...]) -> int:
        message = {"number": self._number + 1, "call": call, "arguments": arguments}
        try:
            self._channel.send(message)
        except ConnectionError:
            self._number += 1
            self._unacknowledged.append(message)
            self._again(_AGAIN)
            return self._number
        self._number += 1
        self._unacknowledged.append(message)
        return self._number

    def _next(self) -> dict[str, Any]:
        """The next message of rank 0's; an empty one after the connection was lost and made again."""
        try:
            answer = self._channel.receive(self._patience)
        except ConnectionError as error:
            self._losses += 1
            if self._losses > _LOSSES:
                raise RecordingFailed(self._lost(str(error))) from error
            self._again(_AGAIN)
            return {}
        if answer is None:
            raise RecordingFailed(
                f"rank 0, which owns the log, has not answered for {self._patience:g} s; see what it is doing"
            )
        self._note(answer)
        return answer

    def _hear(self) -> None:
        """Takes in what has come of acknowledgements."""
        try:
            while (answer := self._channel.receive(0.0)) is not None:
                self._note(answer)
        except ConnectionError:
            # Whoever sends next connects again.
            return

    def _note(self, answer: dict[str, Any]) -> None:
        if answer.get("ended"):
            self._ended = True
            self._refuse_after_end()
        durable = answer.get("durable", 0)
        while self._unacknowledged and self._unacknowledged[0]["number"] <= durable:
            self._unacknowledged.popleft()
            self._losses = 0
        is_awaited = answer.get("number") == self._awaited
        # What was answered before may come again, after a connection was lost.
        if (
            "error" in answer
            and not is_awaited
            and answer.get("number", self._number) > self._answered
        ):
            self._trouble = self._trouble or error_of(answer["error"])

    def _attach(self) -> Channel:
        """Waits until rank 0 is there."""
        rank = self._ranks.rank
        if self._ranks.node > 0:
            raise Unsupported(
                f"rank {rank} is on another host than rank 0, and attaching over the network is not there yet: enter "
                "track_training in the ranks of rank 0's host alone"
            )
        deadline = time.monotonic() + self._patience
        pause = 0.02
        while True:
            channel, reason = self._try()
            if channel is not None:
                return channel
            if time.monotonic() + pause > deadline:
                raise RecordingFailed(
                    f"rank {rank} found no owner of the log in {self._directory} within {self._patience:g} s: {reason}; "
                    "rank 0 must enter track_training with the same base_dir and experiment_name"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    def _try(self) -> tuple[Channel | None, str]:
        """A connection to the owner, or why there is none."""
        meeting = announced(self._directory)
        if meeting is None:
            return None, "nobody has opened it"
        if meeting.job != self._ranks.job:
            return None, "another job, or an earlier attempt of this one, has opened it"
        if meeting.host != socket.gethostname():
            raise Unsupported(
                f"rank {self._ranks.rank} is on another host than rank 0, and attaching over the network is not there "
                "yet: enter track_training in the ranks of rank 0's host alone"
            )
        self._is_deserted = False
        try:
            return self._greet(meeting), ""
        except OSError as error:
            # Nobody listens any more, be the process still there as a zombie.
            self._is_deserted = isinstance(error, (ConnectionRefusedError, FileNotFoundError))
            return None, f"the process {meeting.process} that opened it does not answer ({error})"

    def _greet(self, meeting: Meeting) -> Channel:
        connection = kept_from_children(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            connection.settimeout(self._patience)
            connection.connect(meeting.socket)
        except OSError:
            connection.close()
            raise
        channel = Channel(connection)
        hello = {
            "token": meeting.token,
            "rank": self._ranks.rank,
            "job": self._ranks.job,
            "model": self._model,
            "session": self._session,
        }
        try:
            channel.send(hello)
            welcome = channel.receive(self._patience)
        except ConnectionError:
            channel.close()
            raise
        if welcome is None:
            channel.close()
            raise ConnectionError("it does not greet")
        if "later" in welcome:
            channel.close()
            raise ConnectionError(welcome["later"])
        if "refused" in welcome:
            channel.close()
            raise BadInput(
                f"rank {self._ranks.rank} cannot attach to the log: {welcome['refused']}"
            )
        if self._owner not in (None, welcome["owner"]):
            channel.close()
            raise RecordingFailed(self._lost("and another process owns the log now"))
        self._owner = welcome["owner"]
        self._note(welcome)
        return channel

    def _again(self, seconds: float) -> None:
        """Connects again, and sends again what is not acknowledged. It is acted on once all the same."""
        # The last words may say why.
        self._hear()
        self._refuse_after_end()
        deadline = time.monotonic() + seconds
        self._channel.close()
        while True:
            meeting = announced(self._directory)
            channel, reason = self._try()
            if channel is not None:
                self._channel = channel
                try:
                    for message in list(self._unacknowledged):
                        channel.send(message)
                    return
                except ConnectionError as error:
                    reason = str(error)
            is_gone = meeting is None or self._is_deserted or not is_alive(meeting.process)
            if is_gone or time.monotonic() > deadline:
                raise RecordingFailed(self._lost(reason))
            time.sleep(0.05)

    def _refuse_after_end(self) -> None:
        if self._ended:
            raise RecordingFailed(
                f"rank 0 has ended the run, so nothing more of rank {self._ranks.rank} is recorded; leave "
                "track_training in rank 0 last"
            )

    def _lost(self, reason: str) -> str:
        return (
            f"rank 0, which owns the log, is gone ({reason}). What it acknowledged is in the log; of rank "
            f"{self._ranks.rank}, {len(self._unacknowledged)} messages may not be. Start the job again"
        )
