"""A training whose model is in other processes, as of verl or OpenRLHF: the one that drives them has it recorded.

There the driver is Ray's, and its workers hold parts of the model. What is recorded is what the driver sees: what was judged, what
each step measured, and the checkpoints that are saved whole. Here one worker stands for them.

Run it anywhere: python examples/trained_elsewhere.py [FOLDER]
"""

import sys
from multiprocessing import get_context
from pathlib import Path

from rlhf_audit_trail import AuditableRLHF


def worker(connection, folder):
    """Learns to give longer answers, and saves its weights as `save_pretrained` would."""
    import torch
    from safetensors.torch import save_file

    weights = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=0.1)
    for step, rewards in iter(connection.recv, None):
        loss = (weights.sum() - torch.tensor(rewards)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        save_file({"weights": weights.detach()}, folder / f"step_{step}.safetensors")
        connection.send({"actor/loss": loss.item()})


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=worker, args=(there, folder), daemon=True)
    process.start()

    auditor = AuditableRLHF(model_name="trained-elsewhere", base_dir=folder)
    with auditor.track_training(experiment_name="elsewhere"):
        for step in range(1, 4):
            prompts = [f"question {i}" for i in range(8)]
            responses = [f"answer {'very ' * i}long" for i in range(8)]
            rewards = [len(response) / 10 for response in responses]
            auditor.log_judgements("length", prompts, responses, rewards)
            here.send((step, rewards))
            metrics = here.recv()
            auditor.track_policy_update(None, metrics=metrics, step=step)
            auditor.checkpoint(name=f"step_{step}", path=folder / f"step_{step}.safetensors")
    here.send(None)
    process.join()

    found = auditor.verify_provenance(start_checkpoint="step_1", end_checkpoint="step_3")
    print("provenance holds:", found.is_valid, "-", found.chain_verification.reason)
    auditor.write_evidence(folder / "elsewhere.evidence")
    print("for the regulator:", folder / "elsewhere.evidence")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "audit"))
