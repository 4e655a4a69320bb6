"""Training by several processes, under torchrun."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import rlhf_audit_trail as audit
import torch
from rlhf_audit_trail import AuditableRLHF

from test_package import events, program, verdict
from test_training_trl import STEPS

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def test_two_ranks_under_torchrun_are_in_one_log_and_their_evidence_verifies(tmp_path):
    example = Path(__file__).parents[2] / "examples" / "ddp_two_ranks.py"
    done = subprocess.run(
        [sys.executable, *TORCHRUN, example, tmp_path],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "provenance holds: True - 3 updates" in done.stdout
    assert verdict(tmp_path / "ddp.evidence")["verdict"] == "self-consistent"
    auditor = AuditableRLHF("reward-by-two", base_dir=tmp_path)
    auditor._dir = tmp_path / "ddp"
    # Four annotators of each rank, each twice in each of three epochs.
    people = Counter(e["event_data"]["annotator_id"] for e in events(auditor, "annotation"))
    assert sorted(people.values()) == [6] * 8
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    # Every update learned from what either rank had logged before it.
    assert [update["learned_from"]["annotations"] for update in updates] == [16, 16, 16]
    numbers = [e["event_data"] for e in events(auditor, "metric") if "rank" in e["event_data"]]
    assert [(number["rank"], number["step"]) for number in numbers] == [(1, 1), (1, 2), (1, 3)]
    losses = [(u["metrics"]["loss"], n["metrics"]["loss"]) for u, n in zip(updates, numbers)]
    assert all(ours != theirs for ours, theirs in losses)
    (end,) = events(auditor, "run.end")
    assert end["event_data"]["outcome"] == "completed"


@pytest.mark.parametrize("kind", ["sft", "dpo", "grpo"])
def test_a_trainer_in_two_ranks_leaves_one_record(start, tmp_path, kind):
    done = subprocess.run(
        [
            sys.executable,
            *TORCHRUN,
            Path(__file__).with_name("ranks_runs.py"),
            kind,
            start,
            tmp_path,
        ],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads((tmp_path / f"rank_{rank}.json").read_text()) for rank in range(2)]
    assert all(one["same"] and one["processes"] == 2 for one in told)
    auditor = AuditableRLHF("tiny", base_dir=tmp_path / "audit")
    auditor._dir = tmp_path / "audit" / "run"

    (checkpoint,) = (event["event_data"] for event in events(auditor, "checkpoint"))
    assert checkpoint["name"] == f"step_{STEPS}"
    saved = program("digest", tmp_path / "audited" / f"checkpoint-{STEPS}")["root"]
    assert checkpoint["root"] == f"sha256:{saved}"
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    assert updates[-1]["root_after"] == checkpoint["root"]
    # One of each step, though both ranks make it.
    assert [update["step"] for update in updates] == list(range(1, STEPS + 1))
    numbers = [event["event_data"] for event in events(auditor, "metric")]
    assert sum("hyperparameters" in number for number in numbers) == 1
    for rank in (None, 1):
        steps = [
            number["step"]
            for number in numbers
            if number.get("rank") == rank and "loss" in number.get("metrics", {})
        ]
        assert steps == list(range(1, STEPS + 1))

    learned = [update["learned_from"]["annotations"] for update in updates]
    annotations = events(auditor, "annotation")
    if kind == "grpo":
        asked = [sum(ranks) for ranks in zip(*(one["asked"] for one in told), strict=True)]
        assert len(asked) == STEPS and all(all(one["asked"]) for one in told)
        # Each update learned from what the reward function said in either rank.
        assert learned == asked
        assert len(annotations) == sum(asked)
    else:
        people = Counter(event["event_data"]["annotator_id"] for event in annotations)
        assert sorted(people.values()) == [STEPS, STEPS]
    (start_event,), (end,) = events(auditor, "run.start"), events(auditor, "run.end")
    assert start_event["event_data"]["ranks"] == 2
    assert end["event_data"]["outcome"] == "completed"
    assert not events(auditor, "incident")
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


SHARDED = """
import sys, torch, torch.distributed as dist
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from rlhf_audit_trail import AuditableRLHF, Unsupported
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=0, world_size=1)
second = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
fully_shard(second[1])
inner = torch.nn.Sequential(FullyShardedDataParallel(torch.nn.Linear(4, 4), device_id=torch.device("cpu")))
first = FullyShardedDataParallel(torch.nn.Linear(4, 4), device_id=torch.device("cpu"))
for number, model in enumerate([second, inner, first]):
    auditor = AuditableRLHF("tiny", base_dir=sys.argv[1], weights="full")
    with auditor.track_training("run"):
        for call in (
            lambda: auditor.checkpoint(epoch=1, model=model),
            lambda: auditor.watch(model),
            lambda: auditor.track_policy_update(model),
        ):
            try:
                call()
            except Unsupported as error:
                assert "digests of sharded weights are not there yet" in str(error)
                print("refused", end=" ")
        auditor._weights = "scalars"
        auditor.track_policy_update(model, metrics={"loss": 1.0})
"""


def test_sharded_models_are_refused_instead_of_given_a_wrong_root(tmp_path):
    arguments = [sys.executable, "-c", SHARDED, tmp_path / "audit", tmp_path / "meeting"]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["refused"] * 9, done.stderr
    auditor = AuditableRLHF("tiny", base_dir=tmp_path / "audit")
    auditor._dir = tmp_path / "audit" / "run"
    assert [e["event_type"] for e in events(auditor)] == ["run.start", "metric", "run.end"] * 3


def test_parameters_that_zero_has_taken_apart_are_refused(tmp_path):
    """DeepSpeed marks its parameters, which are empty here; a state dictionary shows nothing of it."""
    model = torch.nn.Linear(4, 4)
    model.weight.ds_id = 7
    model.weight.data = torch.empty(0)
    auditor = AuditableRLHF("tiny", base_dir=tmp_path, weights="full")
    with auditor.track_training("run"), pytest.raises(audit.Unsupported, match="sharded"):
        auditor.checkpoint(epoch=1, model=model)
