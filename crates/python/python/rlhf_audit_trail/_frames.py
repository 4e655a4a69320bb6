"""Messages between the ranks of one host: JSON behind its length in four bytes, over a Unix socket."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import threading
import weakref

from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A longer message is refused: somebody else is talking, or far too much is logged in one call.
_LONGEST = 256 << 20

# Whoever does not take a message for so many seconds is as good as gone.
_SENDING = 30.0

# Process, user, group: `struct ucred` in unix(7).
_CREDENTIALS = struct.Struct("3i")

_open: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_in_child() -> None:
    # A forked data loader would keep the connection open when its parent is dead.
    for one in list(_open):
        one.close()


os.register_at_fork(after_in_child=_close_in_child)


def kept_from_children(one: socket.socket) -> socket.socket:
    """The socket, which a forked child closes on its side."""
    _open.add(one)
    return one


class Channel:
    """One side of a connection. One thread receives; several may send, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = kept_from_children(connection)
        self._socket.settimeout(_SENDING)
        self._sending = threading.Lock()
        self._came = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message.

        Raises:
            ConnectionError: the other side is gone, or takes nothing.
            BadInput: the message is too long. Nothing was sent.
        """
        content = json.dumps(message, separators=(",", ":")).encode()
        if len(content) > _LONGEST:
            raise BadInput(
                "this is too much for one call from a rank other than 0; log less at a time"
            )
        try:
            with self._sending:
                self._socket.sendall(len(content).to_bytes(4, "big") + content)
        except OSError as error:
            raise ConnectionError(str(error)) from error

    def receive(self, seconds: float | None) -> dict[str, Any] | None:
        """The next message; None where none has come within so many seconds.

        Raises:
            ConnectionError: the other side is gone, or what it sends is no message.
        """
        while (message := self._whole()) is None:
            if not self._poll.poll(None if seconds is None else seconds * 1000):
                return None
            try:
                part = self._socket.recv(1 << 16)
            except OSError as error:
                raise ConnectionError(str(error)) from error
            if not part:
                raise ConnectionError("the other side has closed the connection")
            self._came += part
        return message

    def _whole(self) -> dict[str, Any] | None:
        if len(self._came) < 4:
            return None
        end = 4 + int.from_bytes(self._came[:4], "big")
        if end - 4 > _LONGEST:
            raise ConnectionError("the other side does not send messages")
        if len(self._came) < end:
            return None
        content = bytes(self._came[4:end])
        del self._came[:end]
        try:
            message = json.loads(content)
        except ValueError as error:
            raise ConnectionError("the other side does not send messages") from error
        if not isinstance(message, dict):
            raise ConnectionError("the other side does not send messages")
        return message

    def user(self) -> int | None:
        """The user of the process at the other side, where the system tells."""
        if not hasattr(socket, "SO_PEERCRED"):
            return None
        credentials = self._socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
        return _CREDENTIALS.unpack(credentials)[1]

    def shut(self) -> None:
        """Wakes whoever waits for a message, on both sides."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # It is gone already.
            return

    def close(self) -> None:
        """Gives the connection up."""
        self._socket.close()
