"""``python -m rlhf_audit_trail.analyze_privacy``: what the program says, without the program."""

import json
import os
import subprocess
import sys

import pytest
from rlhf_audit_trail import AuditableRLHF, PrivacyConfig, analyze_privacy


def program(*arguments):
    return subprocess.run(
        [os.environ["RLHF_AUDIT"], "privacy", *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture
def ours(capsys):
    def run(*arguments, status=0):
        try:
            done = analyze_privacy.main([str(argument) for argument in arguments])
        except SystemExit as left:
            done = left.code
        printed = capsys.readouterr()
        assert done == status, printed.err
        return printed.err if status else printed.out

    return run


def rated(folder, config):
    auditor = AuditableRLHF("tiny", config, base_dir=folder)
    with auditor.track_training("run"):
        auditor.log_annotations(["p"] * 8, ["r"] * 8, list(range(8)), [4.0] * 8)
        if config is not None and config.mode == "strong":
            auditor.release_round("first")
    return auditor.log_dir


MODES = [
    None,
    PrivacyConfig(total_epsilon=4.0, epsilon_per_round=1.0, reward_range=(1, 5)),
    PrivacyConfig(total_epsilon=4.0, reward_range=(1, 5), annotator_privacy_mode="moderate"),
]


@pytest.mark.parametrize("config", MODES, ids=["minimal", "strong", "moderate"])
def test_a_log_is_reported_as_by_the_program(ours, tmp_path, config):
    log = rated(tmp_path, config)
    assert ours(log) == program(log)
    assert json.loads(ours(log, "--json")) == json.loads(program(log, "--json"))


def test_the_module_runs_by_its_name_and_without_the_program(tmp_path):
    log = rated(tmp_path, MODES[1])
    command = [sys.executable, "-m", "rlhf_audit_trail.analyze_privacy", str(log), "--json"]
    environment = {"PATH": "/nonexistent"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    report = json.loads(done.stdout)
    assert report["epsilon"] == 4.0 and len(report["rounds"]) == 1 and done.stderr == ""


@pytest.mark.parametrize(
    "options",
    [
        ["--noise-multiplier", 1.1, "--rate", 0.01, "--steps", 1000],
        ["--noise-multiplier", 2],
        ["--target-epsilon", 3, "--rate", 0.1, "--steps", 50, "--delta", 1e-6],
    ],
)
def test_a_plan_is_that_of_the_program(ours, options):
    assert ours("--plan", *options) == program("--plan", *options)
    plan = json.loads(ours("--plan", "--json", *options))
    assert plan == json.loads(program("--plan", "--json", *options))
    assert set(plan["by_accountant"]) == {"gaussian", "pld", "rdp", "zcdp"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give the log's folder, or --plan"),
        (["a", "--plan", "--noise-multiplier", 1], "give the log's folder, or --plan"),
        (["nowhere"], "nowhere"),
        (["nowhere", "--delta", 0.1], "go with --plan"),
        (["--plan"], "--plan needs --noise-multiplier or --target-epsilon"),
        (["--plan", "--noise-multiplier", 1, "--target-epsilon", 1], "not allowed with"),
        (["--plan", "--noise-multiplier", 0], "noise multiplier must be"),
        (["--plan", "--noise-multiplier", "nan"], "noise multiplier must be"),
        (["--plan", "--noise-multiplier", 1, "--rate", 0], "sampling rate must be"),
        (["--plan", "--noise-multiplier", 1, "--steps", 0], "number of steps must be"),
        (["--plan", "--noise-multiplier", 1, "--steps", -1], "--steps"),
        (["--plan", "--noise-multiplier", 1, "--delta", 1], "delta must be"),
        (["--plan", "--noise-multiplier", 1, "--delta", 0], "delta must be"),
        (["--plan", "--target-epsilon", 0], "epsilon must be above 0"),
        (["--plan", "--target-epsilon", -1], "epsilon must be above 0"),
    ],
)
def test_what_makes_no_sense_is_refused_with_status_2(ours, arguments, words):
    told = ours(*arguments, status=2)
    assert words in told and "Traceback" not in told
