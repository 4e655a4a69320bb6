"""What can go wrong. Every message says what to do, and none repeats a prompt, a response or a rating."""

from __future__ import annotations


class AuditError(Exception):
    """Any error of this package."""


class BadInput(AuditError, ValueError):
    """What was given cannot be used. Nothing was logged."""


class NotTracking(AuditError, RuntimeError):
    """A call that belongs inside ``with auditor.track_training(...)`` was made outside."""


class Unsupported(AuditError, NotImplementedError):
    """This version cannot do it, and would rather say so than log something wrong."""


class PrivacyBudgetExceeded(AuditError):
    """A release would cost an annotator more than was promised. Nothing was drawn, charged or released."""


class LogInUse(AuditError):
    """Another process, or another auditor of this one, writes to this log."""


class LogDamaged(AuditError):
    """The log's folder is incomplete, was changed, or was restored from an older copy."""


class RecordingFailed(AuditError):
    """Something could not be recorded, for example because the disk is full.

    What had been logged before is safe, and the log stays valid: it just ends there.
    """
