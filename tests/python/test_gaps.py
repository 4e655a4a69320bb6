"""Training that goes on when nothing can be recorded, and the gap that it leaves in the log."""

import json
import subprocess
import sys

import numpy as np
import pytest
import rlhf_audit_trail as audit
from rlhf_audit_trail import AuditableRLHF, _gaps
from rlhf_audit_trail._weights import Held

from test_package import events, program, verdict

UNKNOWN = "unknown: the process ended without saying how"


@pytest.fixture
def auditor(tmp_path, monkeypatch):
    monkeypatch.setattr(_gaps, "_FIRST", 0.0)
    return AuditableRLHF("tiny", base_dir=tmp_path, on_record_failure="continue_with_gap")


def rate(auditor, many=4):
    return auditor.log_annotations(["p"] * many, ["r"] * many, "ann", [1.0] * many)


def weigh(auditor, values, step):
    """An update, as PyTorch's weights would make it."""
    described = [("w", "F32", [len(values)], values.ctypes.data)]
    memory = Held(described, values, None, True)
    auditor._tracking.recorder.weights(memory, step, {}, "full")
    auditor._tracking.recorder.join()


def check_gap(auditor, *lost):
    """One gap is on record, and in the report."""
    (incident,) = events(auditor, "incident")
    data = incident["event_data"]
    assert data["title"] == "Gap in the record"
    assert data["gap"]["since"] <= data["gap"]["until"]
    assert str(auditor.base_dir) not in json.dumps(data)
    assert set(lost) <= set(data["document"]["lost"])
    report = program("verify", auditor.log_dir, "--policy", auditor.log_dir / "policy")
    assert report["verdict"] == "signed"
    assert report["verdict_text"].endswith("; with a gap in the record")
    results = {check["name"]: check["result"] for check in report["checks"]}
    assert results["events.gaps"] == "absent" and "fail" not in results.values()
    return data["document"]


FULL = """
import json, resource, signal, sys
import numpy as np
from rlhf_audit_trail import AuditableRLHF, _gaps
from test_gaps import rate, weigh
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_gaps._FIRST = 0.0
auditor = AuditableRLHF("tiny", base_dir=sys.argv[1], on_record_failure="continue_with_gap")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
weights = np.arange(4096, dtype=np.float32)
logged = []
with auditor.track_training("run"):
    weigh(auditor, weights, 0)
    for step in range(1, 9):
        if step == 3:
            # No file may grow: the disk is full.
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        if step == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        logged.append(rate(auditor).count)
        weights += 1
        weigh(auditor, weights, step)
        auditor._tracking.recorder.numbers(step, {"loss": 1.0}, "scalars")
        if step == 1:
            # This one waits for no commit.
            auditor._tracking.recorder.settle()
print(json.dumps(logged))
"""


def test_a_full_disk_leaves_a_gap_and_what_comes_after_it_holds(auditor, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=__file__.rpartition("/")[0],
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [4, 4, 0, 0, 0, 4, 4, 4]
    auditor._dir = tmp_path / "run"
    assert len(events(auditor, "annotation")) == 20
    document = check_gap(auditor, "annotations", "metrics")
    assert document["lost"]["annotations"] == 12
    assert "os error 27" in document["reason"]
    # Updates say right what they learned from, and none claims to start where the last one before the gap ended.
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    # The second one waited for the commit that failed.
    assert [update["step"] for update in updates] == [1, 7, 8]
    assert [update["learned_from"]["annotations"] for update in updates] == [4, 4, 4]
    assert updates[0]["root_after"] != updates[1]["root_before"]
    (end,) = events(auditor, "run.end")
    assert end["event_data"]["outcome"] == "completed"


def test_a_folder_that_comes_back_goes_on_and_one_that_does_not_has_no_end(auditor, tmp_path):
    away = tmp_path / "away"
    with auditor.track_training("run"):
        rate(auditor)
        auditor._tracking.recorder.settle()
        auditor.log_dir.rename(away)
        # What is committed to an open file cannot know that the folder is gone; what settles it does.
        auditor._tracking.recorder.settle()
        rate(auditor)
        auditor._tracking.recorder.settle()
        assert rate(auditor) == audit.Logged(None, 0)
        model = tmp_path / "model.safetensors"
        assert auditor.checkpoint(epoch=1, path=model) == audit.Checkpoint("epoch_1", None, None)
        with pytest.raises(audit.RecordingFailed, match="nothing can be recorded now"):
            auditor.generate_model_card()
        away.rename(auditor.log_dir)
        assert rate(auditor).count == 4
        assert auditor.generate_model_card().claim("incidents.count") == 1
    document = check_gap(auditor, "annotations", "checkpoints")
    assert document["lost"] == {"annotations": 4, "checkpoints": 1}
    assert len(events(auditor, "annotation")) == 12

    def runs_without_a_log():
        with auditor.track_training("run"):
            auditor.log_dir.rename(away)
            rate(auditor)
            auditor._tracking.recorder.settle()
            rate(auditor)

    with pytest.warns(UserWarning, match="no end in the log"):
        runs_without_a_log()
    away.rename(auditor.log_dir)
    assert len(events(auditor, "run.end")) == 1
    with auditor.track_training("run"):
        pass
    ends = [event["event_data"]["outcome"] for event in events(auditor, "run.end")]
    assert ends == ["completed", UNKNOWN, "completed"]
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_a_batch_that_is_gone_over_again_after_a_gap_is_counted_anew(auditor, tmp_path):
    away, weights = tmp_path / "away", np.zeros(64, dtype=np.float32)
    with auditor.track_training("run"):
        recorder = auditor._tracking.recorder
        weigh(auditor, weights, 0)
        rate(auditor, 2)
        recorder.begin_batch()
        rate(auditor)
        recorder.use_batch()
        weigh(auditor, weights, 1)
        recorder.settle()
        auditor.log_dir.rename(away)
        # This one is committed, and what comes after it is lost.
        rate(auditor, 3)
        recorder.settle()
        rate(auditor, 5)
        away.rename(auditor.log_dir)
        rate(auditor, 1)
        for step in (2, 3, 4):
            recorder.use_batch()
            weigh(auditor, weights, step)
    updates = [event["event_data"] for event in events(auditor, "policy.update")]
    # Of the weights after the gap, the first are where the next update starts from.
    assert [update["step"] for update in updates] == [1, 3, 4]
    assert [update["learned_from"]["annotations"] for update in updates] == [6, 10, 10]
    assert {update["learned_from"]["first"] for update in updates} == {1}
    check_gap(auditor, "annotations")


def test_another_log_in_the_folder_is_not_gone_on_with(auditor, tmp_path):
    away = tmp_path / "away"

    def finds_another_log():
        with auditor.track_training("run"):
            auditor.log_dir.rename(away)
            rate(auditor)
            auditor._tracking.recorder.settle()
            AuditableRLHF("tiny", base_dir=tmp_path)._open(auditor.log_dir).close()
            assert rate(auditor).count == 0

    with pytest.warns(UserWarning, match="no end in the log"):
        finds_another_log()
    assert not events(auditor)


def test_the_other_ranks_go_on_as_well(auditor, tmp_path, monkeypatch):
    away = tmp_path / "away"
    for name, value in [("RANK", "0"), ("WORLD_SIZE", "2")]:
        monkeypatch.setenv(name, value)
    with auditor.track_training("run"):
        monkeypatch.setenv("RANK", "1")
        other = AuditableRLHF("tiny", base_dir=tmp_path, on_record_failure="continue_with_gap")
        with other.track_training("run"):
            assert rate(other).count == 4
            auditor.log_dir.rename(away)
            auditor._tracking.recorder.settle()
            rate(auditor)
            auditor._tracking.recorder.settle()
            assert rate(other) == audit.Logged(None, 0)
            other._tracking.recorder.numbers(1, {"loss": 1.0}, "scalars")
            other._tracking.recorder.join()
            away.rename(auditor.log_dir)
            assert rate(other).count == 4
            # Rank 0 goes away for good: its log cannot take anything more.
            auditor._tracking.owner.finish(False)
            assert rate(other).count == 0
            monkeypatch.setattr("warnings.warn", lambda *_, **__: None)
    assert check_gap(auditor)["lost"] == {"annotations": 8, "metrics": 1}


def test_mistakes_are_not_forgiven(auditor):
    with auditor.track_training("run"):
        with pytest.raises(audit.BadInput, match="`response` is empty"):
            auditor.log_annotations(["p"], [""], ["a"], [1.0])
        with pytest.raises(audit.BadInput, match="nowhere"):
            auditor.checkpoint(epoch=1, path="nowhere")
        values = np.zeros(4, dtype=np.float32)
        weigh(auditor, values, 1)
    assert not events(auditor, "incident")
