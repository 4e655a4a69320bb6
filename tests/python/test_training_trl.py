"""Real training with TRL, with and without the audit: the same weights to the bit."""

import math
import threading
from functools import partial
from types import SimpleNamespace

import pytest
import rlhf_audit_trail as audit
import torch
from datasets import Dataset
from peft import LoraConfig
from rlhf_audit_trail import AuditableRLHF, _saves
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Trainer,
    set_seed,
)
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from test_package import events, program, verdict
from tiny import SENTENCES, llama, tokenizer

STEPS = 3


@pytest.fixture
def auditor(tmp_path):
    return AuditableRLHF(model_name="tiny", base_dir=tmp_path / "audit")


def settings(folder, changed=None):
    given = {
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
    return given | (changed or {})


def pairs():
    prompts = [f"Question {i}: " for i in range(12)]
    return Dataset.from_dict(
        {
            "prompt": prompts,
            "chosen": [SENTENCES[i % 3] for i in range(12)],
            "rejected": [SENTENCES[(i + 1) % 3] for i in range(12)],
        }
    )


def dpo(start, folder, trainer=DPOTrainer, adapter=None, changed=None, **more):
    set_seed(7)
    model = AutoModelForCausalLM.from_pretrained(start)
    return trainer(
        model=model,
        args=DPOConfig(**settings(folder, changed), max_length=64),
        train_dataset=pairs(),
        processing_class=tokenizer(),
        peft_config=adapter,
        **more,
    )


def length(completions, **_):
    """A reward function without an opinion on what is empty."""
    return [float(len(text) % 5) if text else None for text in completions]


def online(start, folder, trainer, config, changed=None, **more):
    set_seed(7)
    args = config(
        **settings(folder, changed),
        num_generations=2,
        max_completion_length=8,
        temperature=1.0,
        beta=0.1,
    )
    return trainer(
        model=str(start),
        reward_funcs=length,
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [f"Say {i}" for i in range(12)]}),
        processing_class=tokenizer(),
        **more,
    )


def grpo(start, folder, trainer=GRPOTrainer, **more):
    return online(start, folder, trainer, GRPOConfig, **more)


def rloo(start, folder, trainer=RLOOTrainer, **more):
    return online(start, folder, trainer, RLOOConfig, **more)


def reward(start, folder, trainer=RewardTrainer, changed=None, **more):
    set_seed(7)
    return trainer(
        model=AutoModelForSequenceClassification.from_pretrained(start, num_labels=1),
        args=RewardConfig(**settings(folder, changed), max_length=64),
        train_dataset=pairs().remove_columns("prompt"),
        processing_class=tokenizer(),
        **more,
    )


def kto(start, folder, trainer=KTOTrainer, changed=None, **more):
    set_seed(7)
    said = pairs().remove_columns("rejected").rename_column("chosen", "completion")
    return trainer(
        model=AutoModelForCausalLM.from_pretrained(start),
        args=KTOConfig(**settings(folder, changed), max_length=64),
        train_dataset=said.add_column("label", [True, False] * 6),
        processing_class=tokenizer(),
        **more,
    )


def sft(start, folder, trainer=SFTTrainer, changed=None, **more):
    set_seed(7)
    return trainer(
        model=AutoModelForCausalLM.from_pretrained(start),
        args=SFTConfig(**settings(folder, changed), max_length=64),
        train_dataset=Dataset.from_dict({"text": SENTENCES * 4}),
        processing_class=tokenizer(),
        **more,
    )


def weights(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("kind", ["dpo", "lora", "grpo", "rloo", "reward", "kto", "sft"])
def test_an_audited_run_ends_with_the_same_weights(auditor, start, tmp_path, kind):
    adapter = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    make = {
        "dpo": partial(dpo, start),
        "lora": partial(dpo, start, adapter=adapter),
        "grpo": partial(grpo, start),
        "rloo": partial(rloo, start),
        "reward": partial(reward, start),
        "kto": partial(kto, start),
        "sft": partial(sft, start),
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
    steps = [step for step in steps if "optimizer_step" in step["metrics"]]
    assert [step["step"] for step in steps] == list(range(1, STEPS + 1))
    assert [step["metrics"]["optimizer_step"] for step in steps] == list(range(1, STEPS + 1))
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


def test_a_ready_class_records_what_reward_functions_answer(auditor, start, tmp_path):
    plain = grpo(start, tmp_path / "plain")
    plain.train()
    answered = []

    class Heard(audit.AuditableGRPOTrainer):
        def _calculate_rewards(self, inputs, prompts, completions, *rest):
            rewards = super()._calculate_rewards(inputs, prompts, completions, *rest)
            answered.extend(zip(prompts, completions, rewards[:, 0].tolist(), strict=True))
            return rewards

    with auditor.track_training(experiment_name="grpo"):
        audited = grpo(start, tmp_path / "audited", Heard, auditor=auditor)
        audited.train()
    assert same(weights(plain.model), weights(audited.model))
    logged = [event["event_data"] for event in events(auditor, "annotation")]
    assert len(logged) == sum(math.isfinite(reward) for _, _, reward in answered) > 0
    assert {event["judge"] for event in logged} == {"length"}
    assert all(event["annotator_id"] is None and event["reward"] is None for event in logged)
    for event in logged:
        texts = {name: value for name, value in event.items() if name.endswith("_hash")}
        assert texts.keys() == {"prompt_hash", "response_hash", "reward_hash"}
        assert all(value.startswith("sha256:") and len(value) == 71 for value in texts.values())
    files = [path for path in auditor.log_dir.rglob("*") if "private" not in path.parts]
    entries = b"".join(path.read_bytes() for path in files if path.is_file())
    assert b"length" in entries and not any(said.encode() in entries for said, *_ in answered)
    claim = auditor.generate_model_card().claim
    assert claim("annotations.by_programs") == len(logged) and claim("annotations.count") == 0

    wanted = {"kl", "entropy", "completions/mean_length", "grad_norm", "learning_rate", "reward"}
    metrics = [event["event_data"] for event in events(auditor, "metric")]
    told = [event["step"] for event in metrics if wanted <= event.get("metrics", {}).keys()]
    assert told == list(range(1, STEPS + 1))


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_skips_is_not_on_record(auditor, fused):
    auditor._weights = "full"
    model = torch.nn.Linear(2, 1)
    # A fused optimizer is called even where a gradient is infinite.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
    scaler, state = torch.amp.GradScaler("cpu", init_scale=2.0), SimpleNamespace(global_step=0)
    with auditor.track_training(experiment_name="skips"):
        callback = auditor.callback()
        callback.on_train_begin({}, state, None, model=model, optimizer=optimizer)
        for factor in (1.0, float("inf"), 1.0):
            optimizer.zero_grad()
            scaler.scale(model(torch.ones(1, 2)).sum() * factor).backward()
            scaler.step(optimizer)
            scaler.update()
            state.global_step += 1
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    assert [update["step"] for update in updates] == [1, 3]
    assert [update["metrics"]["optimizer_step"] for update in updates] == [1, 2]
    assert all(update["delta_l2"] > 0 for update in updates)


def test_a_save_that_ends_later_is_digested_when_it_is_all_there(auditor, start, tmp_path):
    auditor._weights = "full"
    saving = []

    class Late(audit.AuditableSFTTrainer):
        def _save_checkpoint(self, *rest):
            super()._save_checkpoint(*rest)
            file = tmp_path / "out" / f"checkpoint-{self.state.global_step}" / "model.safetensors"
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) // 2])
            saving.append(threading.Timer(0.3, file.write_bytes, [whole]))
            saving[-1].start()

    with auditor.track_training(experiment_name="late"):
        trainer = sft(start, tmp_path / "out", Late, auditor=auditor)
        trainer.args.save_steps = 1
        trainer.train()
    for timer in saving:
        timer.join()
    checkpoints = [event["event_data"] for event in events(auditor, "checkpoint")]
    assert [checkpoint["name"] for checkpoint in checkpoints] == ["step_1", "step_2", "step_3"]
    for step, checkpoint in enumerate(checkpoints, 1):
        root = program("digest", tmp_path / "out" / f"checkpoint-{step}")["root"]
        assert checkpoint["root"] == f"sha256:{root}"
    assert auditor.verify_provenance("step_1", "step_3").is_valid


def test_a_sharded_save_is_whole_when_all_its_shards_are(tmp_path):
    llama().save_pretrained(tmp_path, max_shard_size="50KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1 and _saves.is_whole(tmp_path)
    last = shards[-1].read_bytes()
    shards[-1].write_bytes(last[:-1])
    assert not _saves.is_whole(tmp_path)
    shards[-1].unlink()
    assert not _saves.is_whole(tmp_path)
    assert not _saves.is_whole(tmp_path / "nowhere")


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


def test_reward_functions_that_are_asked_another_way_are_not_left_out_in_silence():
    class Other(Trainer):
        def __init__(self, model, reward_funcs):
            super().__init__(model)

    with pytest.warns(UserWarning, match="reward functions of Other answer is not recorded"):
        audit.auditable(Other)
