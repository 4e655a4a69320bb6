"""Real PPO with older versions of TRL, with and without the audit. Each runs in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rlhf_audit_trail as audit
from rlhf_audit_trail import AuditableRLHF

from ppo_runs import BATCH, EPOCHS, STEPS
from test_package import program, verdict

LAYERS = Path(__file__).parents[2] / ".cache" / "layers"


def on_layer(layer, *arguments):
    """What a program prints last, with this version of TRL."""
    folder = LAYERS / layer
    if not (folder / "installed-from.txt").is_file():
        missing = f"{layer} is not in .cache/layers: `cargo xtask test python` fetches it"
        assert "CI" not in os.environ, missing
        pytest.skip(missing)
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder), "TRL_EXPERIMENTAL_SILENCE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("layer", "version", "trainer"),
    [
        ("trl-1.12", "1.12.0", "trl.experimental.ppo.ppo_trainer.PPOTrainer"),
        ("trl-0.16", "0.16.1", "trl.trainer.ppo_trainer.PPOTrainer"),
        ("trl-0.11", "0.11.4", "trl.trainer.ppo_trainer.PPOTrainer"),
    ],
)
def test_an_audited_ppo_run_ends_with_the_same_weights(tmp_path, layer, version, trainer):
    ran = on_layer(layer, Path(__file__).with_name("ppo_runs.py"), tmp_path)
    assert (ran["trl"], ran["trainer"]) == (version, trainer)
    assert ran["same"]
    optimizer_steps = STEPS * EPOCHS
    assert ran["optimizer_steps"] == [optimizer_steps, optimizer_steps]

    log = Path(ran["log"])
    updates = events(log, "policy.update")
    # Several steps of the optimizer in one of the trainer's, by which all is recorded.
    assert [update["step"] for update in updates] == [
        step for step in range(1, STEPS + 1) for _ in range(EPOCHS)
    ]
    counted = [update["metrics"]["optimizer_step"] for update in updates]
    assert counted == list(range(1, optimizer_steps + 1))
    assert all(update["metrics"]["gradient_norm"] > 0 for update in updates)
    assert all(update["metrics"]["learning_rate"] > 0 for update in updates)
    assert all(update["delta_l2"] > 0 for update in updates)

    checkpoint = events(log, "checkpoint")[-1]
    assert checkpoint["name"] == f"step_{STEPS}"
    assert checkpoint["root"] == f"sha256:{program('digest', ran['saved'])['root']}"
    assert checkpoint["root"] == updates[-1]["root_after"]
    measured = [event["metrics"] for event in events(log, "metric") if "metrics" in event]
    assert sum("objective/kl" in numbers for numbers in measured) == STEPS
    assert sum("objective/entropy" in numbers for numbers in measured) == STEPS
    told = [event for event in events(log, "metric") if "hyperparameters" in event]
    assert told[0]["hyperparameters"]["learning_rate"] == 0.01
    assert events(log, "run.start")[0]["libraries"]["trl"] == version
    judged = [event["judge"] for event in events(log, "annotation")]
    assert judged == (["length"] * STEPS * BATCH if layer == "trl-0.11" else [])
    if judged:
        # Every step of the optimizer learned from all that its step() was given.
        learned = [update["learned_from"]["annotations"] for update in updates]
        assert learned == [BATCH] * optimizer_steps
    assert verdict(log)["verdict"] == "self-consistent"


def events(log, kind):
    return [event["event_data"] for event in json.loads(audit._engine.read_events(log, [kind]))]


def test_a_trl_without_ppo_says_so_on_use_and_not_on_import(tmp_path):
    from rlhf_audit_trail import AuditablePPOTrainer

    with pytest.raises(audit.Unsupported, match=r"TRL 1\.\d+.*GRPO.*RLOO.* 'trl<=1\.12'"):
        AuditablePPOTrainer(auditor=AuditableRLHF("tiny", base_dir=tmp_path))
