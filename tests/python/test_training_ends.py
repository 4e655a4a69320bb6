"""How a run ends, in the middle of training: what the log says of it, and that the next one takes it up again."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from rlhf_audit_trail import AuditableRLHF

from test_package import events, verdict

TRAINING = """
import os, resource, signal, sys
import torch
from rlhf_audit_trail import AuditableRLHF
folder, how = sys.argv[1:]
# Tests that run in the background inherit that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.manual_seed(0)
model = torch.nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
auditor = AuditableRLHF("tiny", base_dir=folder, weights="full")

def step():
    auditor.log_annotations(["p"] * 4, ["r"] * 4, "ann", [1.0] * 4)
    loss = model(torch.randn(8, 64)).square().mean()
    loss.backward()
    optimizer.step()
    auditor.track_policy_update(model, optimizer, {"loss": loss})

def fill_memory():
    with open("/proc/self/statm") as pages:
        now = int(pages.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + (256 << 20), -1))
    hoard = []
    while True:
        hoard.append(bytearray(1 << 20))

with auditor.track_training("run"):
    auditor.watch(model)
    for number in range(5):
        step()
        if number == 2:
            torch.save(model.state_dict(), folder + "/epoch_1.pt")
            auditor.checkpoint(epoch=1)
    print("training", flush=True)
    if how == "exception":
        raise RuntimeError("a secret")
    if how == "memory":
        fill_memory()
    while True:
        step()
"""
UNKNOWN = "unknown: the process ended without saying how"


@pytest.mark.parametrize(
    ("how", "sent", "outcomes"),
    [
        ("exception", None, {"failed: RuntimeError"}),
        ("interrupt", signal.SIGINT, {"interrupted"}),
        ("kill", signal.SIGKILL, {UNKNOWN}),
        # What little memory is left may be too little for the end of the run.
        ("memory", None, {"failed: MemoryError", UNKNOWN}),
    ],
)
def test_a_run_that_ends_in_the_middle_is_taken_up_again(tmp_path, how, sent, outcomes):
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING, tmp_path, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert training.stdout.readline() == "training\n", training.communicate()
    if sent is not None:
        training.send_signal(sent)
    _, errors = training.communicate(timeout=60)
    assert training.returncode not in (0, None), errors
    assert verdict(tmp_path / "run")["verdict"] == "self-consistent"

    auditor = AuditableRLHF("tiny", base_dir=tmp_path, weights="full")
    model = torch.nn.Linear(64, 64)
    model.load_state_dict(torch.load(tmp_path / "epoch_1.pt"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with auditor.track_training("run", resumed_from="epoch_1"):
        auditor.watch(model)
        for number in range(2):
            model(torch.randn(8, 64)).square().mean().backward()
            optimizer.step()
            auditor.track_policy_update(model, optimizer, step=4 + number)
        auditor.checkpoint(epoch=2)
    ends = [event["event_data"]["outcome"] for event in events(auditor, "run.end")]
    assert ends[0] in outcomes and ends[1:] == ["completed"]
    assert "a secret" not in str(events(auditor))
    # Annotations were durable when they returned; updates may have waited when the process was killed.
    assert len(events(auditor, "annotation")) >= 20
    found = auditor.verify_provenance("epoch_1", "epoch_2")
    assert found.is_valid and found.chain_verification.unbroken
    # What was trained after the checkpoint and not gone on with is not on the way.
    assert found.chain_verification.updates == 2


def test_what_says_that_it_resumes_and_starts_elsewhere_breaks_the_chain(tmp_path):
    auditor = AuditableRLHF("tiny", base_dir=tmp_path, weights="full")
    model = torch.nn.Linear(4, 4)
    with auditor.track_training("run"):
        auditor.checkpoint(epoch=1, model=model)
    with torch.no_grad():
        model.weight += 1
    with auditor.track_training("run", resumed_from="epoch_1"):
        auditor.watch(model)
        auditor.track_policy_update(model)
        auditor.checkpoint(epoch=2)
    assert auditor.verify_provenance("epoch_1", "epoch_2").chain_verification.unbroken is False
