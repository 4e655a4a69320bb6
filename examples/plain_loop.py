"""A plain PyTorch loop on the record; the same five lines serve any loop of your own.

Run it anywhere: python examples/plain_loop.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
from rlhf_audit_trail import AuditableRLHF

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "audit")
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

auditor = AuditableRLHF(model_name="reward-by-hand", base_dir=folder, weights="full")
with auditor.track_training(experiment_name="plain", hyperparameters={"lr": 1e-2}):
    auditor.watch(model)
    auditor.checkpoint(epoch=0)
    for epoch in range(1, 4):
        features, ratings = torch.randn(16, 8), torch.randint(1, 6, (16,)).float()
        auditor.log_annotations(
            prompts=[f"question {i}" for i in range(16)],
            responses=[f"answer {i} of epoch {epoch}" for i in range(16)],
            annotator_ids=[f"annotator_{i % 4}" for i in range(16)],
            rewards=ratings,
        )
        loss = (model(features).squeeze(1) - ratings).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        auditor.track_policy_update(model, optimizer, {"loss": loss})
        auditor.checkpoint(epoch=epoch, metrics={"loss": loss})

found = auditor.verify_provenance(start_checkpoint="epoch_0", end_checkpoint="epoch_3")
print("provenance holds:", found.is_valid, "-", found.chain_verification.reason)
auditor.write_evidence(folder / "plain.evidence")
print("for the regulator:", folder / "plain.evidence")
