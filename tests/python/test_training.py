"""Weights in PyTorch's memory, on the record."""

import subprocess
import sys
from pathlib import Path

import pytest
import rlhf_audit_trail as audit
import safetensors.torch
import torch
from peft import LoraConfig, get_peft_model
from rlhf_audit_trail import AuditableRLHF

from test_package import events, program, verdict
from tiny import llama


def lora(model):
    adapter = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return get_peft_model(model, adapter)


def step(model, optimizer, seed=0):
    """One step of training, whatever the model."""
    torch.manual_seed(seed)
    tokens = torch.randint(3, 300, (2, 8))
    loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


@pytest.fixture
def auditor(tmp_path):
    return AuditableRLHF(model_name="tiny", base_dir=tmp_path / "audit")


@pytest.mark.parametrize(
    "make",
    [
        llama,
        lambda: llama(tied=True),
        lambda: llama(dtype=torch.bfloat16),
        lambda: llama(tied=True, dtype=torch.float16),
        lambda: lora(llama()),
        lambda: lora(llama(tied=True, dtype=torch.bfloat16)),
    ],
)
def test_a_checkpoint_in_memory_has_the_root_of_the_saved_folder(auditor, tmp_path, make):
    model = make()
    model.save_pretrained(tmp_path / "saved")
    expected = program("digest", tmp_path / "saved")["root"]
    with auditor.track_training("run"):
        assert auditor.checkpoint(name="memory", model=model).root == expected
        assert auditor.checkpoint(name="saved", path=tmp_path / "saved").root == expected
        if not audit._weights.is_peft(model):
            assert auditor.checkpoint(name="compiled", model=torch.compile(model)).root == expected
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_a_plain_module_with_odd_tensors(auditor, tmp_path):
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Parameter(torch.randn(5, 7).t())
            self.b = torch.nn.Parameter(torch.tensor(2.5, dtype=torch.float64))
            self.register_buffer("seen", torch.arange(4))
            self.register_buffer("none", torch.zeros(0, 3))

    model = Odd()
    assert not model.a.is_contiguous()
    contiguous = {name: value.contiguous() for name, value in model.state_dict().items()}
    safetensors.torch.save_file(contiguous, tmp_path / "model.safetensors")
    with auditor.track_training("run"):
        root = auditor.checkpoint(epoch=1, model=model).root
    assert root == program("digest", tmp_path / "model.safetensors")["root"]


def test_updates_lead_from_one_checkpoint_to_the_next(auditor, tmp_path):
    model = lora(llama())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    roots, moved = [], []
    with auditor.track_training("run"):
        # Before training begins, as for DPO: the first update learned from it.
        auditor.log_annotations(chosen=["better"], rejected=["worse"])
        auditor.watch(model)
        roots.append(auditor.checkpoint(epoch=0, model=model).root)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        for number in range(1, 4):
            auditor.log_annotations(
                ["p"] * number, ["r"] * number, "ann", torch.full((number,), 0.5).bfloat16()
            )
            loss = step(model, optimizer, number)
            auditor.track_policy_update(model, optimizer, {"loss": loss, "text": ["a", "b"]})
            now = {n: p.detach().clone() for n, p in model.named_parameters()}
            moved.append(sum(((now[n] - before[n]).double() ** 2).sum() for n in now).sqrt().item())
            before = now
        roots.append(auditor.checkpoint(epoch=1, metrics={"loss": loss}).root)
    updates = events(auditor, "policy.update")
    assert [update["event_data"]["learned_from"]["annotations"] for update in updates] == [2, 2, 3]
    assert [update["event_data"]["step"] for update in updates] == [1, 2, 3]
    assert [update["event_data"]["delta_l2"] for update in updates] == pytest.approx(moved)
    metrics = updates[-1]["event_data"]["metrics"]
    assert metrics == {"batch_size": 2, "learning_rate": 0.01, "loss": pytest.approx(loss.item())}
    assert {update["event_data"]["weights"] for update in updates} == {"lora"}
    found = auditor.verify_provenance("epoch_0", "epoch_1")
    assert found.is_valid and found.chain_verification.unbroken
    assert found.chain_verification.updates == 3
    assert updates[0]["event_data"]["root_before"] == f"sha256:{roots[0]}"
    assert updates[-1]["event_data"]["root_after"] == f"sha256:{roots[1]}"
    report = verdict(auditor.log_dir)
    assert report["verdict"] == "self-consistent"


def test_weights_that_change_unlogged_break_the_chain(auditor):
    model = llama()
    with auditor.track_training("run"):
        auditor._weights = "full"
        auditor.checkpoint(epoch=0, model=model)
        with torch.no_grad():
            model.model.norm.weight += 1
        auditor.watch(model)
        auditor.track_policy_update(model)
        auditor.checkpoint(epoch=1)
    found = auditor.verify_provenance("epoch_0", "epoch_1")
    assert not found.is_valid and found.chain_verification.unbroken is False
    assert found.report["verdict"] == "self-consistent"


def test_a_checkpoint_that_is_logged_when_training_has_gone_on_begins_where_it_was(tmp_path):
    auditor = AuditableRLHF("tiny", base_dir=tmp_path, weights="full")
    model = torch.nn.Linear(4, 4)

    def update():
        with torch.no_grad():
            model.weight += 1
        auditor.track_policy_update(model)

    with auditor.track_training("run"):
        auditor.watch(model)
        update()
        safetensors.torch.save_file(model.state_dict(), tmp_path / "first.safetensors")
        update()
        auditor.checkpoint(name="first", path=tmp_path / "first.safetensors")
        update()
        auditor.checkpoint(name="last")
    chain = auditor.verify_provenance("first", "last").chain_verification
    assert (chain.unbroken, chain.updates) == (True, 2)
    # Weights that no update has left: they begin where they are logged.
    with auditor.track_training("run"):
        auditor.watch(model)
        update()
        other = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
        safetensors.torch.save_file(other, tmp_path / "other.safetensors")
        auditor.checkpoint(name="other", path=tmp_path / "other.safetensors")
        update()
        auditor.checkpoint(name="end")
    assert auditor.verify_provenance("other", "end").chain_verification.unbroken is False
    assert auditor.verify_provenance("last", "last").chain_verification.updates == 0


def test_the_optimizers_next_step_waits_for_the_digest(tmp_path):
    """Many steps of weights large enough to be digested when the next step is there."""
    auditor = AuditableRLHF("wide", base_dir=tmp_path, weights="full")
    model = torch.nn.Linear(2048, 2048)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    roots = []
    with auditor.track_training("run"):
        auditor.watch(model)
        for _ in range(4):
            model.weight.grad = torch.ones_like(model.weight)
            optimizer.step()
            safetensors.torch.save_file(model.state_dict(), tmp_path / "now.safetensors")
            roots.append(program("digest", tmp_path / "now.safetensors")["root"])
            auditor.track_policy_update(model, optimizer)
    logged = [update["event_data"]["root_after"] for update in events(auditor, "policy.update")]
    assert logged == [f"sha256:{root}" for root in roots]


def test_every_nth_update_is_digested_and_the_others_leave_numbers(tmp_path):
    auditor = AuditableRLHF("tiny", base_dir=tmp_path, weights="every_n", every_n=3)
    model = llama()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with auditor.track_training("run"):
        auditor.watch(model)
        for number in range(7):
            auditor.track_policy_update(model, optimizer, metrics={"loss": step(model, optimizer)})
        auditor.checkpoint(epoch=1)
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    assert [update["step"] for update in updates] == [3, 6]
    numbers = [event["event_data"] for event in events(auditor, "metric")]
    assert [number["step"] for number in numbers] == [0, 1, 2, 4, 5, 7]
    assert updates[0]["root_after"] == updates[1]["root_before"]
    assert {number["weights"] for number in numbers} == {"every_n"}


def test_models_that_cannot_be_recorded_are_refused(auditor):
    with auditor.track_training("run"):
        with pytest.raises(audit.BadInput, match="no parameters"):
            auditor.track_policy_update(torch.nn.ReLU())
        with torch.device("meta"):
            empty = torch.nn.Linear(2, 2)
        with pytest.raises(audit.BadInput, match="meta device"):
            auditor.track_policy_update(empty)
        with pytest.raises(audit.BadInput, match="torch.nn.Module"):
            auditor.track_policy_update("model")


def test_of_a_model_that_is_trained_elsewhere_numbers_are_recorded_and_nothing_else(tmp_path):
    elsewhere = AuditableRLHF("tiny", base_dir=tmp_path)
    with elsewhere.track_training("run"):
        elsewhere.track_policy_update(None, metrics={"actor/kl": 0.5}, step=7)
        elsewhere.track_policy_update(None, metrics={"actor/kl": 0.25})
        with pytest.raises(audit.BadInput, match="which weights"):
            elsewhere.checkpoint(epoch=1)
    numbers = [event["event_data"] for event in events(elsewhere, "metric")]
    assert [(one["step"], one["metrics"], one["weights"]) for one in numbers] == [
        (7, {"actor/kl": 0.5}, "scalars"),
        (8, {"actor/kl": 0.25}, "scalars"),
    ]
    whole = AuditableRLHF("tiny", base_dir=tmp_path, weights="full")
    with whole.track_training("whole"), pytest.raises(audit.BadInput, match="not NoneType"):
        whole.track_policy_update(None)


@pytest.mark.parametrize(
    "name", ["plain_loop", "dpo_lora", "grpo_reward_function", "trained_elsewhere"]
)
def test_an_example_ends_with_evidence_that_verifies(tmp_path, name):
    example = Path(__file__).parents[2] / "examples" / f"{name}.py"
    arguments = [sys.executable, example, tmp_path / "audit"]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert "provenance holds: True" in done.stdout, done.stderr
    (evidence,) = (tmp_path / "audit").glob("*.evidence")
    report = verdict(evidence)
    assert report["verdict"] == "self-consistent"
