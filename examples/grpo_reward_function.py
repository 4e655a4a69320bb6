"""GRPO with a reward function by TRL, on the record, with a model small enough for a laptop's processor.

Run it anywhere: python examples/grpo_reward_function.py [FOLDER]
"""

import sys
from pathlib import Path

from datasets import Dataset
from rlhf_audit_trail import AuditableGRPOTrainer, AuditableRLHF
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "audit")
prompts = [f"Name {i} things that are blue: " for i in range(16)]

# A model from its configuration, so that nothing is downloaded. Take yours instead.
bpe = ByteLevelBPETokenizer()
bpe.train_from_iterator(prompts, vocab_size=300, special_tokens=["<p>", "<s>", "</s>"])
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=bpe._tokenizer, pad_token="<p>", bos_token="<s>", eos_token="</s>"
)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
)


def short(completions, **_):
    """The shorter, the better."""
    return [-len(text) / 100 for text in completions]


auditor = AuditableRLHF(model_name="tiny-grpo", base_dir=folder, weights="full")
args = GRPOConfig(
    output_dir=str(folder / "checkpoints"),
    max_steps=4,
    save_steps=2,
    logging_steps=1,
    per_device_train_batch_size=4,
    num_generations=4,
    max_completion_length=12,
    learning_rate=1e-3,
    report_to=[],
    use_cpu=True,
    bf16=False,
)
with auditor.track_training(experiment_name="grpo", hyperparameters=args):
    # What the reward function was given and what it answered is logged as a judgement of a program.
    trainer = AuditableGRPOTrainer(
        model=model,
        reward_funcs=short,
        args=args,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer,
        auditor=auditor,
    )
    trainer.train()

card = auditor.generate_model_card()
print("judgements of the reward function:", card.claim("annotations.by_programs"))
found = auditor.verify_provenance(start_checkpoint="step_2", end_checkpoint="step_4")
print("provenance holds:", found.is_valid, "-", found.chain_verification.reason)
auditor.write_evidence(folder / "grpo.evidence")
print("for the regulator:", folder / "grpo.evidence")
