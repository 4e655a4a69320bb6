"""DPO with LoRA by TRL, on the record, with a model small enough for a laptop's processor.

Run it anywhere: python examples/dpo_lora.py [FOLDER]
"""

import sys
from pathlib import Path

from datasets import Dataset
from peft import LoraConfig
from rlhf_audit_trail import AuditableRLHF
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "audit")
prompts = [f"Why is question {i} hard? " for i in range(16)]
chosen = ["Because it asks two things at once; here is each in turn."] * 16
rejected = ["It is not."] * 16

# A model from its configuration, so that nothing is downloaded. Take yours instead.
bpe = ByteLevelBPETokenizer()
bpe.train_from_iterator(chosen + rejected + prompts, vocab_size=300, special_tokens=["<p>", "</s>"])
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=bpe._tokenizer, pad_token="<p>", eos_token="</s>"
)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=0,
        eos_token_id=1,
    )
)

auditor = AuditableRLHF(model_name="tiny-dpo", base_dir=folder)
with auditor.track_training(experiment_name="dpo"):
    auditor.log_annotations(prompts=prompts, chosen=chosen, rejected=rejected, annotator_ids="ann")
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(folder / "checkpoints"),
            max_steps=4,
            save_steps=2,
            logging_steps=1,
            per_device_train_batch_size=4,
            max_length=64,
            report_to=[],
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=Dataset.from_dict(
            {"prompt": prompts, "chosen": chosen, "rejected": rejected}
        ),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
        callbacks=[auditor.callback()],
    )
    trainer.train()

found = auditor.verify_provenance(start_checkpoint="step_2", end_checkpoint="step_4")
print("provenance holds:", found.is_valid, "-", found.chain_verification.reason)
auditor.write_evidence(folder / "dpo.evidence")
print("for the regulator:", folder / "dpo.evidence")
