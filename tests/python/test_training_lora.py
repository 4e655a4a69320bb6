"""Weights that are described once: what is digested is what they are, wherever they have gone."""

import pytest
import safetensors.torch
import torch
from peft import LoraConfig, get_peft_model
from rlhf_audit_trail import AuditableRLHF
from transformers import LlamaForCausalLM

from test_package import events, program
from tiny import llama


@pytest.fixture
def training(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    return AuditableRLHF("tiny", base_dir=tmp_path, weights="lora"), model, optimizer


def test_trained_weights_that_move_in_memory_are_digested_where_they_are(training, tmp_path):
    auditor, model, _ = training
    weight, roots = model[1].weight, []

    def update(change):
        with torch.no_grad():
            change()
        trained = {n: p.contiguous() for n, p in model.named_parameters() if p.requires_grad}
        safetensors.torch.save_file(trained, tmp_path / "now.safetensors")
        roots.append(program("digest", tmp_path / "now.safetensors")["root"])
        # Without an optimizer, whose next step would wait until they are read, this does.
        auditor.track_policy_update(model)

    with auditor.track_training("run"):
        auditor.watch(model)
        update(lambda: weight.add_(1))
        update(lambda: weight.mul_(2))
        update(lambda: setattr(weight, "data", weight + 3))
        update(lambda: weight.add_(1))
        # Of the same bytes, the other way round; and as a copy each time, because they do not lie in order.
        update(lambda: setattr(weight, "data", weight.data.t()))
        update(lambda: weight.add_(1))
        update(lambda: setattr(weight, "data", weight.data.to(torch.bfloat16).contiguous()))
    logged = [event["event_data"]["root_after"] for event in events(auditor, "policy.update")]
    assert logged == [f"sha256:{root}" for root in roots]
    assert len(set(roots)) == len(roots)


def moved(folder, merge):
    """How far each update of an adapter of the embeddings moved, by the log. They are saved with it, frozen as they are."""
    # Of a size that takes a moment to digest.
    config = llama().config
    config.vocab_size, config.hidden_size = 200_000, 64
    torch.manual_seed(1)
    adapter = LoraConfig(r=2, target_modules=["embed_tokens"])
    model = get_peft_model(LlamaForCausalLM(config), adapter)
    optimizer = torch.optim.SGD([v for v in model.parameters() if v.requires_grad], lr=1.0)
    auditor = AuditableRLHF("tiny", base_dir=folder, weights="full")
    with auditor.track_training("run"):
        auditor.watch(model)
        for _ in range(2):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = torch.ones_like(parameter)
            optimizer.step()
            auditor.track_policy_update(model, optimizer)
            if merge:
                model.merge_adapter()
                model.unmerge_adapter()
    return [event["event_data"]["delta_l2"] for event in events(auditor, "policy.update")]


def test_an_adapter_that_is_merged_between_two_steps_is_recorded_as_it_was(tmp_path):
    """As TRL does when it gives vLLM the weights: it merges the adapter into frozen ones, and takes it out again."""
    plain, merged = moved(tmp_path / "plain", False), moved(tmp_path / "merged", True)
    assert merged == pytest.approx(plain, rel=1e-4)
