"""PPO by whichever TRL is on the path, with the audit and without: `python ppo_runs.py FOLDER`.

It is a program of its own, because one process can hold one TRL. What it prints last is JSON: whether both runs end with
the same weights, how many steps their optimizers made, and which trainer it was.
"""

import inspect
import json
import sys
from pathlib import Path

import rlhf_audit_trail as audit
import torch
import trl
from datasets import Dataset
from transformers import LlamaForSequenceClassification, set_seed

from tiny import llama, tokenizer

STEPS, EPOCHS, BATCH = 3, 2, 4


def main(folder):
    auditor = audit.AuditableRLHF("tiny", base_dir=folder / "audit", weights="full")
    found = audit.AuditablePPOTrainer
    run = trained if hasattr(found, "train") else stepped
    plain = run(found.__mro__[1], folder / "plain")
    with auditor.track_training("ppo"):
        audited = run(found, folder / "audited", auditor=auditor)
    one, other = plain["weights"], audited.pop("weights")
    print(
        json.dumps(
            {
                "same": one.keys() == other.keys()
                and all(torch.equal(one[name], other[name]) for name in one),
                "optimizer_steps": [plain["optimizer_steps"], audited["optimizer_steps"]],
                "saved": str(audited["saved"]),
                "trl": trl.__version__,
                "trainer": f"{found.__mro__[1].__module__}.{found.__mro__[1].__name__}",
                "log": str(auditor.log_dir),
            }
        )
    )


def trained(trainer_class, folder, **more):
    """TRL 0.12 to 1.12."""
    set_seed(7)
    base = trl_base(trainer_class)
    config = sys.modules[base.__module__].PPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        num_mini_batches=1,
        num_ppo_epochs=EPOCHS,
        total_episodes=STEPS * BATCH,
        response_length=6,
        num_sample_generations=0,
        save_strategy="steps",
        save_steps=STEPS,
        logging_steps=1,
        learning_rate=1e-2,
        bf16=False,
        report_to=[],
        use_cpu=True,
        seed=7,
    )
    models = {"policy": llama(), "ref_policy": llama()}
    taken = inspect.signature(base.__init__).parameters
    words = tokenizer()
    prompts = Dataset.from_dict({"input_ids": [words(f"Say {i}")["input_ids"] for i in range(24)]})
    names = {"policy": "model", "ref_policy": "ref_model", "args": "config"}
    given = {
        "args": config,
        "processing_class": words,
        **models,
        "reward_model": scorer(2),
        "value_model": scorer(3),
        "train_dataset": prompts,
        "eval_dataset": prompts,
    }
    given = {name if name in taken else names[name]: value for name, value in given.items()}
    trainer = trainer_class(**given, **more)
    steps = counted(trainer.optimizer)
    trainer.train()
    return {
        "weights": trainer.model.state_dict(),
        "optimizer_steps": len(steps),
        "saved": folder / f"checkpoint-{STEPS}",
    }


def stepped(trainer_class, folder, **more):
    """TRL up to 0.11."""
    set_seed(7)
    config = trl.PPOConfig(
        batch_size=BATCH,
        mini_batch_size=2,
        gradient_accumulation_steps=2,
        ppo_epochs=EPOCHS,
        learning_rate=1e-2,
        seed=7,
        accelerator_kwargs={"cpu": True},
    )
    model = trl.AutoModelForCausalLMWithValueHead.from_pretrained(llama())
    words = tokenizer()
    if more:
        more["scored_by"] = "length"
    trainer = trainer_class(config=config, model=model, tokenizer=words, **more)
    steps = counted(trainer.optimizer)
    for step in range(STEPS):
        queries = [
            words(f"Say {step + i}", return_tensors="pt")["input_ids"][0] for i in range(BATCH)
        ]
        responses = trainer.generate(
            queries, return_prompt=False, max_new_tokens=6, min_new_tokens=4
        )
        scores = [torch.tensor(float(len(response) % 3)) for response in responses]
        trainer.step(queries, responses, scores)
    trainer.save_pretrained(folder / "saved")
    return {
        "weights": trainer.model.state_dict(),
        "optimizer_steps": len(steps),
        "saved": folder / "saved",
    }


def trl_base(trainer_class):
    """TRL's own class: its constructor names its arguments, and ours passes them on."""
    return next(base for base in trainer_class.__mro__ if base.__module__.startswith("trl."))


def scorer(seed):
    config = llama().config
    config.num_labels = 1
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(config)


def counted(optimizer):
    """Gets longer with each step that the optimizer makes."""
    steps = []
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    return steps


if __name__ == "__main__":
    main(Path(sys.argv[1]))
