"""Two processes that train one model together (DDP), each with annotators of its own, in one log.

Run it anywhere: torchrun --standalone --nproc-per-node 2 examples/ddp_two_ranks.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from rlhf_audit_trail import AuditableRLHF
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
rank = dist.get_rank()
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "audit")
torch.manual_seed(0)
layers = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
model = DistributedDataParallel(layers)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
torch.manual_seed(rank)

# The same in every rank. Rank 0 owns the log, the others attach to it.
auditor = AuditableRLHF(model_name="reward-by-two", base_dir=folder, weights="full")
with auditor.track_training(experiment_name="ddp", hyperparameters={"lr": 1e-2}):
    auditor.watch(model)
    auditor.checkpoint(epoch=0)
    for epoch in range(1, 4):
        features, ratings = torch.randn(8, 8), torch.randint(1, 6, (8,)).float()
        auditor.log_annotations(
            prompts=[f"question {i}" for i in range(8)],
            responses=[f"answer {i} of epoch {epoch}" for i in range(8)],
            annotator_ids=[f"annotator_{i % 4} of rank {rank}" for i in range(8)],
            rewards=ratings,
        )
        loss = (model(features).squeeze(1) - ratings).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Rank 0's weights are the record; what each rank measured is in it.
        auditor.track_policy_update(model, optimizer, {"loss": loss})
        auditor.checkpoint(epoch=epoch)
        # An update has learned from what was logged before it: nobody goes on before it is.
        dist.barrier()

if rank == 0:
    found = auditor.verify_provenance(start_checkpoint="epoch_0", end_checkpoint="epoch_3")
    print("provenance holds:", found.is_valid, "-", found.chain_verification.reason)
    auditor.write_evidence(folder / "ddp.evidence")
    print("for the regulator:", folder / "ddp.evidence")
dist.destroy_process_group()
