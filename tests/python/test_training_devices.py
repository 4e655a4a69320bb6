"""Weights on a device that does later what it is told."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rlhf_audit_trail import _engine

STANDIN = Path(__file__).parents[2] / "crates" / "cuda" / "tests" / "standin"


def run(kind, folder, **environment):
    script = Path(__file__).with_name("device_runs.py")
    done = subprocess.run(
        [sys.executable, script, kind, folder],
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["lora", "full", "lora without streams", "full without streams"])
def test_weights_on_a_device_are_those_of_their_step(tmp_path, kind):
    roots = run(kind, tmp_path)
    check(roots, kind)
    assert roots["told"] == []


@pytest.mark.parametrize(
    "kind", ["lora crowded from 0", "lora crowded from 2", "full crowded from 2"]
)
def test_where_a_device_has_no_room_the_training_waits_for_the_copy(tmp_path, kind):
    roots = run(kind, tmp_path)
    check(roots, kind)
    assert roots["told"] == [
        "weights are copied while the training waits: late error: out of memory"
    ]


def check(roots, kind):
    logged, checkpoint = roots["audited"]
    assert logged == roots["alone"]
    assert len(set(logged)) == len(logged)
    # The checkpoint has the buffer that is not trained, too.
    assert (checkpoint == logged[-1]) == kind.startswith("full")


@pytest.mark.parametrize("libraries", [["cuda", "nvrtc"], ["cuda"]])
def test_weights_on_a_card_are_digested_where_they_lie(tmp_path, libraries):
    """By kernels, and by a copy that the driver makes: what PyTorch's own NVRTC compiles is nothing for the stand-in."""
    shutil.copy(STANDIN / "kernel.h", tmp_path)
    for library in libraries:
        out = tmp_path / f"lib{library}.so"
        compiler = ["cc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-o", out]
        subprocess.run([*compiler, STANDIN / f"{library}.c"], check=True)
    told = run("on card", tmp_path, LD_LIBRARY_PATH=str(tmp_path), STANDIN=str(tmp_path))
    assert told["logged"] == told["alone"]
    if "nvrtc" in libraries:
        assert told["told"] == []
    else:
        (notice,) = told["told"]
        assert "the weights are copied to the processor" in notice


def test_what_a_card_lacks_is_said():
    lacks = _engine.open_card(0)
    assert lacks is None or "no CUDA driver was found" in lacks
