"""How fast weights are digested, beside others, in one run: `python benches/weights.py`.

Builds the program, makes models in a temporary folder (FOLDER and GIGABYTES change where and how large), has every program digest
them in turn, several ROUNDS, and prints medians and ratios as Markdown. What is not installed is left out and
named: `openssl` and `b3sum` are looked for on the PATH, PyPI's `model-signing` beside this Python's NumPy.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
ROUNDS = int(os.environ.get("ROUNDS", "7"))
GIGABYTES = float(os.environ.get("GIGABYTES", "4.5"))
MEBIBYTE = 1 << 20

# What it hashes before it signs; a Python package, so it is there if this Python has it.
HASHED = "import sys, model_signing; model_signing.hashing.hash(sys.argv[1])"
MODEL_SIGNING = [
    sys.executable if find_spec("model_signing") else "model_signing",
    "-c",
    HASHED,
]


def main():
    build = [
        "cargo",
        "build",
        "--release",
        "--quiet",
        "-p",
        "rlhf-audit",
        "-p",
        "weight-digest",
    ]
    subprocess.run([*build, "--bins", "--examples"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("FOLDER")) as folder:
        small, large = (
            Path(folder) / "small.safetensors",
            Path(folder) / "large.safetensors",
        )
        make(small, 0.5)
        make(large, GIGABYTES)
        warm(small)
        warm(large)
        machine()
        sketch_cost(small, one_core(small))
        in_memory(small)
        scaling(small)
        all_cores(large)
        memory(large)


def make(path, gigabytes):
    """Layers as a language model has them: large matrices in BF16, and a few short vectors."""
    random = np.random.default_rng(1)
    floats = random.normal(0, 0.02, 8 * MEBIBYTE).astype("<f4")
    matrix = (floats.view("<u4") >> 16).astype("<u2").tobytes()
    header, at, layer = {}, 0, 0
    while at < gigabytes * 1e9:
        for name, shape in (("weight", [2048, 4096]), ("bias", [4096])):
            end = at + 2 * int(np.prod(shape))
            tensor = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
            header[f"layers.{layer}.{name}"] = tensor
            at = end
        layer += 1
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in header.values():
            begin, end = tensor["data_offsets"]
            file.write(matrix[: end - begin])


def warm(path):
    """Into the page cache: the programs are compared, not the disk."""
    with path.open("rb") as file:
        while file.read(64 * MEBIBYTE):
            pass


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    flags = next(line.split() for line in lines if line.startswith("flags"))
    has = [flag for flag in ("sha_ni", "avx2", "avx512f") if flag in flags]
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} cores of {model} ({', '.join(has)}), load average {load:.1f}, {ROUNDS} rounds\n"
    )


def one_core(path):
    """By processor time, which does not grow while others use the core."""
    commands = {
        "openssl dgst -sha256": ["openssl", "dgst", "-sha256", path],
        "rlhf-audit digest (tree and sketch)": [
            program("rlhf-audit"),
            "digest",
            path,
            "--json",
        ],
        "b3sum, one thread": ["b3sum", "--num-threads", "1", path],
    }
    times = interleaved(commands, lambda command: run(command, one=True)[0])
    table("One core", path, times, "openssl dgst -sha256")
    return times.get("openssl dgst -sha256")


def sketch_cost(path, openssl):
    """In one process, in turn."""
    tree, both = rates(path, one=True)
    ratio = statistics.median(b / a for a, b in zip(tree, both, strict=True))
    size = path.stat().st_size / 1e9
    print(
        f"Tree alone {size / min(tree):.2f} GB/s, tree and sketch {size / min(both):.2f} GB/s (best)"
    )
    if openssl:
        print(f"Tree alone against openssl {min(openssl) / min(tree):.2f} × (best)")
    print(
        f"The sketch takes {100 * (ratio - 1):.0f}% more time (median): {100 * (1 - 1 / ratio):.0f}% slower\n"
    )


def in_memory(path):
    """Hashing alone, on one core, each in turn."""
    if not shutil.which("openssl"):
        return
    ratios, ours, theirs = [], [], []
    speed = [
        "openssl",
        "speed",
        "-mr",
        "-seconds",
        "1",
        "-bytes",
        "262144",
        "-evp",
        "sha256",
    ]
    command = [program("examples/digest_rate"), path, 0]
    for _ in range(ROUNDS):
        ours.append(json.loads(run(command, one=True)[2])["memory"])
        [line] = [
            line
            for line in run(speed, one=True)[2].decode().splitlines()
            if line.startswith("+F:")
        ]
        theirs.append(float(line.split(":")[-1]))
        ratios.append(ours[-1] / theirs[-1])
    print(
        f"In memory, one core: the tree {statistics.median(ours) / 1e9:.2f} GB/s, openssl speed "
        f"{statistics.median(theirs) / 1e9:.2f} GB/s: {statistics.median(ratios):.2f} × (best {max(ratios):.2f})\n"
    )


def scaling(path):
    """Two cores against one, in turn."""
    ratios = []
    for _ in range(ROUNDS):
        one, two = (min(rates(path, threads=threads, times=3)[1]) for threads in (1, 2))
        ratios.append(one / two)
    print(
        f"Two threads are {statistics.median(ratios):.2f} times as fast as one (best {max(ratios):.2f})\n"
    )


def rates(path, one=False, threads=1, times=ROUNDS):
    command = [program("examples/digest_rate"), path, str(times)]
    answer = json.loads(run(command, one=one, threads=threads)[2])
    return answer["tree"], answer["both"]


def all_cores(path):
    """The tree is what model_signing computes as well: hashes of all bytes, and one over them."""
    tree = [program("examples/digest_rate"), path, "1"]
    commands = {
        "model_signing": [*MODEL_SIGNING, path.parent / "alone"],
        "the tree alone, in one process": tree,
        "rlhf-audit digest (tree and sketch)": [
            program("rlhf-audit"),
            "digest",
            path,
            "--json",
        ],
        "b3sum": ["b3sum", path],
        "openssl dgst -sha256": ["openssl", "dgst", "-sha256", path],
    }
    # It takes folders.
    (path.parent / "alone").mkdir()
    os.link(path, path.parent / "alone" / path.name)

    def seconds(command):
        _, wall, output = run(command)
        return json.loads(output)["tree"][0] if command is tree else wall

    times = interleaved(commands, seconds)
    table("All cores, wall clock", path, times, "model_signing")


def interleaved(commands, measure):
    """Each program once, then each again: whatever else the machine does meets all of them."""
    missing = [
        name for name, command in commands.items() if not shutil.which(command[0])
    ]
    for name in missing:
        print(f"Not installed, left out: {name}")
    times = {name: [] for name in commands if name not in missing}
    for _ in range(ROUNDS):
        for name, seconds in times.items():
            seconds.append(measure(commands[name]))
    return times


def run(command, one=False, threads=None):
    """Processor seconds, wall seconds and output; on one core if so asked."""
    environment = dict(os.environ)
    if threads or one:
        environment["RAYON_NUM_THREADS"] = str(threads or 1)
    start = time.perf_counter()
    pinned = ["taskset", "--cpu-list", str(last_core())] if one else []
    process = subprocess.Popen(
        [*pinned, *map(str, command)],
        env=environment,
        stdout=subprocess.PIPE,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{command} failed")
    return usage.ru_utime + usage.ru_stime, wall, output


def last_core():
    return max(os.sched_getaffinity(0))


def table(what, path, times, against):
    size = path.stat().st_size / 1e9
    print(
        f"{what}, {size:.2f} GB\n\n| | GB/s, median | best | against {against} |\n|---|---|---|---|"
    )
    for name, seconds in times.items():
        ratio = ""
        if against in times:
            pairs = zip(times[against], seconds, strict=True)
            ratio = (
                f"{statistics.median(theirs / ours for theirs, ours in pairs):.2f} ×"
            )
        print(
            f"| {name} | {size / statistics.median(seconds):.2f} | {size / min(seconds):.2f} | {ratio} |"
        )
    print()


def memory(path):
    """Anonymous memory: pages of files that are mapped do not count, and nothing maps them here."""
    process = subprocess.Popen(
        [program("rlhf-audit"), "digest", str(path), "--json"],
        stdout=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        lines = [line for line in status.splitlines() if line.startswith("RssAnon")]
        peak = max([peak, *(int(line.split()[1]) for line in lines)])
        time.sleep(0.005)
    print(
        f"Peak anonymous memory {peak / 1024:.1f} MiB for {path.stat().st_size / 1e9:.2f} GB\n"
    )


def program(name):
    return ROOT / "target/release" / name


if __name__ == "__main__":
    main()
