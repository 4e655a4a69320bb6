"""Real training with TRL, with and without the audit: the same weights to the bit."""

import pytest
import rlhf_audit_trail as audit
import torch
from datasets import Dataset
from peft import LoraConfig
from rlhf_audit_trail import AuditableRLHF
from transformers import AutoModelForCausalLM, set_seed
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

from test_package import events, program, verdict
from tiny import SENTENCES, llama, saved, tokenizer

STEPS = 3


@pytest.fixture
def auditor(tmp_path):
    return AuditableRLHF(model_name="tiny", base_dir=tmp_path / "audit")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("start"))


def settings(folder):
    return {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "save_steps": STEPS,
        "logging_steps": 1,
        "report_to": [],
        "use_cpu": True,
        "seed": 7,
        "bf16": False,
        "learning_rate": 1e-2,
    }


def pairs():
    prompts = [f"Question {i}: " for i in range(12)]
    return Dataset.from_dict(
        {
            "prompt": prompts,
            "chosen": [SENTENCES[i % 3] for i in range(12)],
            "rejected": [SENTENCES[(i + 1) % 3] for i in range(12)],
        }
    )


def dpo(start, folder, trainer=DPOTrainer, adapter=None, **more):
    set_seed(7)
    model = AutoModelForCausalLM.from_pretrained(start)
    return trainer(
        model=model,
        args=DPOConfig(**settings(folder), max_length=64),
        train_dataset=pairs(),
        processing_class=tokenizer(),
        peft_config=adapter,
        **more,
    )


def grpo(start, folder, **more):
    set_seed(7)
    args = GRPOConfig(
        **settings(folder), num_generations=2, max_completion_length=8, temperature=1.0
    )
    return GRPOTrainer(
        model=str(start),
        reward_funcs=lambda completions, **_: [float(len(text) % 5) for text in completions],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [f"Say {i}" for i in range(12)]}),
        processing_class=tokenizer(),
        **more,
    )


def weights(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("kind", ["dpo", "lora", "grpo"])
def test_an_audited_run_ends_with_the_same_weights(auditor, start, tmp_path, kind):
    adapter = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    make = {
        "dpo": lambda folder, **more: dpo(start, folder, **more),
        "lora": lambda folder, **more: dpo(start, folder, adapter=adapter, **more),
        "grpo": lambda folder, **more: grpo(start, folder, **more),
    }[kind]
    plain = make(tmp_path / "plain")
    plain.train()
    with auditor.track_training(experiment_name=kind):
        audited = make(tmp_path / "audited", callbacks=[auditor.callback()])
        audited.train()
    assert same(weights(plain.model), weights(audited.model))

    final = tmp_path / "audited" / f"checkpoint-{STEPS}"
    assert final.is_dir()
    checkpoints = events(auditor, "checkpoint")
    assert checkpoints[-1]["event_data"]["name"] == f"step_{STEPS}"
    root = f"sha256:{program('digest', final)['root']}"
    assert checkpoints[-1]["event_data"]["root"] == root
    steps = [
        event["event_data"]
        for event in events(auditor, "policy.update", "metric")
        if "learning_rate" in event["event_data"].get("metrics", {})
        and "loss" not in event["event_data"]["metrics"]
    ]
    steps = [step for step in steps if step["metrics"].keys() == {"learning_rate"}]
    assert [step["step"] for step in steps] == list(range(1, STEPS + 1))
    if kind == "lora":
        updates = [event["event_data"] for event in events(auditor, "policy.update")]
        assert len(updates) == STEPS
        assert updates[-1]["root_after"] == root
    told = [
        event["event_data"]["hyperparameters"]
        for event in events(auditor, "metric")
        if "hyperparameters" in event["event_data"]
    ]
    assert told[0]["learning_rate"] == 0.01 and told[0]["seed"] == 7
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_a_ready_class_records_by_itself(auditor, start, tmp_path):
    with auditor.track_training(experiment_name="ready"):
        dpo(start, tmp_path / "out", audit.AuditableDPOTrainer, auditor=auditor).train()
    assert events(auditor, "checkpoint")[-1]["event_data"]["name"] == f"step_{STEPS}"
    with pytest.raises(AttributeError):
        audit.AuditableNoTrainer  # noqa: B018


def test_a_callback_outside_of_a_run_says_so(auditor, start, tmp_path):
    with pytest.raises(audit.NotTracking, match="track_training"):
        dpo(start, tmp_path / "out", callbacks=[auditor.callback()]).train()


def test_training_that_breaks_off_is_on_record(auditor, start, tmp_path):
    class Breaks(audit.AuditCallback):
        def on_step_end(self, args, state, control, **kwargs):
            raise MemoryError("no memory left")

    with pytest.raises(MemoryError), auditor.track_training(experiment_name="broken"):
        dpo(start, tmp_path / "out", callbacks=[Breaks(auditor)]).train()
    assert events(auditor, "run.end")[-1]["event_data"]["outcome"] == "failed: MemoryError"
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_a_record_that_cannot_be_kept_saves_and_stops(auditor, start, tmp_path, monkeypatch):
    def full(*_, **__):
        raise audit.RecordingFailed("the disk is full")

    trainer = dpo(start, tmp_path / "out", callbacks=[auditor.callback()])
    monkeypatch.setattr(auditor, "track_policy_update", full)
    wanted = pytest.raises(audit.RecordingFailed, match="the disk is full")
    with wanted, auditor.track_training(experiment_name="full"):
        trainer.train()
    assert trainer.state.global_step == 1
    assert (tmp_path / "out" / "checkpoint-1").is_dir()


def test_nothing_is_left_of_the_model_for_others_to_see(auditor):
    """The model is only watched: no attribute, no hook of a module."""
    model = llama()
    before = set(vars(model))
    with auditor.track_training("run"):
        auditor.watch(model)
        auditor.track_policy_update(model)
    assert set(vars(model)) == before and not model._forward_hooks
