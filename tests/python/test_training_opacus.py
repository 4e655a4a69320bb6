"""Training with Opacus: what it did to the gradients is on record, and what that costs is what Opacus says it costs."""

import math
import warnings

import pytest
import rlhf_audit_trail as audit
import safetensors.torch
import torch
from opacus import PrivacyEngine
from opacus.optimizers import DPOptimizer
from opacus.schedulers import ExponentialNoise
from opacus.utils.batch_memory_manager import BatchMemoryManager
from rlhf_audit_trail import AuditableRLHF, PrivacyConfig
from torch.utils.data import DataLoader, TensorDataset, default_collate
from transformers import Trainer, TrainerCallback, TrainingArguments

from test_package import events, program, rate, verdict

pytestmark = pytest.mark.filterwarnings("ignore:Secure RNG", "ignore:Full backward hook")

DELTA = 1e-5
NOISE, CLIP = 1.1, 0.5
EXAMPLES, BATCH = 64, 16


class Scorer(torch.nn.Module):
    """A small model that says its own loss, as those of transformers do."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        )

    def forward(self, features, labels, **_):
        loss = (self.layers(features).squeeze(-1) - labels).square().mean()
        return {"loss": loss}


def named(batch):
    """A batch as a trainer takes it."""
    return dict(zip(("features", "labels"), batch, strict=True))


def examples():
    return TensorDataset(torch.randn(EXAMPLES, 6), torch.randn(EXAMPLES))


def made_private(accountant="rdp", **more):
    """A model, its optimizer and its batches, with what counts what they cost."""
    torch.manual_seed(3)
    model = Scorer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    engine = PrivacyEngine(accountant=accountant)
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=DataLoader(examples(), batch_size=BATCH),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        **more,
    )
    return model, optimizer, loader, engine


def train(model, optimizer, loader, after=lambda: None):
    for features, labels in loader:
        model(features, labels)["loss"].backward()
        optimizer.step()
        after()
        optimizer.zero_grad()


def spent(engine, delta=DELTA):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return engine.get_epsilon(delta)


def changed_weights(model, optimizer):
    """Counts how often a step of the optimizer changes the weights."""
    counted = []
    optimizer.original_optimizer.register_step_post_hook(lambda *_: counted.append(1))
    return counted


@pytest.mark.parametrize("accountant", ["rdp", "prv"])
def test_what_opacus_did_is_on_record_and_costs_what_it_says(tmp_path, accountant):
    plain = made_private(accountant)
    for _ in range(3):
        train(*plain[:3])

    model, optimizer, loader, engine = made_private(accountant)
    promise = PrivacyConfig(epsilon=4.0, delta=DELTA, clip_norm=5.0, epsilon_per_round=1.0)
    auditor = AuditableRLHF("tiny", promise, base_dir=tmp_path, weights="full")
    roots = []

    def update():
        safetensors.torch.save_file(model._module.state_dict(), tmp_path / "now.safetensors")
        roots.append(program("digest", tmp_path / "now.safetensors")["root"])
        auditor.track_policy_update(model, optimizer)

    with auditor.track_training("run"):
        rate(auditor)
        auditor.watch(model)
        for epoch in range(3):
            train(model, optimizer, loader, update)
            auditor.checkpoint(epoch=epoch)
            if epoch == 0:
                (now,) = auditor.get_privacy_report().training
                assert now.steps == len(roots)
    for one, other in zip(plain[0].parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)

    # By the names that the model has without Opacus.
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    assert [one["root_after"] for one in updates] == [f"sha256:{root}" for root in roots]
    checkpoint = events(auditor, "checkpoint")[-1]["event_data"]
    assert checkpoint["root"] == f"sha256:{roots[-1]}"

    steps = 3 * len(loader)
    assert len(roots) == steps
    said = [event["event_data"] for event in events(auditor, "metric")]
    said = [data["dp_sgd"] for data in said if "dp_sgd" in data]
    # At each checkpoint; at the end of the run nothing had changed.
    assert [one["phases"][0]["steps"] for one in said] == [steps // 3, 2 * steps // 3, steps]
    assert said[-1] == {
        "mechanism": "sampled-gaussian",
        "unit": "training example",
        "clip": CLIP,
        "secure_noise": False,
        "phases": [{"noise_multiplier": NOISE, "rate": BATCH / EXAMPLES, "steps": steps}],
    }

    report = auditor.get_privacy_report()
    # Nothing of it counts against annotators.
    assert (report.total_epsilon, report.remaining_budget) == (0.0, 4.0)
    (training,) = report.training
    numbers = (training.noise_multiplier, training.rate, training.steps, training.clip)
    assert numbers == (NOISE, BATCH / EXAMPLES, steps, CLIP)
    theirs = spent(engine)
    if accountant == "rdp":
        # Their orders are not ours.
        assert 0.97 * theirs < training.by_accountant["rdp"] <= 1.001 * theirs
    else:
        # Theirs may be too large by 0.01.
        assert theirs - 0.03 <= training.by_accountant["pld"] <= 1.001 * theirs
    assert training.epsilon == training.by_accountant["pld"] < training.by_accountant["rdp"]
    planned = program(
        *("privacy", "--plan", "--noise-multiplier", NOISE, "--rate", BATCH / EXAMPLES),
        *("--steps", steps, "--delta", DELTA),
    )
    assert planned["epsilon"] == training.epsilon
    shown = program("privacy", auditor.log_dir)
    assert shown["training"] == report.report["training"]
    assert shown["training"][0]["kind"] == "asserted"
    assert shown["spent"]["epsilon"] == 0.0
    for words in ("training example", "producer's word", "no annotator's budget"):
        assert words in report.text

    card = auditor.generate_model_card()
    assert card.claim("privacy.promise")["epsilon"] == 4.0
    (claim,) = (one for one in card.claims if one["id"] == f"privacy.examples.{training.entry}")
    assert (claim["kind"], claim["value"]) == ("asserted", said[-1])
    auditor.write_evidence(tmp_path / "run.evidence")
    verified = verdict(tmp_path / "run.evidence")
    assert verified["verdict"] == "self-consistent"
    started = events(auditor, "run.start")[0]["event_data"]
    assert started["libraries"]["opacus"]


def test_a_step_gathered_from_several_batches_is_one_step(tmp_path):
    model, optimizer, loader, engine = made_private()
    auditor = AuditableRLHF("tiny", base_dir=tmp_path, weights="full")
    calls, changed = [], changed_weights(model, optimizer)

    def update():
        calls.append(1)
        auditor.track_policy_update(model, optimizer)

    with auditor.track_training("run"):
        auditor.watch(model)
        with BatchMemoryManager(
            data_loader=loader, max_physical_batch_size=5, optimizer=optimizer
        ) as small:
            train(model, optimizer, small, update)
    assert len(calls) > len(changed) == len(loader)
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    assert [update["step"] for update in updates] == list(range(1, len(changed) + 1))
    assert all(update["delta_l2"] > 0 for update in updates)
    # No checkpoint was made: the end of the run says it.
    (training,) = auditor.get_privacy_report().training
    assert training.steps == len(changed)
    assert 0.97 * spent(engine) < training.by_accountant["rdp"] <= 1.001 * spent(engine)


def test_noise_that_changes_is_told_in_phases_and_in_few(tmp_path):
    model, optimizer, loader, engine = made_private()
    scheduler = ExponentialNoise(optimizer, gamma=0.995)
    auditor = AuditableRLHF("tiny", base_dir=tmp_path)
    with auditor.track_training("run"):
        for epoch in range(8):
            train(
                *(model, optimizer, loader),
                lambda: auditor.track_policy_update(model, optimizer),
            )
            scheduler.step()
            if epoch == 2:
                (first,) = auditor.get_privacy_report().training
                exact = spent(engine)
        for _ in range(18):
            train(
                *(model, optimizer, loader),
                lambda: auditor.track_policy_update(model, optimizer) or scheduler.step(),
            )
    assert [phase["steps"] for phase in first.phases] == [len(loader)] * 3
    noises = [phase["noise_multiplier"] for phase in first.phases]
    assert noises == pytest.approx([NOISE, NOISE * 0.995, NOISE * 0.995**2])
    assert first.noise_multiplier is None and first.rate == BATCH / EXAMPLES
    assert first.epsilon == first.by_accountant["rdp"] and first.by_accountant["pld"] is None
    assert 0.97 * exact < first.epsilon <= 1.001 * exact
    (last,) = auditor.get_privacy_report().training
    assert len(engine.accountant.history) == 8 + 18 * len(loader)
    assert len(last.phases) <= 64
    assert last.steps == 26 * len(loader)
    # An upper bound all the same, and not a wild one.
    assert 0.97 * spent(engine) < last.epsilon < 1.1 * spent(engine)


def test_without_opacuss_accountant_steps_are_counted_and_everybody_is_in_each(tmp_path):
    model, private, loader, _ = made_private()
    optimizer = DPOptimizer(
        private.original_optimizer,
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=BATCH,
    )
    auditor = AuditableRLHF("tiny", base_dir=tmp_path)
    with auditor.track_training("run"):
        train(*(model, optimizer, loader), lambda: auditor.track_policy_update(model, optimizer))
    (training,) = auditor.get_privacy_report().training
    assert (training.steps, training.rate) == (len(loader), None)
    planned = program(
        *("privacy", "--plan", "--noise-multiplier", NOISE, "--steps", len(loader)),
    )
    assert training.epsilon == planned["epsilon"]
    assert math.isclose(training.by_accountant["rdp"], planned["by_accountant"]["rdp"])


def test_without_noise_there_is_no_epsilon(tmp_path):
    model, optimizer, loader, _ = made_private()
    optimizer.noise_multiplier = 0.0
    auditor = AuditableRLHF("tiny", base_dir=tmp_path)
    with auditor.track_training("run"):
        train(*(model, optimizer, loader), lambda: auditor.track_policy_update(model, optimizer))
    report = auditor.get_privacy_report()
    (training,) = report.training
    assert training.steps == len(loader) and training.epsilon is None
    assert "there is no privacy in it" in report.text


class Clears(TrainerCallback):
    """A trainer clears the gradients of its model, and Opacus wants those of each example cleared as well."""

    def on_step_end(self, *_, optimizer, **__):
        optimizer.zero_grad()


@pytest.mark.parametrize("drawn", ["poisson", "other"])
def test_a_trainer_with_opacuss_optimizer_is_on_record(tmp_path, drawn):
    model, optimizer, loader, engine = made_private()
    auditor = AuditableRLHF("tiny", base_dir=tmp_path / "audit", weights="full")
    counted = changed_weights(model, optimizer)
    collate = loader.collate_fn
    loader.collate_fn = lambda rows: named(collate(rows))

    class Draws(Trainer):
        def get_train_dataloader(self):
            # The trainer's own goes over all examples in turn, which Opacus's accountant knows nothing of.
            return super().get_train_dataloader() if drawn == "other" else loader

    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=5,
        save_steps=3,
        per_device_train_batch_size=BATCH,
        report_to=[],
        use_cpu=True,
        remove_unused_columns=False,
        max_grad_norm=0.0,
        label_names=["labels"],
    )
    with auditor.track_training("run"):
        Draws(
            model=model,
            args=arguments,
            train_dataset=examples(),
            data_collator=lambda rows: named(default_collate(rows)),
            optimizers=(optimizer, None),
            callbacks=[auditor.callback(), Clears()],
        ).train()
    assert len(counted) == 5
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    assert [update["step"] for update in updates] == [1, 2, 3, 4, 5]
    said = [event["event_data"] for event in events(auditor, "metric")]
    said = [data["dp_sgd"] for data in said if "dp_sgd" in data]
    assert [one["phases"][0]["steps"] for one in said] == [3, 5]
    assert said[-1]["phases"][0]["rate"] == BATCH / EXAMPLES
    (training,) = auditor.get_privacy_report().training
    assert (training.steps, training.drawn) == (5, drawn)
    if drawn == "poisson":
        assert 0.97 * spent(engine) < training.by_accountant["rdp"] <= 1.001 * spent(engine)
    else:
        planned = program("privacy", "--plan", "--noise-multiplier", NOISE, "--steps", 5)
        assert training.epsilon == planned["epsilon"] > 2 * spent(engine)
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_what_is_said_of_training_and_cannot_be_read_costs_nothing_and_breaks_nothing(tmp_path):
    auditor = AuditableRLHF("tiny", base_dir=tmp_path)
    with auditor.track_training("run"):
        for said in ({}, {"phases": 7}, {"phases": [{"noise_multiplier": "much", "steps": -1}]}):
            auditor._tracking.event("metric", {"dp_sgd": said})
    report = auditor.get_privacy_report()
    (training,) = report.training
    assert (training.steps, training.epsilon) == (None, None)
    assert isinstance(training, audit.TrainingPrivacy)
