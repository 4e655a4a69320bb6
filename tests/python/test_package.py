"""The package `rlhf_audit_trail` as people use it, without PyTorch."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import rlhf_audit_trail as audit
from rlhf_audit_trail import AuditableRLHF, PrivacyConfig
from rlhf_audit_trail._weights import Held
from safetensors.numpy import save_file

PROMPT, RESPONSE = "a prompt nobody may read", "a response nobody may read"


def program(*arguments, accept=(0,)):
    """What `rlhf-audit ... --json` says."""
    done = subprocess.run(
        [os.environ["RLHF_AUDIT"], *map(str, arguments), "--json"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in accept, done.stderr
    return json.loads(done.stdout)


def verdict(path):
    """By the program, with no key chosen: consistent with itself, or not."""
    return program("verify", path, accept=(0, 1, 4))


def events(auditor, *kinds):
    return json.loads(audit._engine.read_events(auditor.log_dir, list(kinds)))


def refuses_to_track(auditor, name, error, words):
    with pytest.raises(error, match=words), auditor.track_training(name):
        pass


def rate(auditor, count=3, **changed):
    given = {
        "prompts": [PROMPT] * count,
        "responses": [RESPONSE] * count,
        "annotator_ids": [f"annotator_{i}" for i in range(count)],
        "rewards": [float(i) for i in range(count)],
    }
    return auditor.log_annotations(**(given | changed))


@pytest.fixture
def auditor(tmp_path):
    return AuditableRLHF(model_name="tiny", base_dir=tmp_path)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"w": np.arange(3000, dtype=np.float32)}, path)
    return path


def test_importing_brings_nothing_that_takes_long():
    script = "import sys; import rlhf_audit_trail; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path = {sys.path!r}; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    # How long it takes is measured in benches/overhead.py.
    long = {"torch", "transformers", "numpy", "typing", "importlib.metadata", "asyncio", "logging"}
    assert "rlhf_audit_trail._engine" in run.stdout
    assert long.isdisjoint(run.stdout.split())


def test_a_run_from_annotations_to_evidence(tmp_path, weights):
    auditor = AuditableRLHF(
        model_name="tiny",
        privacy_config=PrivacyConfig(epsilon=4.0, delta=1e-5, clip_norm=5.0, epsilon_per_round=1.0),
        storage_backend="local",
        compliance_mode="both",
        base_dir=tmp_path,
    )
    with auditor.track_training(experiment_name="ppo-v1"):
        auditor.checkpoint(epoch=0, path=weights)
        logged = auditor.log_annotations(
            prompts=[PROMPT, PROMPT],
            responses=[RESPONSE, RESPONSE],
            annotator_ids=["ann", 7],
            rewards=np.array([4.0, -1.5], dtype=np.float32),
        )
        assert logged.count == 2
        auditor.log_annotations(chosen=["better"], rejected=["worse"])
        checkpoint = auditor.checkpoint(epoch=5, metrics={"accuracy": 0.9}, path=weights)
        assert checkpoint.name == "epoch_5"
    assert checkpoint.root == program("digest", weights)["root"]

    model_card = auditor.generate_model_card(
        include_provenance=True, include_privacy_analysis=True, format="eu_standard"
    )
    assert model_card.claim("annotations.count") == 3
    assert model_card.claim("annotations.preferences") == 1
    privacy_report = auditor.get_privacy_report()
    assert (privacy_report.total_epsilon, privacy_report.remaining_budget) == (0.0, 4.0)
    verification = auditor.verify_provenance(start_checkpoint="epoch_0", end_checkpoint="epoch_5")
    assert verification.is_valid
    assert verification.chain_verification.unbroken is None
    assert len(verification.merkle_root) == 64
    auditor.add_external_auditor(
        auditor_id="auditor@example.org", access_level="read", scope=["annotations"]
    )
    auditor.write_evidence(tmp_path / "run.evidence")
    report = verdict(tmp_path / "run.evidence")
    assert report["verdict"] == "self-consistent"
    kinds = [event["event_type"] for event in events(auditor)]
    assert kinds == [
        "run.start",
        "checkpoint",
        *["annotation"] * 3,
        "checkpoint",
        "run.end",
        "card",
        "auditor.grant",
        "card",
    ]


def test_what_programs_think_is_told_apart_from_people(tmp_path):
    config = PrivacyConfig(epsilon=4.0, delta=1e-5, clip_norm=5.0, epsilon_per_round=1.0)
    auditor = AuditableRLHF("tiny", config, base_dir=tmp_path)
    with auditor.track_training("run"):
        # An answer may be empty for a program; for a person it may not.
        logged = auditor.log_judgements("length", [PROMPT] * 3, [RESPONSE, "", "x"], [9.0, 0, 1])
        assert (logged.first_index, logged.count) == (1, 3)
        with pytest.raises(audit.BadInput, match="no ratings"):
            auditor.release_round()
        rate(auditor, 2)
        assert auditor.release_round()["count"] == 2
        for given, words in [
            (("two\nlines", ["p"], ["r"], [1.0]), "judge's name must be one line"),
            ((7, ["p"], ["r"], [1.0]), "judge must be a string"),
            (("length", ["p"], ["r"], [float("nan")]), r"rewards\[0\] must be a finite number"),
            (("length", ["p"], ["r", "r"], [1.0]), "unequal lengths"),
        ]:
            with pytest.raises(audit.BadInput, match=words):
                auditor.log_judgements(*given)
    claim = auditor.generate_model_card().claim
    assert (claim("annotations.by_programs"), claim("annotations.count")) == (3, 2)
    assert (claim("annotations.ratings"), claim("annotations.annotators")) == (2, 2)
    judged = [event["event_data"] for event in events(auditor, "annotation")[:3]]
    assert {event["judge"] for event in judged} == {"length"}
    assert all(event["annotator_id"] is None for event in judged)
    assert len({event["prompt_hash"] for event in judged}) == 3
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"
    public = [path for path in auditor.log_dir.rglob("*") if "private" not in path.parts]
    assert not any(PROMPT.encode() in path.read_bytes() for path in public if path.is_file())


def test_a_card_leaves_out_what_was_not_asked_for(tmp_path):
    auditor = AuditableRLHF("tiny", compliance_mode="nist_draft", base_dir=tmp_path)
    with auditor.track_training("run"):
        rate(auditor)
    short = auditor.generate_model_card(include_provenance=False, include_privacy_analysis=False)
    whole = auditor.generate_model_card()
    assert short.content == whole.content and short.entry == whole.entry
    gone = {claim["id"].split(".")[0] for claim in whole.claims} - {
        claim["id"].split(".")[0] for claim in short.claims
    }
    assert {"privacy", "run", "runs"} <= gone
    assert all("eu" not in claim and "nist" in claim for claim in whole.claims)
    path = tmp_path / "card.json"
    whole.save(path)
    assert path.read_bytes() == whole.content
    assert whole.sha256 == events(auditor, "card")[0]["event_data"]["sha256"].removeprefix(
        "sha256:"
    )


def test_what_is_private_is_nowhere_in_the_clear(auditor):
    with auditor.track_training("run"):
        rate(auditor)
        # Still in the write-ahead log, and then in the log's files.
        for _ in range(2):
            files = [path for path in auditor.log_dir.rglob("*") if path.is_file()]
            for secret in (PROMPT, RESPONSE, "annotator_1"):
                assert not any(secret.encode() in path.read_bytes() for path in files)
            auditor.generate_model_card()


def test_the_runs_end_says_how(auditor):
    for error, outcome in [
        (ValueError("a secret"), "failed: ValueError"),
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "failed: MemoryError"),
        (None, "completed"),
    ]:
        try:
            with auditor.track_training("run", hyperparameters={"lr": 1e-4, "bad": float("nan")}):
                rate(auditor)
                if error is not None:
                    raise error
        except type(error):
            pass
        ends = events(auditor, "run.end")
        assert ends[-1]["event_data"] == {"outcome": outcome}
    started = events(auditor, "run.start")[-1]["event_data"]
    assert started["hyperparameters"] == {"lr": 1e-4, "bad": "nan"}
    assert started["libraries"]["rlhf_audit_trail"] == audit.__version__
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


KILLED = """
import os, signal, sys
from rlhf_audit_trail import AuditableRLHF
auditor = AuditableRLHF("tiny", base_dir=sys.argv[1])
with auditor.track_training("run"):
    for _ in range(20):
        auditor.log_annotations(["p"] * 8, ["r"] * 8, "ann", [1.0] * 8)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing_it_was_told_is_logged(auditor, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with auditor.track_training("run", resumed_from="epoch_1"):
        rate(auditor)
    kinds = [event["event_type"] for event in events(auditor)]
    assert kinds == [
        "run.start",
        *["annotation"] * 160,
        "run.end",
        "run.start",
        *["annotation"] * 3,
        "run.end",
    ]
    ends = [event["event_data"]["outcome"] for event in events(auditor, "run.end")]
    assert ends == ["unknown: the process ended without saying how", "completed"]
    assert events(auditor, "run.start")[1]["event_data"]["resumed_from"] == "epoch_1"
    pseudonyms = {
        event["event_data"]["annotator_id"] for event in events(auditor, "annotation")[:160]
    }
    assert len(pseudonyms) == 1
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_a_second_auditor_and_a_child_are_kept_out(auditor, tmp_path):
    with auditor.track_training("run"):
        other = AuditableRLHF("tiny", base_dir=tmp_path)
        refuses_to_track(other, "run", audit.LogInUse, "wait until it has finished")
        with pytest.raises(audit.NotTracking), auditor.track_training("another"):
            pass
        child = os.fork()
        if child == 0:
            try:
                rate(auditor)
                os._exit(1)
            except audit.RecordingFailed:
                del auditor
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(audit.LogInUse), other.track_training("run"):
            pass
        rate(auditor)
    other = AuditableRLHF("other", base_dir=tmp_path)
    refuses_to_track(other, "run", audit.BadInput, "another experiment_name")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prompts": ["one"]}, "unequal lengths: prompts 1, responses 3"),
        ({"prompts": [PROMPT, None, PROMPT]}, r"prompts\[1\] must be a string, not NoneType"),
        ({"responses": [RESPONSE, 5, ""]}, r"responses\[1\] must be a string"),
        ({"responses": [RESPONSE, "", RESPONSE]}, "`response` is empty"),
        ({"rewards": [1.0, float("nan"), 2.0]}, r"rewards\[1\] must be a finite number"),
        ({"rewards": np.array([1.0, np.inf, 2.0])}, r"rewards\[1\] must be a finite number"),
        ({"rewards": [1.0, "5", 2.0]}, r"rewards\[1\] must be a finite number"),
        ({"rewards": "abc"}, "rewards must be a list"),
        ({"annotator_ids": [None, "a", "b"]}, r"annotator_ids\[0\] must be"),
        ({"annotator_ids": None}, "annotator_ids is missing"),
        ({"prompts": [], "responses": [], "annotator_ids": [], "rewards": []}, "nothing to log"),
        ({"chosen": ["a"], "rejected": ["b"]}, "not both"),
    ],
)
def test_bad_annotations_are_refused_whole_and_by_place(auditor, changed, words):
    with auditor.track_training("run"):
        with pytest.raises(audit.BadInput, match=words) as refused:
            rate(auditor, **changed)
        assert PROMPT not in str(refused.value) and RESPONSE not in str(refused.value)
        rate(auditor, 2)
    assert len(events(auditor, "annotation")) == 2


def test_bad_calls_say_what_to_do(auditor, tmp_path, weights):
    for settings in [
        {"storage_backend": "floppy"},
        {"compliance_mode": "none"},
        {"weights": "some"},
        {"weights": "every_n"},
        {"on_record_failure": "ignore"},
    ]:
        with pytest.raises(audit.BadInput, match=next(iter(settings))):
            AuditableRLHF("tiny", **settings)
    for call in (lambda: rate(auditor), lambda: auditor.checkpoint(epoch=1, path=weights)):
        with pytest.raises(audit.NotTracking, match="belongs inside"):
            call()
    for name in ("", "..", "a/b", "a\n", None):
        refuses_to_track(auditor, name, audit.BadInput, "experiment_name")
    with auditor.track_training("run"):
        with pytest.raises(audit.BadInput, match="an epoch or a name"):
            auditor.checkpoint(path=weights)
        with pytest.raises(audit.BadInput, match="which weights"):
            auditor.checkpoint(epoch=1)
        with pytest.raises(audit.BadInput, match="nowhere"):
            auditor.checkpoint(epoch=1, path=tmp_path / "nowhere")
        with pytest.raises(audit.BadInput, match="one line of text"):
            auditor.checkpoint(name="two\nlines", path=weights)
        auditor.checkpoint(epoch=1, path=weights)
        with pytest.raises(audit.BadInput, match="no checkpoint 'epoch_2'.*epoch_1"):
            auditor.verify_provenance("epoch_1", "epoch_2")
        with pytest.raises(audit.BadInput, match="format must be one of"):
            auditor.generate_model_card(format="pdf")
        with pytest.raises(audit.BadInput, match="auditor_id"):
            auditor.add_external_auditor("")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epsilon": 1.0, "total_epsilon": 2.0, "clip_norm": 1.0}, "two names of one budget"),
        ({"epsilon": 1.0, "epsilon_per_round": 2.0, "clip_norm": 1.0}, "not more than the budget"),
        (
            {
                "epsilon": 9.0,
                "epsilon_per_round": 0.1,
                "noise_multiplier": 1.0,
                "clip_norm": 1.0,
            },
            "more than epsilon_per_round",
        ),
        ({"epsilon": 1.0}, "needs bounds for rewards"),
        ({"epsilon": 1.0, "clip_norm": 1.0, "reward_range": (1, 5)}, "give one"),
        ({"clip_norm": 1.0}, "needs a budget"),
        ({"epsilon": -1.0, "clip_norm": 1.0}, "must be above 0"),
        ({"epsilon": 1.0, "annotator_privacy_mode": "minimal"}, "promise what is not kept"),
        ({"annotator_privacy_mode": "weak"}, "must be one of"),
    ],
)
def test_a_promise_that_contradicts_itself_is_refused(settings, words):
    with pytest.raises(audit.BadInput, match=words):
        PrivacyConfig(**settings)


def test_the_noise_multiplier_says_what_a_round_costs(tmp_path):
    config = PrivacyConfig(total_epsilon=10.0, noise_multiplier=2.0, reward_range=(1, 5))
    auditor = AuditableRLHF("tiny", config, base_dir=tmp_path)
    with auditor.track_training("run"):
        rate(auditor, 40, rewards=[3.0] * 40)
        released = auditor.release_round("first")
        assert auditor.release_round("first") == released
        assert released["count"] == 40
    # By zCDP, rho = 1 / (2 z^2): the closed form of Bun and Steinke is an upper bound, not far away.
    spent, rho = auditor.get_privacy_report().total_epsilon, 1 / (2 * 2.0**2)
    closed = rho + 2 * math.sqrt(rho * math.log(1e5))
    assert 0.85 * closed < spent < closed


def test_no_round_is_released_beyond_the_budget(tmp_path):
    config = PrivacyConfig(total_epsilon=1.2, epsilon_per_round=1.0, reward_range=(1, 5))
    auditor = AuditableRLHF("tiny", config, base_dir=tmp_path)
    with auditor.track_training("run"):
        rate(auditor)
        auditor.release_round()
        rate(auditor)
        with pytest.raises(audit.PrivacyBudgetExceeded, match="Nothing was drawn or charged"):
            auditor.release_round()
    report = auditor.get_privacy_report()
    assert report.total_epsilon <= 1.0 and report.rounds == 1


def test_the_experiments_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLHF_AUDIT_DIR", str(tmp_path / "from-environment"))
    given = AuditableRLHF("tiny", base_dir=tmp_path / "given")
    assert given.base_dir == tmp_path / "given"
    assert AuditableRLHF("tiny").base_dir == tmp_path / "from-environment"
    monkeypatch.delenv("RLHF_AUDIT_DIR")
    assert AuditableRLHF("tiny").base_dir == Path("audit")


def test_a_damaged_folder_is_told_apart_from_bad_input(auditor):
    with auditor.track_training("run"):
        rate(auditor)
    (auditor.log_dir / "private" / "wal").unlink()
    refuses_to_track(auditor, "run", audit.LogDamaged, "restore the whole folder")


FULL = """
import resource, signal, sys
from rlhf_audit_trail import AuditableRLHF, RecordingFailed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
auditor = AuditableRLHF("tiny", base_dir=sys.argv[1])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
try:
    with auditor.track_training("run"):
        logged = 0
        # No file may grow beyond so many bytes: the first that would is the write-ahead log.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            for _ in range(1000):
                logged += auditor.log_annotations(["p" * 500] * 8, ["r"] * 8, "ann", [1] * 8).count
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
except RecordingFailed as error:
    assert "p" * 500 not in str(error)
    print(logged)
"""


def test_a_full_disk_raises_and_loses_nothing_that_was_acknowledged(auditor, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().isdigit(), done.stderr
    logged = int(done.stdout)
    assert logged >= 8
    with auditor.track_training("run"):
        rate(auditor)
    assert len(events(auditor, "annotation")) == logged + 3
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_a_number_carries_the_time_of_its_call_and_not_of_its_commit(auditor):
    with auditor.track_training("run"):
        before = datetime.now(timezone.utc)
        auditor._tracked("test").recorder.numbers(1, {"loss": 1.0}, "scalars")
        after = datetime.now(timezone.utc)
        time.sleep(0.05)
        rate(auditor)
    (number,) = events(auditor, "metric")
    told = datetime.fromisoformat(number["timestamp"].replace("Z", "+00:00"))
    assert before <= told <= after


def test_weights_may_change_while_a_saved_checkpoint_is_still_digested(auditor, tmp_path):
    saved = tmp_path / "saved"
    saved.mkdir()
    save_file({"w": np.zeros(40_000_000, dtype=np.float32)}, saved / "model.safetensors")
    with auditor.track_training("run"):
        recorder = auditor._tracked("test").recorder
        start = time.perf_counter()
        recorder.saved("one", saved, {})
        # What the optimizer's next step calls.
        recorder.join()
        joined = time.perf_counter() - start
        # A trainer may remove the first one when it has saved another.
        recorder.saved("two", saved, {})
        waited = time.perf_counter() - start
        recorder.settle()
    assert joined < waited / 4
    assert [event["event_data"]["name"] for event in events(auditor, "checkpoint")] == [
        "one",
        "two",
    ]


# Fewer bytes are copied, and digested from the copy; more are digested where they are.
@pytest.mark.parametrize("elements", [1_000_000, 3_000_000])
def test_weights_are_those_of_the_step_though_they_change_when_they_have_been_read(
    auditor, tmp_path, elements
):
    drawn, path = np.random.default_rng(7), tmp_path / "model.safetensors"
    weights = {"a": drawn.normal(size=elements).astype("f4"), "b": np.ones((3, 5), "f4")}
    described = [
        (name, "F32", list(value.shape), value.ctypes.data) for name, value in weights.items()
    ]
    roots, moved, first = [], [], weights["a"][:4].copy()
    with auditor.track_training("run"):
        recorder = auditor._tracked("test").recorder
        for step in range(4):
            save_file(weights, path)
            roots.append(program("digest", path)["root"])
            recorder.weights(Held(described, weights, None, True), step, {}, "full")
            recorder.join()
            # As the optimizer's step does; what is read last is changed first.
            weights["b"] += 1
            weights["a"][: step + 1] = 0
            moved.append(np.sqrt(15 + np.square(first[step], dtype="f8")))
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    assert [update["root_before"] for update in updates] == [f"sha256:{root}" for root in roots[:3]]
    assert [update["root_after"] for update in updates] == [f"sha256:{root}" for root in roots[1:]]
    assert [update["delta_l2"] for update in updates] == pytest.approx(moved[:3], rel=1e-9)
    assert [update["changed"] for update in updates] == [16, 16, 16]


def test_numbers_do_not_wait_for_annotations_that_are_being_written(auditor):
    many = 20_000
    with auditor.track_training("run"):
        recorder = auditor._tracked("test").recorder
        lists = ["p"] * many, ["r"] * many, ["ann"] * many, [1.0] * many, None
        writing = threading.Thread(target=recorder.rate, args=lists)
        writing.start()
        for step in range(100):
            recorder.numbers(step, {"loss": 1.0}, "scalars")
        assert writing.is_alive()
        writing.join()
    steps = [event["event_data"]["step"] for event in events(auditor, "metric")]
    assert steps == list(range(100))
    assert len(events(auditor, "annotation")) == many
