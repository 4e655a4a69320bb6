"""What updates learned from, where a trainer goes over the same judgements in several of them."""

import itertools
import math

import pytest
import rlhf_audit_trail as audit
import torch
from rlhf_audit_trail import AuditableRLHF

from test_package import events, rate, verdict
from test_training_trl import grpo, rloo, same, weights

STEPS = 4


def heard(trainer_class):
    """A trainer that notes by itself what it is doing: which generations each of its updates is made with."""

    class Heard(trainer_class):
        def __init__(self, *args, **kwargs):
            self.judged, self.used, self.made = [], set(), []
            super().__init__(*args, **kwargs)
            self.add_callback(self.Ends(self))

        class Ends(audit.AuditCallback.__mro__[1]):
            def __init__(self, trainer):
                self.trainer = trainer

            def on_step_end(self, *_, **__):
                self.trainer.made.append(self.trainer.used)
                self.trainer.used = set()

        def _calculate_rewards(self, *args):
            rewards = super()._calculate_rewards(*args)
            self.judged.append(sum(map(math.isfinite, rewards.flatten().tolist())))
            return rewards

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            self.used.add(len(self.judged) - 1)
            return loss

    return Heard


# The same weights without the audit, in one of the cases.
COMPARED = (grpo, 2, 2, 2)


@pytest.mark.parametrize(
    ("make", "num_iterations", "steps_per_generation", "accumulated", "expected"),
    [
        # Each generation is gone over once, in one update.
        (grpo, 1, 2, 2, [{0}, {1}, {2}, {3}]),
        # Twice, in two.
        (grpo, 2, 2, 2, [{0}, {0}, {1}, {1}]),
        # Each update takes a half of it.
        (rloo, 1, 4, 2, [{0}, {0}, {1}, {1}]),
        # An update takes the end of one and the beginning of the next, or of several.
        (grpo, 3, 1, 2, [{0}, {0, 1}, {1}, {2}]),
        (rloo, 2, 1, 3, [{0, 1}, {1, 2}, {3, 4}, {4, 5}]),
    ],
)
def test_updates_name_the_judgements_that_they_were_made_with(
    start, tmp_path, make, num_iterations, steps_per_generation, accumulated, expected
):
    auditor = AuditableRLHF("tiny", base_dir=tmp_path / "audit", weights="full")
    changed = {
        "max_steps": STEPS,
        "save_steps": STEPS,
        "num_iterations": num_iterations,
        "steps_per_generation": steps_per_generation,
        "gradient_accumulation_steps": accumulated,
    }
    ready = audit.AuditableGRPOTrainer if make is grpo else audit.AuditableRLOOTrainer
    with auditor.track_training("run"):
        trainer = make(start, tmp_path / "audited", heard(ready), changed=changed, auditor=auditor)
        trainer.train()
    if COMPARED == (make, num_iterations, steps_per_generation, accumulated):
        plain = make(start, tmp_path / "plain", changed=changed)
        plain.train()
        assert same(weights(plain.model), weights(trainer.model))
    assert trainer.made == expected
    entries = iter([event["index"] for event in events(auditor, "annotation")])
    judged = [set(itertools.islice(entries, many)) for many in trainer.judged]
    assert next(entries, None) is None and all(judged)
    logged = {entry for one in judged for entry in one}
    updates = [event["event_data"]["learned_from"] for event in events(auditor, "policy.update")]
    assert len(updates) == STEPS
    for said, generations in zip(updates, expected, strict=True):
        among = {entry for entry in logged if said["first"] <= entry < said["end"]}
        assert among == set().union(*(judged[one] for one in generations))
        assert said["annotations"] == len(among)
    # It counts again.
    report = verdict(auditor.log_dir)
    assert report["verdict"] == "self-consistent"
    (counted,) = (check for check in report["checks"] if check["name"] == "updates")
    assert counted["result"] == "pass"


def test_what_people_said_before_a_batch_counts_with_it(tmp_path):
    auditor = AuditableRLHF("tiny", base_dir=tmp_path, weights="full")
    model = torch.nn.Linear(2, 2)
    with auditor.track_training("run") as tracked:
        tracking = tracked._tracking
        auditor.watch(model)
        rate(auditor, count=5)
        tracking.begin_batch()
        rate(auditor, count=1)
        for _ in range(2):
            tracking.use_batch()
            auditor.track_policy_update(model)
        rate(auditor, count=3)
        # Not gone over again.
        auditor.track_policy_update(model)
    said = [event["event_data"]["learned_from"] for event in events(auditor, "policy.update")]
    assert [one["annotations"] for one in said] == [6, 6, 3]
    assert said[0] == said[1]
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"
