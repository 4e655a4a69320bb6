"""The wheel by itself: in an environment that has nothing else, on a system without a compiler."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from test_package import verdict

# As `cargo xtask test` names it: the wheel that the other tests have installed.
WHEEL = os.environ.get("RLHF_AUDIT_WHEEL", "")

# Never left out in CI.
pytestmark = pytest.mark.skipif(
    not WHEEL and "CI" not in os.environ, reason="RLHF_AUDIT_WHEEL names no wheel"
)

RUN = """
import importlib.metadata, json, os, sys
before = set(sys.modules)
from rlhf_audit_trail import AuditableRLHF
came = {name.split(".")[0] for name in set(sys.modules) - before}
foreign = came - sys.stdlib_module_names - {"rlhf_audit_trail"}
auditor = AuditableRLHF(model_name="tiny", base_dir=sys.argv[1])
with auditor.track_training("run"):
    logged = auditor.log_annotations(["p", "p"], ["a", "b"], ["ann", "bob"], [1.0, 0.5])
auditor.write_evidence(os.path.join(sys.argv[1], "run.evidence"))
installed = sorted(one.metadata["Name"] for one in importlib.metadata.distributions())
print(json.dumps({"logged": logged.count, "foreign": sorted(foreign), "installed": installed,
    "from": sys.modules["rlhf_audit_trail"].__file__}))
"""


def test_ci_names_the_wheel():
    assert WHEEL, "RLHF_AUDIT_WHEEL must name the wheel in CI: `cargo xtask test python` does"


def tags():
    """What the wheel says it runs on (https://packaging.python.org/specifications/binary-distribution-format)."""
    with zipfile.ZipFile(WHEEL) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/WHEEL"))
        lines = wheel.read(metadata).decode().splitlines()
        engines = [name for name in wheel.namelist() if "/_engine." in name and ".pyi" not in name]
    return {line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: ")}, engines


def test_one_wheel_is_for_every_python_from_3_10_on():
    said, engines = tags()
    assert {tag.split("-")[:2] == ["cp310", "abi3"] for tag in said} == {True}
    assert Path(WHEEL).name.split("-")[2:4] == ["cp310", "abi3"]
    # The name under which any Python of version 3 looks for the stable ABI; on Windows there is none for it.
    assert engines in (["rlhf_audit_trail/_engine.abi3.so"], ["rlhf_audit_trail/_engine.pyd"])


def test_the_wheel_records_a_run_where_there_is_nothing_else(tmp_path):
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    # Nothing of this environment, or of whoever runs the tests: no path, no packages, no settings.
    bare = {"PATH": str(nothing), "HOME": str(nothing), "PIP_CONFIG_FILE": os.devnull}
    for tool in ("cc", "gcc", "clang", "ld", "rustc", "cargo", "maturin"):
        assert shutil.which(tool, path=bare["PATH"]) is None

    def run(*command):
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=bare, cwd=nothing
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [python, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check"]
    run(*pip, "--no-index", "--no-deps", Path(WHEEL).resolve())
    told = json.loads(run(python, "-c", RUN, tmp_path / "audit"))
    assert told["logged"] == 2
    assert Path(told["from"]).is_relative_to(tmp_path / "venv")
    assert told["foreign"] == []
    assert set(told["installed"]) <= {"pip", "setuptools", "rlhf-audit-trail"}
    report = verdict(tmp_path / "audit" / "run.evidence")
    assert report["verdict"] == "self-consistent"
    # run.start, two annotations, run.end, and the card.
    assert report["size"] == 5
