"""A trainer in several processes, with the audit and without: `torchrun ... ranks_runs.py KIND START FOLDER`.

Each process writes what it saw to a file of its own: whether both runs ended with the same weights, and what its reward
function was asked.
"""

import json
import os
import sys
from pathlib import Path

import rlhf_audit_trail as audit
import torch.distributed as dist
from rlhf_audit_trail import AuditableRLHF

from test_training_trl import dpo, grpo, same, sft, weights


class Rates(audit.AuditCallback):
    """Has somebody of this rank rate something after each step."""

    def on_step_end(self, args, state, control, **kwargs):
        super().on_step_end(args, state, control, **kwargs)
        who, step = f"annotator of rank {dist.get_rank()}", state.global_step
        self.auditor.log_annotations([f"{who}, {step}"], [f"answer {step}"], who, [1.0])


def main(kind, start, folder):
    rank = int(os.environ["RANK"])
    make = {"sft": sft, "dpo": dpo, "grpo": grpo}[kind]
    plain = make(start, folder / "plain")
    plain.train()
    auditor = AuditableRLHF("tiny", base_dir=folder / "audit", weights="full")
    asked = []
    with auditor.track_training("run"):
        if kind == "grpo":

            class Heard(audit.AuditableGRPOTrainer):
                def _calculate_rewards(self, inputs, prompts, completions, *rest):
                    asked.append(len([text for text in completions if text]))
                    return super()._calculate_rewards(inputs, prompts, completions, *rest)

            trainer = make(start, folder / "audited", Heard, auditor=auditor)
        else:
            trainer = make(start, folder / "audited", callbacks=[Rates(auditor)])
        trainer.train()
        processes = trainer.accelerator.num_processes
    told = {
        "same": same(weights(plain.model), weights(trainer.model)),
        "processes": processes,
        "asked": asked,
    }
    (folder / f"rank_{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
