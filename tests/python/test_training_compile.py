"""What `torch.compile` makes of a model is recorded as the model that it was made of."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from rlhf_audit_trail import AuditableRLHF

from test_package import events, program, verdict
from test_training_trl import STEPS, dpo, grpo, same, sft, weights
from tiny import llama

# A compiler that leaves the arithmetic to PyTorch: what it gives is the same to the bit.
BACKEND = "eager"
COMPILED = {"torch_compile": True, "torch_compile_backend": BACKEND}
LORA = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")

# What a clock measures.
CLOCKED = ("runtime", "per_second", "step_time", "time/")


def told(auditor, kind):
    """What the log says in events of a type, but for what a clock measures and how the training was started."""
    found = []
    for event in events(auditor, kind):
        data = event["event_data"]
        data.pop("hyperparameters", None)
        metrics = data.get("metrics", {})
        for name in [name for name in metrics if any(word in name for word in CLOCKED)]:
            del metrics[name]
        found.append(data)
    return found


@pytest.fixture
def graphs():
    """How many graphs were compiled, from a clean start."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    return lambda: counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("kind", ["sft", "dpo-lora", "grpo"])
def test_a_trainer_that_compiles_leaves_the_same_record(start, tmp_path, graphs, kind):
    make = {"sft": sft, "dpo-lora": dpo, "grpo": grpo}[kind]
    more = {"adapter": LORA} if kind == "dpo-lora" else {}
    said, trained = {}, {}
    for how in ("plain", "compiled"):
        auditor = AuditableRLHF("tiny", base_dir=tmp_path / how, weights=None if more else "full")
        with auditor.track_training(kind):
            folder = tmp_path / f"{how}-out"
            changed = COMPILED if how == "compiled" else {}
            trainer = make(start, folder, changed=changed, callbacks=[auditor.callback()], **more)
            trainer.train()
        said[how] = {
            name: told(auditor, name) for name in ("policy.update", "checkpoint", "metric")
        }
        trained[how] = weights(trainer.model)
        root = program("digest", folder / f"checkpoint-{STEPS}")["root"]
        assert said[how]["checkpoint"][-1]["root"] == f"sha256:{root}"
        assert said[how]["policy.update"][-1]["root_after"] == f"sha256:{root}"
        assert verdict(auditor.log_dir)["verdict"] == "self-consistent"
        assert (graphs() > 0) == (how == "compiled")
    assert same(trained["plain"], trained["compiled"])
    assert [update["step"] for update in said["plain"]["policy.update"]] == [1, 2, 3]
    assert said["plain"] == said["compiled"]


@pytest.mark.parametrize("make", [llama, lambda: get_peft_model(llama(), LORA)])
@pytest.mark.parametrize(
    "compiled", [torch.compile, lambda model, **how: model.compile(**how) or model]
)
def test_a_plain_loop_with_a_compiled_model_leaves_the_same_record(
    tmp_path, graphs, make, compiled
):
    said = {}
    for how in ("plain", "compiled"):
        torch.manual_seed(0)
        model = make()
        trained = compiled(model, backend=BACKEND) if how == "compiled" else model
        optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-2)
        auditor = AuditableRLHF("tiny", base_dir=tmp_path / how, weights="lora")
        with auditor.track_training("run"):
            auditor.watch(trained)
            for _ in range(3):
                tokens = torch.randint(3, 300, (2, 8))
                loss = trained(input_ids=tokens, labels=tokens).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                auditor.track_policy_update(trained, optimizer, {"loss": loss})
            auditor.checkpoint(epoch=1)
        # As it is saved where it was not compiled.
        model.save_pretrained(tmp_path / "saved")
        root = program("digest", tmp_path / "saved")["root"]
        assert told(auditor, "checkpoint")[-1]["root"] == f"sha256:{root}"
        said[how] = {
            name: told(auditor, name) for name in ("policy.update", "checkpoint", "metric")
        }
    assert graphs() > 0
    assert len(said["plain"]["policy.update"]) == 3
    assert said["plain"] == said["compiled"]
