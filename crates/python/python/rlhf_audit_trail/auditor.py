"""What people call: one auditor for a model, one log for each experiment."""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import _engine, _inputs, _weights, card, provenance
from .errors import AuditError, BadInput, NotTracking, Unsupported
from .privacy import PrivacyConfig, PrivacyReport

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .callback import AuditCallback

_POLICIES = ("scalars", "lora", "every_n", "full")
_ON_FAILURE = ("save_and_stop", "stop")
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "rlhf_audit_trail")


@dataclass(frozen=True)
class Logged:
    """What a call has logged."""

    first_index: int
    """The entry of the first of them."""
    count: int
    """How many."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was logged."""

    name: str
    """Its name, for example ``epoch_5``."""
    index: int
    """Its entry."""
    root: str
    """The root of its weights, hex: what ``rlhf-audit digest`` gives for the saved folder."""


class AuditableRLHF:
    """Records the training of a model in a tamper-evident log.

    Each experiment is a folder under a base directory: ``base_dir``, else the environment's ``RLHF_AUDIT_DIR``, else
    ``./audit``. In the folder lies the log, which can be shown, and ``private/``, which never leaves the machine.

    Args:
        model_name: the model's name, one line of text.
        privacy_config: what is promised to annotators; without it nothing is noised.
        storage_backend: where the log is kept: ``"local"``, a folder.
        compliance_mode: ``"eu_ai_act"``, ``"nist_draft"`` or ``"both"``: whose provisions the model card names.
        base_dir: the base directory.
        weights: which weights are digested at an update. ``"scalars"``: none, only numbers. ``"lora"``: those that are
            trained, at each update. ``"every_n"``: all, at every ``every_n``-th update. ``"full"``: all, at each update.
            By default ``"lora"`` for a PEFT model, else ``"scalars"``. A copy of what is digested is kept in memory.
        every_n: how many updates lie between two digests, with ``weights="every_n"``.
        on_record_failure: what a trainer does when nothing more can be recorded: ``"save_and_stop"`` has it save a
            checkpoint, stop, and raise when the ``track_training`` block ends; ``"stop"`` raises at once. Calls that
            you make yourself raise at once in either case.
        passphrase: protects the keys in the folder.

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
        self.model_name = model_name
        self.privacy_config = privacy_config or PrivacyConfig()
        self.compliance_mode = compliance_mode
        self.on_record_failure = on_record_failure
        self.base_dir = Path(base_dir or os.environ.get("RLHF_AUDIT_DIR") or "audit")
        self._weights = weights
        self._every_n = every_n
        self._passphrase = passphrase
        self._dir: Path | None = None
        self._tracking: _Tracking | None = None

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
        self, experiment_name: str, hyperparameters: Any = None, resumed_from: str | None = None
    ) -> Iterator[AuditableRLHF]:
        """Opens the experiment's log for a run, and ends the run when the block ends.

        The run's end says how: ``completed``, ``interrupted`` (Ctrl-C), or ``failed: `` and the type of the exception.
        A process that is killed says nothing; the next run in the same log then says that of it.

        Args:
            experiment_name: the folder's name under the base directory. A log that is there goes on.
            hyperparameters: a mapping, or training arguments with ``to_dict``. Public.
            resumed_from: the checkpoint that training starts from, by the name it was logged under.

        Raises:
            BadInput: no folder can have this name; or the log there is about another model or promise.
            LogInUse: another auditor or process writes to it.
            LogDamaged: the folder is incomplete.
            RecordingFailed: the run's end could not be recorded.
            Unsupported: this process is not the first of several that train together.
        """
        if self._tracking is not None:
            raise NotTracking(f"{self._dir} is tracked already; leave that block first")
        _refuse_other_ranks()
        directory = self._folder(experiment_name)
        recorder = self._open(directory)
        self._dir = directory
        tracking = self._tracking = _Tracking(recorder)
        outcome = "completed"
        try:
            recorder.start_run(json.dumps(self._details(hyperparameters, resumed_from)))
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
    ) -> Logged:
        """Logs human feedback. It is durable when this returns: all of it is in the log, or none.

        Texts, ratings, votes and ids do not enter the log: it holds commitments, their content is sealed beside it.

        Args:
            prompts: n strings. Of pairs optional.
            responses: n strings. With them ratings are logged.
            annotator_ids: n strings or whole numbers, or one for all. Of pairs optional.
            rewards: n finite numbers: a list, a NumPy array or a tensor of one dimension.
            chosen: n strings: the better response of each pair. With them preferences are logged.
            rejected: n strings: the other one.

        Raises:
            BadInput: something is missing, not of its type, or not as many as the rest.
            NotTracking: outside ``track_training``.
            RecordingFailed: it could not be recorded.
        """
        tracking = self._tracked("log_annotations")
        pairs = chosen is not None or rejected is not None
        if pairs and (responses is not None or rewards is not None):
            raise BadInput("give responses and rewards, or chosen and rejected, not both")
        if pairs:
            return Logged(
                *tracking.recorder.prefer(*_pairs(prompts, chosen, rejected, annotator_ids))
            )
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
        prompts, responses = (
            _inputs.texts("prompts", prompts),
            _inputs.texts("responses", responses),
        )
        ids = _inputs.ids(annotator_ids, len(prompts))
        rewards = _inputs.numbers("rewards", rewards)
        _inputs.same_length(
            prompts=prompts, responses=responses, annotator_ids=ids, rewards=rewards
        )
        return Logged(*tracking.recorder.rate(prompts, responses, ids, rewards))

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

        Args:
            model: the model, or what ``torch.compile`` or DDP made of it.
            optimizer: its learning rate is logged, and its next step waits for the digest.
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
        """Digests the weights that training starts from, where updates digest any.

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
        """
        tracking = self._tracked("checkpoint")
        if (epoch is None) == (name is None):
            raise BadInput("give the checkpoint an epoch or a name")
        name = f"epoch_{epoch}" if name is None else name
        numbers = _inputs.metrics(metrics)
        if path is not None:
            return self._saved(name, path, numbers)
        model = tracking.last_model() if model is None else model
        if model is None:
            raise BadInput("which weights? Give model=..., or path=... of a saved model")
        described = _weights.described(_weights.saved(_weights.unwrapped(model)))
        index, root = tracking.recorder.checkpoint(name, *described, numbers)
        return Checkpoint(name, index, root)

    def _saved(
        self, name: str, path: str | os.PathLike[str], numbers: dict[str, float]
    ) -> Checkpoint:
        recorder = self._tracked("checkpoint").recorder
        recorder.saved(name, path, numbers)
        recorder.settle()
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
            BadInput: the log has no budget, or there are no ratings.
        """
        return json.loads(self._tracked("release_round").recorder.release_round(round_id))

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

    def get_privacy_report(self) -> PrivacyReport:
        """What was spent of the budget promised to annotators."""
        report = _engine.privacy_report(self.log_dir)
        if report is None:
            return PrivacyReport("minimal", None, None, None, None, 0, None)
        report = json.loads(report)
        return PrivacyReport(
            mode="strong",
            total_epsilon=report["total_epsilon"],
            remaining_budget=report["remaining_budget"],
            delta=report["delta"],
            budget=report["epsilon"],
            rounds=report["rounds"],
            remaining_rounds=report["remaining_rounds"],
        )

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
        if self._tracking is not None:
            yield self._tracking.recorder
            return
        recorder = self._open(self.log_dir)
        try:
            yield recorder
        finally:
            recorder.close()

    def _open(self, directory: Path) -> _engine.Recorder:
        return _engine.Recorder(
            directory, self.model_name, self.privacy_config._budget(), self._passphrase
        )

    def _tracked(self, call: str) -> _Tracking:
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
        if self._weights is not None:
            return self._weights
        return "lora" if _weights.is_peft(_weights.unwrapped(model)) else "scalars"

    def _details(self, hyperparameters: Any, resumed_from: str | None) -> dict[str, Any]:
        details: dict[str, Any] = {
            "compliance_mode": self.compliance_mode,
            "libraries": _libraries(),
            "python": sys.version.split()[0],
        }
        if hyperparameters is not None:
            details["hyperparameters"] = plain(hyperparameters)
        if resumed_from is not None:
            details["resumed_from"] = resumed_from
        return details


class _Tracking:
    """A run that is being recorded."""

    def __init__(self, recorder: _engine.Recorder) -> None:
        self.recorder = recorder
        self.trouble: AuditError | None = None
        self._steps = 0
        self._model: Any = None
        self._trained: tuple[Any, dict[str, Any]] | None = None
        self._waiting: weakref.WeakSet[Any] = weakref.WeakSet()
        self._hooks: list[Any] = []

    def last_model(self) -> Any:
        """The model last seen, if it is still there."""
        return self._model() if self._model is not None else None

    def watch(self, policy: str, model: Any) -> None:
        self._meet(model)
        if policy != "scalars":
            self.recorder.weights(*self._described(policy, model), self._steps, {}, policy)

    def update(
        self,
        policy: str,
        every_n: int | None,
        model: Any,
        optimizer: Any,
        numbers: dict[str, float],
        step: int | None,
    ) -> None:
        self._meet(model)
        self._steps = self._steps + 1 if step is None else step
        if optimizer is not None:
            numbers = _learning_rate(optimizer) | numbers
        if policy == "scalars" or (policy == "every_n" and self._steps % (every_n or 1)):
            self.recorder.numbers(self._steps, numbers, policy)
            return
        self._wait_before_next(optimizer)
        described = self._described(policy, model)
        self.recorder.weights(*described, self._steps, numbers, policy)
        if optimizer is None:
            # Nothing says when the weights change next.
            self.recorder.join()

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Has a public event logged."""
        self.recorder.event(kind, json.dumps(data))

    def started_with(self, hyperparameters: Any, step: int = 0) -> None:
        """Has a trainer's hyperparameters logged."""
        self.event("metric", {"step": step, "hyperparameters": plain(hyperparameters)})

    def hook(self, hook: Any) -> None:
        """Keeps what removes a hook when the run ends."""
        self._hooks.append(hook)

    def end(self, outcome: str) -> None:
        """Ends the run. What goes wrong here must not hide what went wrong before."""
        for hook in self._hooks:
            hook.remove()
        trouble = self.trouble
        for step in (lambda: self.recorder.end_run(outcome), self.recorder.close):
            try:
                step()
            except AuditError as error:
                trouble = trouble or error
        if trouble is None:
            return
        if sys.exc_info()[1] is not None:
            warnings.warn(f"the end of the run could not be recorded: {trouble}", stacklevel=4)
        else:
            raise trouble

    def _meet(self, model: Any) -> None:
        known = self.last_model()
        if known is model:
            return
        if not hasattr(model, "parameters"):
            raise BadInput(f"model must be a torch.nn.Module, not {type(model).__name__}")
        parameters = list(_weights.unwrapped(model).parameters())
        if not parameters:
            raise BadInput("the model has no parameters, so there is nothing to train or record")
        if any(parameter.device.type == "meta" for parameter in parameters):
            raise BadInput(
                "the model's parameters are on the meta device and have no content; load its weights first"
            )
        self._model = weakref.ref(model)
        self._trained = None

    def _described(self, policy: str, model: Any) -> tuple[Any, Any]:
        model = _weights.unwrapped(model)
        if policy != "lora":
            return _weights.described(_weights.saved(model))
        if self._trained is None or self._trained[0]() is not model:
            self._trained = (weakref.ref(model), _weights.trainable(model))
        return _weights.described(self._trained[1])

    def _wait_before_next(self, optimizer: Any) -> None:
        if optimizer is None or optimizer in self._waiting:
            return
        if hasattr(optimizer, "register_step_pre_hook"):
            self._waiting.add(optimizer)
            self.hook(optimizer.register_step_pre_hook(lambda *_: self.recorder.join()))
        else:
            raise BadInput(
                f"optimizer must be a torch.optim.Optimizer, not {type(optimizer).__name__}: its next step has to wait"
            )


def _pairs(prompts: Any, chosen: Any, rejected: Any, annotator_ids: Any) -> tuple[list[Any], ...]:
    if chosen is None or rejected is None:
        raise BadInput("a preference has both chosen and rejected")
    chosen, rejected = _inputs.texts("chosen", chosen), _inputs.texts("rejected", rejected)
    none = [None] * len(chosen)
    prompts = none if prompts is None else _inputs.texts("prompts", prompts)
    ids = none if annotator_ids is None else _inputs.ids(annotator_ids, len(chosen))
    _inputs.same_length(prompts=prompts, chosen=chosen, rejected=rejected, annotator_ids=ids)
    return prompts, chosen, rejected, ids


def _learning_rate(optimizer: Any) -> dict[str, float]:
    groups = getattr(optimizer, "param_groups", None)
    return _inputs.metrics({"learning_rate": groups[0]["lr"]}) if groups else {}


def _refuse_other_ranks() -> None:
    if int(os.environ.get("RANK", "0")) != 0:
        raise Unsupported(
            "this is not the first of the processes that train together, and only that one can record in this "
            "version: call track_training where RANK is 0"
        )


def _libraries() -> dict[str, str]:
    # It takes as long to import as all the rest.
    from importlib import metadata

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plain(hyperparameters: Any) -> dict[str, Any]:
    """Hyperparameters as JSON has them; what has no such form, by its text."""
    if hasattr(hyperparameters, "to_dict"):
        hyperparameters = hyperparameters.to_dict()
    if not isinstance(hyperparameters, Mapping):
        raise BadInput("hyperparameters must be a mapping, or training arguments with to_dict()")
    return json.loads(json.dumps(_finite(dict(hyperparameters)), default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
