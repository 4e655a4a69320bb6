"""An audit trail for training with human feedback.

::

    from rlhf_audit_trail import AuditableRLHF

    auditor = AuditableRLHF(model_name="my-model")
    with auditor.track_training(experiment_name="dpo-1"):
        DPOTrainer(..., callbacks=[auditor.callback()]).train()

Importing this pulls in neither torch nor transformers.
"""

from __future__ import annotations

from ._annotations import Logged
from ._engine import __version__
from .auditor import AuditableRLHF, Checkpoint
from .card import ModelCard
from .errors import (
    AuditError,
    BadInput,
    LogDamaged,
    LogInUse,
    NotTracking,
    PrivacyBudgetExceeded,
    RecordingFailed,
    Unsupported,
)
from .privacy import PrivacyConfig, PrivacyReport, TrainingPrivacy
from .provenance import ChainVerification, ProvenanceReport
from .report import RegulatoryReport

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .callback import AuditCallback
    from .trainers import auditable

__all__ = [
    "AuditCallback",
    "AuditError",
    "AuditableRLHF",
    "BadInput",
    "ChainVerification",
    "Checkpoint",
    "LogDamaged",
    "LogInUse",
    "Logged",
    "ModelCard",
    "NotTracking",
    "PrivacyBudgetExceeded",
    "PrivacyConfig",
    "PrivacyReport",
    "ProvenanceReport",
    "RecordingFailed",
    "RegulatoryReport",
    "TrainingPrivacy",
    "Unsupported",
    "__version__",
    "auditable",
]


def __getattr__(name: str) -> Any:
    # What needs transformers or TRL is imported when it is asked for.
    if name == "AuditCallback":
        from .callback import AuditCallback

        return AuditCallback
    if name.startswith("Auditable") or name == "auditable":
        from . import trainers

        return getattr(trainers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
