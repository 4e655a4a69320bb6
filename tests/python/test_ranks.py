"""Several processes in one log: rank 0 owns it, the others attach."""

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import rlhf_audit_trail as audit
from rlhf_audit_trail import AuditableRLHF, _attached, _frames, _meeting, _owner

from test_package import events, verdict

EACH = """
import os, sys, time
from rlhf_audit_trail import AuditableRLHF
rank = int(os.environ["RANK"])
# Who comes late is waited for.
time.sleep(0.3 * rank)
auditor = AuditableRLHF("tiny", base_dir=sys.argv[1], rank_timeout=30)
with auditor.track_training("run"):
    for i in range(5):
        ids = [f"{i} {j} of rank {rank}" for j in range(4)]
        logged = auditor.log_annotations(["p"] * 4, ["r"] * 4, ids, [1.0] * 4)
        assert logged.count == 4
        auditor._tracking.recorder.numbers(i, {"loss": rank + i / 8}, "scalars")
    if len(sys.argv) > 2 and rank == int(sys.argv[3]):
        print("ready", flush=True)
        exec(sys.argv[2])
"""


def start(rank, folder, *more, world=3, script=EACH):
    environment = os.environ | {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_PORT": "1"}
    arguments = [sys.executable, "-c", script, folder, *map(str, more)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(arguments, env=environment, text=True, **pipes)


def ended_well(*processes):
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


def per_annotator(auditor):
    """How many judgements there are under each pseudonym."""
    return Counter(e["event_data"]["annotator_id"] for e in events(auditor, "annotation"))


@pytest.fixture
def auditor(tmp_path):
    made = AuditableRLHF(model_name="tiny", base_dir=tmp_path)
    made._dir = tmp_path / "run"
    return made


@pytest.fixture
def be(monkeypatch, tmp_path):
    """Makes an auditor of a rank, the way torchrun has it."""

    def rank(number, world=2, **settings):
        for name, value in [("RANK", number), ("WORLD_SIZE", world), ("MASTER_PORT", 1)]:
            monkeypatch.setenv(name, str(value))
        return AuditableRLHF("tiny", base_dir=tmp_path, **({"rank_timeout": 10} | settings))

    return rank


def rate(auditor, ids):
    return auditor.log_annotations(["p"] * len(ids), ["r"] * len(ids), ids, [1.0] * len(ids))


def test_what_every_rank_logs_is_in_one_log_and_none_twice(auditor, tmp_path):
    ended_well(*(start(rank, tmp_path) for rank in (2, 1, 0)))
    counts = per_annotator(auditor)
    assert len(counts) == 60 and set(counts.values()) == {1}
    numbers = [event["event_data"] for event in events(auditor, "metric")]
    told = sorted((number.get("rank", 0), number["step"]) for number in numbers)
    assert told == [(rank, step) for rank in range(3) for step in range(5)]
    assert all(n["metrics"]["loss"] == n.get("rank", 0) + n["step"] / 8 for n in numbers)
    kinds = Counter(event["event_type"] for event in events(auditor))
    assert kinds == {"run.start": 1, "annotation": 60, "metric": 15, "run.end": 1}
    assert events(auditor, "run.start")[0]["event_data"]["ranks"] == 3
    assert events(auditor, "run.end")[0]["event_data"]["outcome"] == "completed"
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"
    assert not _meeting.meeting_file(auditor.log_dir).exists()


@pytest.mark.parametrize("side", [_owner, _attached])
def test_a_lost_connection_loses_and_doubles_nothing(auditor, be, monkeypatch, side):
    """Of the messages some are lost with their connection, and some arrive with their connection lost."""
    dice, lost = random.Random(7), []

    class Fragile(_frames.Channel):
        def send(self, message):
            chance = 0.0 if "token" in message else dice.random()
            if chance < 0.75:
                super().send(message)
            if chance > 0.5:
                lost.append(message)
                self.shut()
                raise ConnectionError("lost")

    with be(0).track_training("run"):
        other = be(1)
        monkeypatch.setattr(side, "Channel", Fragile)
        with other.track_training("run"):
            for i in range(20):
                assert rate(other, [f"{i} {j}" for j in range(3)]).count == 3
                for half in range(2):
                    numbers = {"loss": float("nan")}
                    other._tracking.recorder.numbers(2 * i + half, numbers, "scalars")
    assert len(lost) > 8
    counts = per_annotator(auditor)
    assert len(counts) == 60 and set(counts.values()) == {1}
    steps = [event["event_data"]["step"] for event in events(auditor, "metric")]
    assert steps == list(range(40))


def test_a_rank_that_dies_is_an_incident_and_loses_nothing_acknowledged(auditor, be, tmp_path):
    with be(0).track_training("run") as first:
        other = start(1, tmp_path, "os.kill(os.getpid(), 9)", 1, world=2)
        assert other.wait(60) == -signal.SIGKILL, other.communicate()
        rate(first, ["rank 0"])
        deadline = time.monotonic() + 10
        while first._tracking.owner._missing() and time.monotonic() < deadline:
            time.sleep(0.05)
    (incident,) = events(auditor, "incident")
    assert incident["event_data"]["document"] == {
        "rank": 1,
        "outcome": "went away without saying how",
    }
    assert len(per_annotator(auditor)) == 21
    assert events(auditor, "run.end")[0]["event_data"]["outcome"] == "completed"
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_a_rank_that_fails_says_how_it_ended(auditor, be):
    with be(0).track_training("run"):
        other = be(1)
        with pytest.raises(ZeroDivisionError), other.track_training("run"):
            rate(other, ["a"])
            1 / 0  # noqa: B018
    (incident,) = events(auditor, "incident")
    assert incident["event_data"]["title"] == "rank 1 of 2: failed: ZeroDivisionError"


def test_when_rank_0_dies_the_others_are_told_and_keep_what_was_acknowledged(auditor, be, tmp_path):
    first = start(0, tmp_path, "time.sleep(60)", 0, world=2)
    other = be(1)
    acknowledged = 0
    with pytest.raises(audit.RecordingFailed, match="rank 0, which owns the log, is gone"):  # noqa: SIM117
        with other.track_training("run"):
            first.stdout.readline()
            while True:
                acknowledged += rate(other, [f"{acknowledged}"]).count
                if acknowledged == 5:
                    # While more is under way.
                    threading.Timer(0.001, first.kill).start()
    assert first.wait(60) == -signal.SIGKILL
    assert acknowledged >= 5
    # The next owner takes up the same log, and clears away what the dead one has left.
    folder = Path(_meeting.announced(auditor.log_dir).socket).parent
    assert folder.is_dir()
    with be(0, rank_timeout=0.2).track_training("run"), be(1).track_training("run"):
        pass
    assert not folder.exists()
    # The one that was under way when it died may be there, unacknowledged.
    assert len(per_annotator(auditor)) in (20 + acknowledged, 21 + acknowledged)
    ends = [event["event_data"]["outcome"] for event in events(auditor, "run.end")]
    assert ends == ["unknown: the process ended without saying how", "completed"]
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_two_runs_on_one_host_do_not_meet(be, tmp_path):
    with be(0).track_training("one") as one, be(0).track_training("two") as two:
        for name in ("one", "two"):
            other = be(1)
            with other.track_training(name):
                rate(other, [f"{name} {i}" for i in range(len(name) + 2)])
                with pytest.raises(audit.BadInput, match="names a folder"):
                    other._folder("")
    assert [len(per_annotator(auditor)) for auditor in (one, two)] == [5, 5]


def test_a_rank_of_another_job_is_kept_out(be, monkeypatch):
    with be(0, rank_timeout=0.1).track_training("run"):
        other = be(1, rank_timeout=0.3)
        monkeypatch.setenv("MASTER_PORT", "2")
        with pytest.raises(audit.RecordingFailed, match="another job"), other.track_training("run"):
            pass
        monkeypatch.setenv("MASTER_PORT", "1")
        named = AuditableRLHF("another", base_dir=other.base_dir)
        with pytest.raises(audit.BadInput, match="name the same one"), named.track_training("run"):
            pass
        monkeypatch.setenv("GROUP_RANK", "1")
        with pytest.raises(audit.Unsupported, match="another host"), other.track_training("run"):
            pass
        monkeypatch.delenv("GROUP_RANK")
        with be(1).track_training("run"):
            pass


def test_without_an_owner_a_rank_waits_and_says_what_is_missing(be):
    other = be(1, rank_timeout=0.2)
    with pytest.raises(audit.RecordingFailed, match="found no owner.*nobody has opened it.*rank 0"):  # noqa: SIM117
        with other.track_training("run"):
            pass
    assert not other.base_dir.joinpath("run").exists()
    with pytest.raises(audit.BadInput, match="RANK must be a whole number"):  # noqa: SIM117
        with be("first").track_training("run"):
            pass


def test_who_never_attaches_is_named(be):
    with pytest.warns(UserWarning, match=r"ranks \[1, 2\] never attached"):  # noqa: SIM117
        with be(0, world=3, rank_timeout=0.1).track_training("run"):
            pass


def test_nobody_else_gets_to_the_socket(be, monkeypatch, tmp_path):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with be(0, rank_timeout=0.1).track_training("run") as first:
        meeting = _meeting.announced(first.log_dir)
        assert meeting.token not in repr(meeting)
        path = Path(meeting.socket)
        assert len(meeting.socket) < 100
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(_meeting.meeting_file(first.log_dir).stat().st_mode) == 0o600
        hello = {"rank": 1, "session": "s", "job": meeting.job, "model": "tiny"}
        for said in [hello | {"token": "0" * 64}, hello, {"token": meeting.token}, [], None]:
            stranger = socket.socket(socket.AF_UNIX)
            stranger.settimeout(10)
            stranger.connect(meeting.socket)
            content = b"\xff\xff\xff\xff" if said is None else json.dumps(said).encode()
            stranger.sendall(len(content).to_bytes(4, "big") + content)
            if said is None:
                stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(1) == b""
            stranger.close()
        other = be(1)
        with other.track_training("run"):
            assert rate(other, ["a"]).count == 1
    assert not path.parent.exists()


def test_what_another_rank_cannot_do(be):
    with be(0).track_training("run") as first:
        other = be(1)
        with other.track_training("run"):
            with pytest.raises(audit.BadInput, match="`response` is empty"):
                other.log_annotations(["p"], [""], ["a"], [1.0])
            for call in (other.release_round, other.generate_model_card):
                with pytest.raises(audit.Unsupported, match="rank 1 does not own the log"):
                    call()
            saved = other.checkpoint(epoch=1, path="anywhere", metrics={"accuracy": 0.5})
            assert saved == audit.Checkpoint("epoch_1", None, None)
            child = os.fork()
            if child == 0:
                try:
                    rate(other, ["a"])
                    os._exit(1)
                except audit.RecordingFailed:
                    os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            rate(other, ["a"])
        with pytest.raises(audit.Unsupported, match="rank 1 does not own the log"):
            other.write_evidence("nowhere")
    (number,) = events(first, "metric")
    assert number["event_data"]["rank"] == 1
    assert number["event_data"]["metrics"] == {"accuracy": 0.5}
    assert not events(first, "incident")


def test_who_logs_after_the_run_has_ended_is_told(be):
    with pytest.raises(audit.RecordingFailed, match="rank 0 has ended the run"):  # noqa: SIM117
        with be(0, rank_timeout=0.1).track_training("run") as first:
            other = be(1)
            block = other.track_training("run")
            block.__enter__()
            first._tracking.owner.finish(False)
            rate(other, ["a"])
    assert not events(first, "annotation")
