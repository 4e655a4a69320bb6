"""Training on the device of late_device.py, which stays in this process: `device_runs.py KIND FOLDER`.

Prints the roots on record, and those of the same training without a device or an audit, each saved and digested.
"""

import ctypes
import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import safetensors.torch
import torch
from rlhf_audit_trail import AuditableRLHF

from late_device import Far, late, moved
from test_package import events, program

STEPS = 4


class Net(torch.nn.Module):
    """A tensor of more than a MiB, some of less, a scalar of another type, and one that is not trained."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.wide = torch.nn.Linear(512, 600)
        self.narrow = torch.nn.Linear(600, 8)
        self.scale = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.bfloat16))
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x):
        return self.narrow(self.wide(x)) * self.scale.float()


def train(model, put, update):
    """Steps whose results are the same to the bit wherever the parameters lie."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(STEPS):
        torch.manual_seed(step)
        x = put(torch.randn(4, 512))
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()
        update(model, optimizer)


def root_of(tensors, folder):
    path = folder / "model.safetensors"
    safetensors.torch.save_file(tensors, path)
    return f"sha256:{program('digest', path)['root']}"


def alone(folder, policy):
    """The roots of the same training by the processor alone, after each step."""
    roots = []

    def save(model, _):
        tensors = dict(model.named_parameters()) if policy == "lora" else model.state_dict()
        roots.append(root_of(tensors, folder))

    train(Net(), lambda x: x, save)
    return roots


def audited(folder, policy, crowded_from=STEPS):
    """The roots on record of the training on the device, and of its last weights as a checkpoint."""
    auditor = AuditableRLHF("late", base_dir=folder, weights=policy)
    model = moved(Net(), late.put)
    steps = iter(range(STEPS))

    def update(model, optimizer):
        if next(steps) == crowded_from:
            late.stream = crowded
        # The copy of the step before was asked for, and the training has gone on through the step after it.
        late.copies.set()
        auditor.track_policy_update(model, optimizer)
        if policy == "lora":
            # Nothing is copied from here on: who waits for it waits for ever.
            late.copies.clear()

    with auditor.track_training("run"):
        auditor.watch(model)
        train(model, late.put, update)
        late.copies.set()
        root = auditor.checkpoint(epoch=1, model=model).root
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    return [update["root_after"] for update in updates], f"sha256:{root}"


def crowded(stream):
    """No stream has room for anything."""
    raise RuntimeError("late error: out of memory")


class OnCard(Far):
    """A tensor in the memory of the card that crates/cuda/tests/standin stands in for."""

    DEVICE = "cuda:0"

    @classmethod
    def __torch_dispatch__(cls, operator, types, arguments=(), named=None):
        # Nothing that PyTorch would copy from there is needed.
        assert operator is torch.ops.aten.detach.default, operator
        return super().__torch_dispatch__(operator, types, arguments, named)


def on_card(folder):
    """A checkpoint of weights on a card, but for one, and what they are in a file."""
    driver = ctypes.CDLL("libcuda.so")

    def put(value):
        at = ctypes.c_uint64()
        assert driver.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(value.nbytes)) == 0
        memory = (ctypes.c_uint8 * value.nbytes).from_address(at.value)
        return OnCard(torch.frombuffer(memory, dtype=value.dtype).view(value.shape).copy_(value))

    torch.version.cuda = "13.0"
    torch.cuda.current_stream = lambda device: SimpleNamespace(cuda_stream=0)
    auditor = AuditableRLHF("late", base_dir=folder)
    with auditor.track_training("run"):
        root = auditor.checkpoint(epoch=1, model=moved(Net(), put)).root
    return {"alone": root_of(Net().state_dict(), folder), "logged": f"sha256:{root}"}


def main(kind, folder):
    if kind == "on card":
        return on_card(folder)
    policy, _, how = kind.partition(" ")
    if how == "without streams":
        del type(late).Event
    crowded_from = int(how.removeprefix("crowded from ")) if how.startswith("crowded") else STEPS
    return {"alone": alone(folder, policy), "audited": audited(folder, policy, crowded_from)}


if __name__ == "__main__":
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = main(sys.argv[1], Path(sys.argv[2]))
    print(json.dumps(found | {"told": [str(one.message) for one in told]}))
