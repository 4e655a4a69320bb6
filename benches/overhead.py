"""What the audit costs the training that it records: python benches/overhead.py

Every figure with the audit stands beside the same work without it, done in turn in the same run. Without PyTorch the
parts that need it are left out. Figures are printed as Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

PARTS = ("import", "annotations", "updates", "checkpoints", "memory")
ITEMS = 64

# What others state of themselves: per annotation, per policy update, per checkpoint, memory.
STATED = "+2.3 ms per annotation, +2.1% per policy update, +16.7% per checkpoint, +3.7% memory"


def timed(work: Callable[..., object], *given: object, **named: object) -> float:
    """Seconds that it took."""
    start = time.perf_counter()
    work(*given, **named)
    return time.perf_counter() - start


def mean(seconds: list[float], unit: float = 1e3) -> str:
    """Mean and its 95% interval, then the median."""
    values = [value * unit for value in seconds]
    middle = statistics.fmean(values)
    reach = (
        1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    )
    return f"{middle:.3f} ± {reach:.3f} (median {statistics.median(values):.3f})"


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


class Disk:
    """One fdatasync in a folder, after as many bytes as a call writes."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        self.bytes = os.urandom(size)

    def sync(self) -> None:
        os.write(self.file, self.bytes)
        os.fdatasync(self.file)


def importing(_: argparse.Namespace) -> None:
    script = (
        "import sys, time; a = time.perf_counter(); c = time.process_time(); import rlhf_audit_trail; "
        "print(time.perf_counter() - a, time.process_time() - c, 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        for _ in range(21)
    ]
    told = [run.stdout.split() for run in runs]
    # The first one may compile the package's files.
    wall, processor = ([float(one[at]) for one in told[1:]] for at in (0, 1))
    assert all(one[2] == "False" for one in told)
    rows = [[mean(wall), mean(processor), "50", "no"]]
    table(
        "Import, ms",
        ["wall clock", "processor", "at most", "brings torch or transformers"],
        rows,
    )


def annotations(args: argparse.Namespace) -> None:
    from rlhf_audit_trail import AuditableRLHF

    rows = []
    for items in (1, ITEMS):
        auditor = AuditableRLHF("bench", base_dir=args.folder / f"annotations-{items}")
        given = {
            "prompts": [f"What would you say to person {i}?" * 4 for i in range(items)],
            "responses": [
                f"I would say this, that and number {i}." * 8 for i in range(items)
            ],
            "annotator_ids": [f"annotator_{i % 16}" for i in range(items)],
            "rewards": [float(i % 5) for i in range(items)],
        }
        calls, processor, syncs = [], [], []
        with auditor.track_training("run"):
            disk = Disk(auditor.log_dir, 800 * items)
            for call in range(args.calls + 10):
                sync = timed(disk.sync)
                before = time.thread_time()
                took = timed(auditor.log_annotations, **given)
                busy = time.thread_time() - before
                # Training works in between.
                time.sleep(args.pause)
                if call >= 10:
                    calls.append(took)
                    processor.append(busy)
                    syncs.append(sync)
        ratio = statistics.median(calls) / statistics.median(syncs)
        rows.append(
            [
                str(items),
                mean(calls),
                mean(syncs),
                f"{ratio:.2f} ×",
                mean(processor),
                mean([one / items for one in calls], 1e6),
                mean([one / items for one in processor], 1e6),
            ]
        )
    columns = [
        "items a call",
        "call, ms",
        "one raw fdatasync, ms",
        "call / fdatasync",
        "processor time of the call, ms",
        "an item, µs",
        "its processor time, µs",
    ]
    table(f"Annotations made durable, {args.calls} calls", columns, rows)


class Steps:
    """The same training twice, with the audit and without it, a step of each in turn."""

    def __init__(
        self, folder: Path, width: int, policy: str, with_audit: bool = True
    ) -> None:
        import torch

        self.torch, self.width = torch, width
        if with_audit:
            from rlhf_audit_trail import AuditableRLHF

            every = 10 if policy == "every_n" else None
            self.auditor = AuditableRLHF(
                "bench", base_dir=folder, weights=policy, every_n=every
            )
        self.plain, self.audited = (self._training(policy) for _ in range(2))
        self.count = sum(p.numel() for p in self.audited[0].parameters())
        self.trained = sum(
            p.numel() for p in self.audited[0].parameters() if p.requires_grad
        )
        self._began = self._waited = 0.0

    def _training(self, policy: str) -> tuple:
        torch, width = self.torch, self.width
        torch.manual_seed(0)
        layers = [torch.nn.Linear(width, width) for _ in range(4)]
        model = torch.nn.Sequential(*layers)
        if policy == "lora":
            model.requires_grad_(False)
            # Adapters of rank 8 before and after each layer: as many tensors as 32 attention blocks have.
            for at in range(32):
                down, up = (
                    torch.nn.Linear(width, 8, False),
                    torch.nn.Linear(8, width, False),
                )
                model.add_module(f"adapter_{at}", torch.nn.Sequential(down, up))
        optimizer = torch.optim.AdamW(
            [p for p in model.parameters() if p.requires_grad], lr=1e-4
        )
        return model, optimizer, torch.randn(32, width)

    def _step(self, training: tuple) -> object:
        model, optimizer, batch = training
        loss = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    def run(self, steps: int) -> tuple[list[float], list[float], list[float]]:
        """Of each step: seconds without the audit, with it, and of the latter those that it was waited for."""
        model, optimizer, _ = self.audited
        without, whole, blocked = [], [], []
        optimizer.register_step_pre_hook(lambda *_: self._mark_begin())
        with self.auditor.track_training("run"):
            self.auditor.watch(model)
            self.auditor.track_policy_update(
                model, optimizer, {"loss": self._step(self.audited)}
            )
            # Hooks run in the order in which they were registered: the audit's is between these two.
            optimizer.register_step_pre_hook(lambda *_: self._mark_end())
            for number in range(steps + 10):
                plain = timed(self._step, self.plain)
                start = time.perf_counter()
                loss = self._step(self.audited)
                call = time.perf_counter()
                self.auditor.track_policy_update(model, optimizer, {"loss": loss})
                end = time.perf_counter()
                if number >= 10:
                    without.append(plain)
                    whole.append(end - start)
                    blocked.append(end - call + self._waited)
        return without, whole, blocked

    def _mark_begin(self) -> None:
        self._began = time.perf_counter()

    def _mark_end(self) -> None:
        self._waited = time.perf_counter() - self._began


def updates(args: argparse.Namespace) -> None:
    rows = []
    for policy in ("scalars", "lora", "every_n", "full"):
        for width in args.widths:
            steps = Steps(args.folder / f"updates-{policy}-{width}", width, policy)
            without, whole, blocked = steps.run(args.steps)
            more = statistics.median(whole) / statistics.median(without) - 1
            share = statistics.fmean(blocked) / statistics.fmean(without)
            rows.append(
                [
                    policy + (" (n = 10)" if policy == "every_n" else ""),
                    f"{steps.count / 1e6:.2f} M ({steps.trained / 1e6:.2f} M trained)",
                    mean(blocked),
                    mean(without),
                    f"{share:.2%}",
                    f"{more:+.2%}",
                ]
            )
    columns = [
        "weights",
        "parameters",
        "blocking time an update, ms",
        "step without the audit, ms",
        "blocking / step",
        "step with / without, medians",
    ]
    table(f"Policy updates, {args.steps} steps each way", columns, rows)


def checkpoints(args: argparse.Namespace) -> None:
    import torch
    from rlhf_audit_trail import AuditableRLHF
    from safetensors.torch import save_file

    def save(weights: dict, path: Path) -> None:
        save_file(weights, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())

    rows = []
    for width in args.widths:
        model = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(4)))
        auditor = AuditableRLHF("bench", base_dir=args.folder / f"checkpoints-{width}")
        saves, beside, calls = [], [], []
        with auditor.track_training("run"):
            recorder = auditor._tracked("bench").recorder
            for number in range(args.saves):
                folder = args.folder / f"saved-{width}" / str(number)
                folder.mkdir(parents=True)
                path = folder / "model.safetensors"

                saves.append(timed(save, model.state_dict(), path))
                # What the callback for trainers does when a checkpoint is saved.
                beside.append(timed(recorder.saved, f"step_{number}", folder, {}))
                # Training works in between.
                time.sleep(max(args.pause, 2 * saves[-1]))
                calls.append(timed(auditor.checkpoint, epoch=number, model=model))
        whole = statistics.fmean(saves)
        size = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**20
        rows.append(
            [
                f"{size:.1f} MiB",
                mean(saves),
                mean(beside),
                f"{statistics.fmean(beside) / whole:.2%}",
                mean(calls),
                f"{statistics.fmean(calls) / whole:.0%}",
            ]
        )
    columns = [
        "weights",
        "save and fsync, ms",
        "blocking time with the callback, ms",
        "of the save",
        "`auditor.checkpoint(model=…)`, which returns the root, ms",
        "of the save",
    ]
    table(f"Checkpoints, {args.saves} saves", columns, rows)


def one_training(policy: str, with_audit: bool, folder: Path, width: int) -> None:
    """A training in a process of its own, which prints its anonymous memory."""
    import torch

    torch.set_num_threads(1)
    steps = Steps(folder, width, policy, with_audit)
    texts = [f"text {i}" * 40 for i in range(ITEMS)]
    if not with_audit:
        for _ in range(200):
            steps._step(steps.audited)
        print(anonymous_kib())
        return
    with steps.auditor.track_training("run"):
        steps.auditor.watch(steps.audited[0])
        for _ in range(200):
            loss = steps._step(steps.audited)
            steps.auditor.log_annotations(texts, texts, "ann", [1.0] * ITEMS)
            steps.auditor.track_policy_update(*steps.audited[:2], {"loss": loss})
        print(anonymous_kib())


def anonymous_kib() -> int:
    """RssAnon of this process: RSS would count files that are mapped."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise SystemExit(
        "/proc/self/status has no RssAnon; memory is measured on Linux only"
    )


def memory(args: argparse.Namespace) -> None:
    rows, width = [], args.widths[-1]
    for policy in ("scalars", "lora"):
        used: dict[str, list[int]] = {"without": [], "with": []}
        for number in range(5):
            for audit, found in used.items():
                folder = args.folder / f"memory-{policy}-{number}"
                told = subprocess.run(
                    [
                        sys.executable,
                        __file__,
                        "--one-training",
                        policy,
                        "--audit",
                        audit,
                    ]
                    + ["--widths", str(width), "--folder", str(folder)],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                found.append(int(told.stdout) << 10)
        without, with_audit = (
            statistics.median(found) / 2**20 for found in used.values()
        )
        more = with_audit - without
        rows.append(
            [
                policy,
                f"{without:.1f}",
                f"{with_audit:.1f}",
                f"{more:+.1f}",
                f"{more / without:+.1%}",
            ]
        )
    columns = ["weights", "without the audit", "with it", "difference", "in per cent"]
    table(
        "Anonymous memory of the process after 200 steps and 12,800 annotations, MiB, medians of 5",
        columns,
        rows,
    )


def machine() -> None:
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    cores = sorted(os.sched_getaffinity(0))
    policies = {
        os.SCHED_FIFO: "SCHED_FIFO",
        os.SCHED_RR: "SCHED_RR",
        os.SCHED_OTHER: "normal",
    }
    scheduling = policies.get(os.sched_getscheduler(0), "other")
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(
        f"{cpu}; cores {cores}; scheduling {scheduling}; load {load}; Python {sys.version[:6]}"
    )
    print(f"Others state: {STATED}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", help=f"some of {','.join(PARTS)}", default=",".join(PARTS)
    )
    parser.add_argument(
        "--folder", type=Path, help="where logs go; by default a temporary folder"
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--saves", type=int, default=20)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument(
        "--pause", type=float, default=0.01, help="seconds between calls of annotations"
    )
    parser.add_argument("--one-training", help=argparse.SUPPRESS)
    parser.add_argument("--audit", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one_training:
        one_training(
            args.one_training, args.audit == "with", args.folder, args.widths[0]
        )
        return
    parts = args.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(
            f"--only takes {', '.join(PARTS)}, not {', '.join(sorted(unknown))}"
        )
    machine()
    if find_spec("torch") is None:
        print("\nWithout PyTorch, updates, checkpoints and memory are left out.")
        parts = [part for part in parts if part in ("import", "annotations")]
    else:
        import torch

        torch.set_num_threads(1)
    work = {
        "import": importing,
        "annotations": annotations,
        "updates": updates,
        "checkpoints": checkpoints,
        "memory": memory,
    }
    with tempfile.TemporaryDirectory() as temporary:
        args.folder = args.folder or Path(temporary)
        for part in parts:
            work[part](args)


if __name__ == "__main__":
    main()
