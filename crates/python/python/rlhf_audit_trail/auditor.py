"""What people call: one auditor for a model, one log for each experiment."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import _annotations, _engine, _inputs, _ranks, _started, _weights, card, provenance, report
from ._annotations import Logged
from ._tracking import Tracking
from .errors import BadInput, NotTracking, Unsupported
from .privacy import PrivacyConfig, PrivacyReport

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .callback import AuditCallback

_POLICIES = ("scalars", "lora", "every_n", "full")
_ON_FAILURE = ("save_and_stop", "stop", "continue_with_gap")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was logged."""

    name: str
    """Its name, for example ``epoch_5``."""
    index: int | None
    """Its entry; None in other ranks than 0, and where nothing could be recorded (``"continue_with_gap"``)."""
    root: str | None
    """The root of its weights, hex: what ``rlhf-audit digest`` gives for the saved folder. None as above."""


class AuditableRLHF:
    """Records the training of a model in a tamper-evident log.

    Each experiment is a folder under a base directory: ``base_dir``, else the environment's ``RLHF_AUDIT_DIR``, else
    ``./audit``. In the folder lies the log, which can be shown, and ``private/``, which never leaves the machine.

    Several processes that train together, under ``torchrun`` or with ``torch.distributed`` initialised: each makes its
    auditor and enters ``track_training`` in the same way. Rank 0 owns the log; the others of its host attach to it, and
    what they log is in it. Weights, checkpoints, cards and evidence are rank 0's.

    Args:
        model_name: the model's name, one line of text.
        privacy_config: what is promised to annotators; without it nothing is noised.
        storage_backend: where the log is kept: ``"local"``, a folder.
        compliance_mode: ``"eu_ai_act"``, ``"nist_draft"`` or ``"both"``: whose provisions the model card names.
        base_dir: the base directory.
        weights: which weights are digested at an update. ``"scalars"``: none, only numbers. ``"lora"``: those that are
            trained, at each update. ``"every_n"``: all, at every ``every_n``-th update. ``"full"``: all, at each update.
            By default ``"lora"`` for a PEFT model, else ``"scalars"``. A copy of what is digested is kept in memory; of up to 8 MiB
            one more, so that the optimizer need not wait for the digest, and of what lies on a device one more, page-locked.
        every_n: how many updates lie between two digests, with ``weights="every_n"``.
        on_record_failure: what a trainer does when nothing more can be recorded: ``"save_and_stop"`` has it save a
            checkpoint, stop, and raise when the ``track_training`` block ends; ``"stop"`` raises at once. Calls that
            you make yourself raise at once in either case. With ``"continue_with_gap"`` training goes on: calls return
            without having recorded, and when recording works again, the log says from when to when it did not and what
            was lost, as an incident. Nobody gets the best verdict over such a gap. Where it never works again, the run
            has no end in the log.
        passphrase: protects the keys in the folder.
        rank_timeout: of several processes that train together, how many seconds a rank waits for rank 0 to open the log,
            and rank 0 for the others when its block ends.

    Raises:
        BadInput: one of these is none of what is listed.
    """

    def __init__(
        self,
        model_name: str,
        privacy_config: PrivacyConfig | None = None,
        storage_backend: str = "local",
        compliance_mode: str = "both",
        *,
        base_dir: str | os.PathLike[str] | None = None,
        weights: str | None = None,
        every_n: int | None = None,
        on_record_failure: str = "save_and_stop",
        passphrase: str | None = None,
        rank_timeout: float = 60.0,
    ) -> None:
        if storage_backend != "local":
            raise BadInput(
                f"storage_backend must be 'local' in this version, not {storage_backend!r}"
            )
        card.check_mode(compliance_mode)
        if weights not in (None, *_POLICIES):
            raise BadInput(f"weights must be one of {_POLICIES}, not {weights!r}")
        if (weights == "every_n") != (every_n is not None) or (every_n is not None and every_n < 1):
            raise BadInput("weights='every_n' and every_n=N, a whole number above 0, go together")
        if on_record_failure not in _ON_FAILURE:
            raise BadInput(
                f"on_record_failure must be one of {_ON_FAILURE}, not {on_record_failure!r}"
            )
        if not (isinstance(rank_timeout, (int, float)) and 0 < rank_timeout < math.inf):
            raise BadInput(
                f"rank_timeout must be a number of seconds above 0, not {rank_timeout!r}"
            )
        self.model_name = model_name
        self.privacy_config = privacy_config or PrivacyConfig()
        self.compliance_mode = compliance_mode
        self.on_record_failure = on_record_failure
        self.base_dir = Path(base_dir or os.environ.get("RLHF_AUDIT_DIR") or "audit")
        self._weights = weights
        self._every_n = every_n
        self._passphrase = passphrase
        self._rank_timeout = float(rank_timeout)
        self._dir: Path | None = None
        self._tracking: Tracking | None = None

    @property
    def log_dir(self) -> Path:
        """The folder of the experiment that is being tracked, or was last.

        Raises:
            NotTracking: there was none.
        """
        if self._dir is None:
            raise NotTracking(
                "no experiment was tracked yet; use `with auditor.track_training(experiment_name=...)`"
            )
        return self._dir

    @contextmanager
    def track_training(
        self,
        experiment_name: str,
        hyperparameters: Any = None,
        resumed_from: str | None = None,
        *,
        from_released: bool = False,
    ) -> Iterator[AuditableRLHF]:
        """Opens the experiment's log for a run, and ends the run when the block ends.

        The run's end says how: ``completed``, ``interrupted`` (Ctrl-C), or ``failed: `` and the type of the exception.
        A process that is killed says nothing; the next run in the same log then says that of it.

        Args:
            experiment_name: the folder's name under the base directory. A log that is there goes on.
            hyperparameters: a mapping, or training arguments with ``to_dict``. Public.
            resumed_from: the checkpoint that training starts from, by the name it was logged under. Of several ranks what
                rank 0 says counts, here and above.
            from_released: with ``annotator_privacy_mode="moderate"``, that this run learns from nothing that depends on
                ratings but what ``log_annotations`` returned as released. Its updates and the card say so, on your word.

        Raises:
            BadInput: no folder can have this name; the log there is about another model or promise; or nothing is
                released in it that a run could learn from.
            LogInUse: another auditor or process writes to it.
            LogDamaged: the folder is incomplete.
            RecordingFailed: the run's end could not be recorded; or, in another rank than 0, nobody has opened the log.
            Unsupported: this process is on another host than rank 0.
        """
        if self._tracking is not None:
            raise NotTracking(f"{self._dir} is tracked already; leave that block first")
        ranks = _ranks.here()
        if from_released and self.privacy_config.mode != "moderate":
            raise BadInput(
                "from_released=True needs annotator_privacy_mode='moderate': in other logs no single values are released"
            )
        directory = self._folder(experiment_name)
        recorder = self._recording(directory, ranks)
        self._dir = directory
        tracking = self._tracking = Tracking(recorder, ranks, from_released)
        outcome = "completed"
        try:
            if ranks.rank == 0:
                details = self._details(hyperparameters, resumed_from, ranks)
                recorder.start_run(json.dumps(details))
                if ranks.are_many:
                    tracking.owner = self._owner(recorder, directory, ranks)
            yield self
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        except BaseException as error:
            # Not its message, which may repeat what is private.
            outcome = f"failed: {type(error).__name__}"
            raise
        finally:
            self._tracking = None
            tracking.end(outcome)

    def log_annotations(
        self,
        prompts: Any = None,
        responses: Any = None,
        annotator_ids: Any = None,
        rewards: Any = None,
        *,
        chosen: Any = None,
        rejected: Any = None,
        batch: str | None = None,
    ) -> Logged:
        """Logs human feedback. It is durable when this returns: all of it is in the log, or none.

        Texts, ratings, votes and ids do not enter the log: it holds commitments, their content is sealed beside it. With
        ``annotator_privacy_mode="moderate"`` each rating and vote is released with noise, and what is returned holds
        the released values: train on those. What they cost is charged, durably, before any is drawn.

        Args:
            prompts: n strings. Of pairs optional.
            responses: n strings. With them ratings are logged.
            annotator_ids: n strings or whole numbers, or one for all. Of pairs optional, but with ``"moderate"``.
            rewards: n finite numbers: a list, a NumPy array or a tensor of one dimension.
            chosen: n strings: the better response of each pair. With them preferences are logged.
            rejected: n strings: the other one.
            batch: with ``"moderate"`` a name, one line of text. The same annotations given again under it, for example
                after a crash, are logged and charged once, and the same values are told.

        Raises:
            BadInput: something is missing, not of its type, or not as many as the rest.
            PrivacyBudgetExceeded: with ``"moderate"``, somebody gave more than one batch may cost, or has too little
                left.
            NotTracking: outside ``track_training``.
            RecordingFailed: it could not be recorded.
        """
        recorder = self._tracked("log_annotations").recorder
        return _annotations.log(
            recorder, prompts, responses, annotator_ids, rewards, chosen, rejected, batch
        )

    def log_judgements(self, judge: str, prompts: Any, responses: Any, rewards: Any) -> Logged:
        """Logs what a program thought of responses, for example a reward function. Durable when this returns.

        Texts and rewards do not enter the log: it holds commitments, their content is sealed beside it. These count
        apart from what people thought, cost no privacy budget and are in no ``release_round``.

        Args:
            judge: the program's name, one line of text of at most 200 bytes. Public.
            prompts: n strings.
            responses: n strings.
            rewards: n finite numbers: a list, a NumPy array or a tensor of one dimension.

        Raises:
            BadInput: something is not of its type, or not as many as the rest.
            NotTracking: outside ``track_training``.
            RecordingFailed: it could not be recorded.
        """
        tracking = self._tracked("log_judgements")
        if not isinstance(judge, str):
            raise BadInput(f"judge must be a string, not {type(judge).__name__}")
        prompts = _inputs.texts("prompts", prompts)
        responses = _inputs.texts("responses", responses)
        rewards = _inputs.numbers("rewards", rewards)
        _inputs.same_length(prompts=prompts, responses=responses, rewards=rewards)
        return Logged(*tracking.recorder.judge(judge, prompts, responses, rewards))

    def track_policy_update(
        self,
        model: Any,
        optimizer: Any = None,
        batch: Any = None,
        *,
        metrics: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Records an update of the model's weights: call it after ``optimizer.step()``.

        It returns at once. What is digested is read where it is until the optimizer's next step, which waits for it.
        The first weights seen in a run are logged as where it starts; give them before the first step
        (``auditor.watch(model)``), and the first update is logged with how far it moved as well.
        In another rank than 0 no weights are digested, and the numbers are logged under the rank's own.

        Args:
            model: the model, or what ``torch.compile``, DDP or Opacus made of it. ``None`` with ``weights="scalars"``, or without
                a choice: it is trained in other processes, and what is recorded of its updates is numbers.
            optimizer: its learning rate is logged, and its next step waits for the digest. Of Opacus's, the noise,
                clipping norm, sampling rate and steps are logged at each checkpoint and when the run ends; a step that
                ``BatchMemoryManager`` puts off is none.
            batch: a mapping; its named numbers are logged, and how many items it has. Contents are not.
            metrics: named numbers, for example the loss. Public.
            step: the optimizer's step; counted from 1 where it is not given.

        Raises:
            BadInput: the model has no parameters, or some without content (meta tensors).
            NotTracking: outside ``track_training``.
            Unsupported: the model is sharded (FSDP, ZeRO-3).
            RecordingFailed: an earlier step could not be recorded.
        """
        tracking = self._tracked("track_policy_update")
        numbers = _inputs.numbers_in(batch) | _inputs.metrics(metrics)
        tracking.update(self._policy(model), self._every_n, model, optimizer, numbers, step)

    def watch(self, model: Any) -> None:
        """Digests the weights that training starts from, where updates digest any, and returns when that is done.

        Raises:
            BadInput, NotTracking, Unsupported, RecordingFailed: as ``track_policy_update``.
        """
        tracking = self._tracked("watch")
        tracking.watch(self._policy(model), model)

    def checkpoint(
        self,
        epoch: int | None = None,
        metrics: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        model: Any = None,
        path: str | os.PathLike[str] | None = None,
    ) -> Checkpoint:
        """Logs the weights under a name, with what was measured.

        Which weights: those in ``path``, else those of ``model``, else those of the model last given to
        ``track_policy_update`` or ``watch``. Of a PEFT model it is the adapter, as ``save_pretrained`` writes it.
        In another rank than 0 nothing but the metrics is logged, under the rank's number.

        Args:
            epoch: ``epoch=5`` names it ``epoch_5``.
            metrics: named numbers. Public.
            name: the name, one line of text of at most 200 bytes, instead of an epoch.
            model: the model.
            path: a ``.safetensors`` file, or the folder of a saved model.

        Raises:
            BadInput: no name, no weights, or weights that cannot be read.
            NotTracking: outside ``track_training``.
            RecordingFailed: it, or an earlier step, could not be recorded.
            Unsupported: the model is sharded (FSDP, ZeRO-3).
        """
        tracking = self._tracked("checkpoint")
        if (epoch is None) == (name is None):
            raise BadInput("give the checkpoint an epoch or a name")
        name = f"epoch_{epoch}" if name is None else name
        numbers = _inputs.metrics(metrics)
        if path is None:
            model = tracking.last_model() if model is None else model
            if model is None:
                raise BadInput("which weights? Give model=..., or path=... of a saved model")
            model = _weights.whole(model)
        if tracking.ranks.rank > 0:
            tracking.measured(numbers)
            return Checkpoint(name, None, None)
        tracking.note_dp_sgd()
        if path is not None:
            return self._saved(name, path, numbers)
        held = _weights.described_at_once(_weights.saved(model))
        index, root = tracking.recorder.checkpoint(name, held, list(held.on_cards), numbers)
        return Checkpoint(name, index, root)

    def _saved(
        self, name: str, path: str | os.PathLike[str], numbers: dict[str, float]
    ) -> Checkpoint:
        recorder = self._tracked("checkpoint").recorder
        recorder.saved(name, path, numbers)
        if recorder.settle() is None:
            return Checkpoint(name, None, None)
        events = json.loads(_engine.read_events(self.log_dir, ["checkpoint"]))
        newest = events[-1]
        root = newest["event_data"]["root"].removeprefix("sha256:")
        return Checkpoint(name, newest["index"], root)

    def release_round(self, round_id: str | None = None) -> dict[str, Any]:
        """Releases the noised mean of the ratings since the last round, and charges everybody who gave some.

        Asked for again under the same ``round_id``, it is answered with what was released the first time.

        Returns:
            ``id``, ``entry``, ``count`` (ratings in it), ``mean`` and ``standard_deviation`` (of its noise), the latter
            two in units of reward.

        Raises:
            PrivacyBudgetExceeded: somebody has too little left.
            BadInput: the log's mode is not ``"strong"``, or there are no ratings.
            Unsupported: this is another rank than 0.
        """
        tracking = self._tracked("release_round")
        self._refuse_others()
        return json.loads(tracking.recorder.release_round(round_id))

    def add_external_auditor(
        self, auditor_id: str, access_level: str = "read", scope: Any = None
    ) -> None:
        """Records that somebody was granted access. It opens nothing by itself: give them the evidence file.

        Args:
            auditor_id: who, one line of text. Public.
            access_level: which access, in a word of yours.
            scope: what it extends to: text, or a list of texts.

        Raises:
            BadInput: one of them is not what it must be.
        """
        for name, value in [("auditor_id", auditor_id), ("access_level", access_level)]:
            if (
                not isinstance(value, str)
                or not value.strip()
                or len(value) > 200
                or not value.isprintable()
            ):
                raise BadInput(f"{name} must be one line of text of at most 200 characters")
        grant = {"auditor": auditor_id, "access_level": access_level}
        if scope is not None:
            grant["scope"] = [scope] if isinstance(scope, str) else _inputs.texts("scope", scope)
        with self._recorder() as recorder:
            recorder.event("auditor.grant", json.dumps(grant))
            recorder.settle()

    def generate_model_card(
        self,
        include_provenance: bool = True,
        include_privacy_analysis: bool = True,
        format: str = "json",
    ) -> card.ModelCard:
        """Derives the model card from the log, and logs its digest.

        Args:
            include_provenance: whether ``claims`` has those about runs, weights and checkpoints.
            include_privacy_analysis: whether it has those about privacy.
            format: ``"json"``; ``"eu_standard"`` and ``"nist_standard"`` give the same card in this version.

        Raises:
            BadInput: there is no such format.
        """
        card.check_format(format)
        with self._recorder() as recorder:
            content, entry = recorder.card()
        return card.read(
            content, entry, self.compliance_mode, include_provenance, include_privacy_analysis
        )

    def generate_regulatory_report(
        self, start_date: Any, end_date: Any, include_sections: Any = None
    ) -> report.RegulatoryReport:
        """Derives a report on a period from the log, and logs its digest.

        Its statements are claims as in the model card, about the period or about all up to its end. What the log does
        not support is said in each section.

        Args:
            start_date: where the period begins: a ``date``, a ``datetime``, or either as ISO 8601 text. A time without
                an offset is UTC.
            end_date: its end, which is in it; a day as a whole.
            include_sections: names of sections: ``"records"``, ``"provenance"``, ``"privacy"``, ``"training"``,
                ``"evaluation"``, ``"bias"``, ``"safety"``, ``"oversight"``; all where it is not given.

        Raises:
            BadInput: no dates, or in the wrong order; nothing in the log lies between them; there is no such section.
            LogDamaged, RecordingFailed: the log does not verify, or the report cannot be logged.
        """
        start, end = report.period(start_date, end_date)
        names = report.names(include_sections)
        with self._recorder() as recorder:
            return report.RegulatoryReport(*recorder.report(start, end, names))

    def get_privacy_report(self) -> PrivacyReport:
        """What was spent of the budget promised to annotators; and, apart from it, what training with Opacus cost."""
        if self._tracking is not None and self._tracking.ranks.rank == 0:
            self._tracking.note_dp_sgd()
            self._tracking.recorder.settle()
        return PrivacyReport.read(self.log_dir)

    def verify_provenance(
        self, start_checkpoint: str, end_checkpoint: str
    ) -> provenance.ProvenanceReport:
        """Verifies the log, and whether its updates lead from one checkpoint to the other.

        Args:
            start_checkpoint: a name, for example ``"epoch_1"``. Of several of one name the newest counts.
            end_checkpoint: the name of one logged later.

        Raises:
            BadInput: no checkpoint of this name is in the log, or they are in the other order.
        """
        if self._tracking is not None:
            self._tracking.recorder.settle()
        return provenance.verify(self.log_dir, start_checkpoint, end_checkpoint)

    def write_evidence(self, path: str | os.PathLike[str]) -> None:
        """Writes the evidence file for the regulator: all entries, and the current model card.

        Raises:
            LogDamaged, RecordingFailed: the log does not verify, or the file cannot be written.
        """
        with self._recorder() as recorder:
            recorder.evidence(path)

    def callback(self) -> AuditCallback:
        """A callback for any Hugging Face ``Trainer``, TRL's included."""
        from .callback import AuditCallback

        return AuditCallback(self)

    @contextmanager
    def _recorder(self) -> Iterator[_engine.Recorder]:
        """The log that is being written, or the last one, opened for a moment."""
        self._refuse_others()
        if self._tracking is not None:
            yield self._tracking.recorder
            return
        recorder = self._open(self.log_dir)
        try:
            yield recorder
        finally:
            recorder.close()

    def _refuse_others(self) -> None:
        ranks = _ranks.here() if self._tracking is None else self._tracking.ranks
        if ranks.rank > 0:
            raise Unsupported(
                f"rank {ranks.rank} does not own the log; call this where the rank is 0"
            )

    def _recording(self, directory: Path, ranks: _ranks.Ranks) -> Any:
        """What records in this process: the log, or the one of rank 0."""
        recorder: Any
        if ranks.rank == 0:
            recorder = self._open(directory)
        else:
            from ._attached import Attached

            recorder = Attached(directory, self.model_name, ranks, self._rank_timeout)
        if self.on_record_failure == "continue_with_gap":
            from ._gaps import Forgiving

            return Forgiving(recorder, directory, self._passphrase)
        return recorder

    def _owner(self, recorder: Any, directory: Path, ranks: _ranks.Ranks) -> Any:
        """Opens the log to the other ranks."""
        from ._owner import Owner

        return Owner(recorder, directory, self.model_name, ranks, self._rank_timeout)

    def _open(self, directory: Path) -> _engine.Recorder:
        return _engine.Recorder(
            directory, self.model_name, self.privacy_config._budget(), self._passphrase
        )

    def _tracked(self, call: str) -> Tracking:
        if self._tracking is None:
            raise NotTracking(
                f"{call}() belongs inside `with auditor.track_training(experiment_name=...)`"
            )
        return self._tracking

    def _folder(self, experiment_name: str) -> Path:
        is_name = isinstance(experiment_name, str) and experiment_name.strip() == experiment_name
        if not is_name or not experiment_name.isprintable() or experiment_name in ("", ".", ".."):
            raise BadInput("experiment_name must be one line of text: it names a folder")
        if "/" in experiment_name or "\\" in experiment_name:
            raise BadInput(
                f"experiment_name {experiment_name!r} must not contain slashes: use base_dir for folders"
            )
        return self.base_dir / experiment_name

    def _policy(self, model: Any) -> str:
        if self._tracking is not None and self._tracking.ranks.rank > 0:
            # All ranks have the same weights, and those of rank 0 are the record.
            return "scalars"
        if self._weights is not None:
            return self._weights
        return "lora" if _weights.is_peft(_weights.unwrapped(model)) else "scalars"

    def _details(
        self, hyperparameters: Any, resumed_from: str | None, ranks: _ranks.Ranks
    ) -> dict[str, Any]:
        details: dict[str, Any] = {
            "compliance_mode": self.compliance_mode,
            "libraries": _started.libraries(),
            "python": sys.version.split()[0],
        }
        if hyperparameters is not None:
            details["hyperparameters"] = _started.plain(hyperparameters)
        if resumed_from is not None:
            details["resumed_from"] = resumed_from
        if ranks.are_many:
            details["ranks"] = ranks.world
        return details
