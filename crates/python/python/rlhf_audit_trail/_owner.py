"""The log of rank 0, opened to the other ranks of its host.

Each message of a rank has a number. It is acted on once, in order, however often it is sent; and it is acknowledged when
what it says is durable, so that a rank knows what it has to send again after a connection was lost.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

from . import errors
from ._frames import Channel, kept_from_children
from ._meeting import Meeting, announce, announced, meeting_file
from ._ranks import Ranks
from .errors import AuditError, RecordingFailed

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PREFIX = "rlhf-audit-"

# A socket's path must fit into `sun_path`: 108 bytes on Linux, 104 on macOS, with a zero at the end.
_LONGEST_PATH = 100

# Who has connected says who it is within so many seconds.
_GREETING = 10.0

# Numbers are made durable when none has come for so many seconds, or at the latest after so many.
_PAUSE, _LATEST = 0.05, 0.5

# Whose connection was lost is back after so many seconds, or gone.
_GRACE = 2.0


class _Session:
    """A process of another rank."""

    def __init__(self, rank: int, name: str) -> None:
        self.rank = rank
        self.name = name
        self.lock = threading.Lock()
        """Held while a message is acted on, so that none is twice."""
        self.channel: Channel | None = None
        self.done = 0
        """The last message that was acted on."""
        self.durable = 0
        """The last one that is durable."""
        self.reply: dict[str, Any] | None = None
        """What was answered to the last one that asked."""
        self.left = False
        """Whether it has said that it is done."""


class Owner:
    """Lets the other ranks log by a recorder."""

    def __init__(
        self, recorder: Any, directory: Path, model: str, ranks: Ranks, patience: float
    ) -> None:
        self._recorder = recorder
        self._directory = directory
        self._model = model
        self._ranks = ranks
        self._patience = patience
        self._process = os.getpid()
        self._sessions: dict[int, _Session] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._channels: set[Channel] = set()
        try:
            _forget_older(directory)
            self._folder = _private_folder()
            path = os.path.join(self._folder, "log")
            self._listener = kept_from_children(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self._listener.bind(path)
            self._listener.listen(ranks.world + 8)
            self._meeting = Meeting(
                socket=path,
                token=secrets.token_hex(32),
                owner=secrets.token_hex(16),
                job=ranks.job,
                host=socket.gethostname(),
                process=self._process,
            )
            announce(directory, self._meeting)
        except OSError as error:
            raise RecordingFailed(
                f"the other ranks cannot attach to the log in {directory}: {error}; make room, or set TMPDIR to a "
                "folder on this host with a short name"
            ) from error
        self._start(self._accept)

    def finish(self, is_completed: bool) -> None:
        """Waits until the other ranks are done, where the run has ended well, and closes the log to them."""
        if os.getpid() != self._process:
            return
        try:
            if is_completed:
                self._wait_for_others()
        finally:
            self._close()

    def _wait_for_others(self) -> None:
        deadline = time.monotonic() + self._patience
        with self._changed:
            while self._missing() and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            missing = self._missing()
            never = [rank for rank in missing if rank not in self._sessions]
        if never:
            warnings.warn(
                f"ranks {never} never attached to the log in {self._directory} within {self._patience:g} s after rank 0 "
                "was done, so nothing of theirs is in it: enter track_training in every rank",
                stacklevel=6,
            )
        for rank in sorted(set(missing) - set(never)):
            self._incident(rank, "was still recording when the run ended")

    def _missing(self) -> list[int]:
        """Who is still to come or to go."""
        gone = {
            rank
            for rank, session in self._sessions.items()
            if session.left or session.channel is None
        }
        return [rank for rank in range(1, self._ranks.world) if rank not in gone]

    def _close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            channels = list(self._channels)
            sessions = list(self._sessions.values())
        for session in sessions:
            # What is being acted on belongs to this run.
            with session.lock:
                pass
        for channel in channels:
            with suppress(ConnectionError):
                channel.send({"ended": True})
            channel.shut()
        # It wakes the thread that accepts, which closing would not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        current = announced(self._directory)
        if current is not None and current.owner == self._meeting.owner:
            with suppress(OSError):
                meeting_file(self._directory).unlink()
        _remove(self._meeting.socket)

    def _start(self, work: Any, *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, name="rlhf-audit-ranks", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        channel = Channel(connection)
        session = None
        try:
            with self._changed:
                if self._closing:
                    return
                self._channels.add(channel)
            session = self._admit(channel)
            if session is not None:
                self._welcome(session, channel)
                self._work(session, channel)
        except (ConnectionError, KeyError, TypeError, ValueError):
            # It comes again and sends again, or it is gone.
            pass
        finally:
            with self._changed:
                self._channels.discard(channel)
            channel.close()
            if session is not None:
                self._parted(session, channel)

    def _admit(self, channel: Channel) -> _Session | None:
        """Who it is, if it may."""
        hello = channel.receive(_GREETING)
        if hello is None or channel.user() not in (None, os.getuid()):
            return None
        if not hmac.compare_digest(str(hello["token"]).encode(), self._meeting.token.encode()):
            return None
        refusal = self._refusal(hello)
        if refusal is not None:
            channel.send({"refused": refusal})
            return None
        rank, name = hello["rank"], hello["session"]
        with self._changed:
            session = self._sessions.get(rank)
            if session is not None and session.name != name:
                if session.channel is not None or session.left:
                    # Of a next run it is, whose owner is still to come.
                    channel.send({"later": f"rank {rank} is or was attached already"})
                    return None
                session = None
            if session is None:
                session = self._sessions[rank] = _Session(rank, name)
            if session.channel is not None:
                session.channel.shut()
            session.channel = channel
        return session

    def _welcome(self, session: _Session, channel: Channel) -> None:
        with session.lock:
            channel.send({"owner": self._meeting.owner, "durable": session.durable})
            if session.reply is not None:
                # It may not have arrived.
                channel.send(session.reply)

    def _refusal(self, hello: dict[str, Any]) -> str | None:
        rank = hello["rank"]
        if hello["job"] != self._ranks.job:
            return "the log belongs to another job; choose another experiment_name or base_dir"
        if not isinstance(rank, int) or not 0 < rank < self._ranks.world:
            return f"there are ranks 0 to {self._ranks.world - 1}, and {rank} is none of the others"
        if hello["model"] != self._model:
            return f"rank 0 logs the model {self._model!r}, not {hello['model']!r}; name the same one in every rank"
        return None

    def _work(self, session: _Session, channel: Channel) -> None:
        since = time.monotonic()
        while not session.left:
            waits = session.done > session.durable
            message = channel.receive(_PAUSE if waits else None)
            if message is not None:
                if not waits:
                    since = time.monotonic()
                with session.lock:
                    self._take(session, channel, message)
            if message is None or (waits and time.monotonic() - since > _LATEST):
                with session.lock:
                    self._settle(session, channel)

    def _take(self, session: _Session, channel: Channel, message: dict[str, Any]) -> None:
        """Acts on a message, unless that was done."""
        number = message["number"]
        if self._closing or number <= session.done:
            return
        if number != session.done + 1:
            raise ConnectionError("a message is missing")
        asked = message["call"] not in ("numbers", "event")
        answer: dict[str, Any] = {"number": number}
        try:
            answer["result"] = self._do(session, message["call"], message["arguments"])
        except AuditError as error:
            answer["error"] = [type(error).__name__, str(error)]
        except (TypeError, ValueError, UnicodeError, OverflowError) as error:
            answer["error"] = ["BadInput", f"rank 0 cannot log this: {type(error).__name__}"]
        session.done = number
        if asked:
            session.reply = answer
        if asked and "error" not in answer:
            # All of them make durable what came before.
            session.durable = number
        if asked or "error" in answer:
            channel.send(answer | {"durable": session.durable})

    def _do(self, session: _Session, call: str, arguments: list[Any]) -> Any:
        recorder = self._recorder
        if call in ("rate", "prefer", "judge"):
            return getattr(recorder, call)(*arguments)
        if call == "numbers":
            return recorder.numbers(*arguments, session.rank)
        if call == "event":
            kind, data = arguments
            return recorder.event(kind, json.dumps(json.loads(data) | {"rank": session.rank}))
        if call == "settle":
            return recorder.settle()
        if call == "leave":
            (outcome,) = arguments
            if outcome != "completed":
                self._incident(session.rank, outcome)
            recorder.flush()
            with self._changed:
                session.left = True
                self._changed.notify_all()
            return None
        raise ValueError(call)

    def _settle(self, session: _Session, channel: Channel) -> None:
        """Makes durable what was taken, and says so."""
        answer: dict[str, Any] = {}
        try:
            self._recorder.flush()
        except AuditError as error:
            answer["error"] = [type(error).__name__, str(error)]
        session.durable = session.done
        channel.send(answer | {"durable": session.durable})

    def _parted(self, session: _Session, channel: Channel) -> None:
        """A connection is lost. If its process does not come back, it has died."""
        deadline = time.monotonic() + _GRACE
        with self._changed:
            while not (self._closing or session.left or session.channel is not channel):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if session.channel is channel:
                session.channel = None
                if not (self._closing or session.left):
                    self._incident(session.rank, "went away without saying how")
            self._changed.notify_all()

    def _incident(self, rank: int, what: str) -> None:
        title = f"rank {rank} of {self._ranks.world}: {what}"
        data = {"title": title, "document": {"rank": rank, "outcome": what}}
        # Where it cannot be recorded, the recorder says so to whoever logs next.
        with suppress(AuditError):
            self._recorder.event("incident", json.dumps(data))


def error_of(told: list[str]) -> AuditError:
    """An error as the owner told it."""
    name, message = told
    known = getattr(errors, name, RecordingFailed)
    is_ours = isinstance(known, type) and issubclass(known, AuditError)
    return known(message) if is_ours else RecordingFailed(message)


def _private_folder() -> str:
    """A new folder that nobody else may enter, with a name that nobody can know before."""
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    if len(os.fsencode(os.path.join(folder, "log"))) > _LONGEST_PATH:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp")
    return folder


def _forget_older(directory: Path) -> None:
    """Removes what an owner has left that was killed. The log's lock says that there is no other one now."""
    older = announced(directory)
    if older is not None:
        _remove(older.socket)
        with suppress(OSError):
            meeting_file(directory).unlink()


def _remove(path: str) -> None:
    folder = os.path.dirname(path)
    if os.path.basename(folder).startswith(_PREFIX):
        with suppress(OSError):
            os.unlink(path)
        with suppress(OSError):
            os.rmdir(folder)
