"""Values released one by one: what training gets from the package, and what the log says of it."""

import json
import os
import statistics
import subprocess
import sys

import numpy as np
import pytest
import rlhf_audit_trail as audit
from rlhf_audit_trail import AuditableRLHF, PrivacyConfig

PEOPLE = 30


def moderate(**changed):
    given = {
        "annotator_privacy_mode": "moderate",
        "total_epsilon": 60.0,
        "epsilon_per_round": 10.0,
        "reward_range": (1, 5),
        "ratings_per_annotator": 2,
    }
    return PrivacyConfig(**(given | changed))


@pytest.fixture
def auditor(tmp_path):
    return AuditableRLHF("tiny", moderate(), base_dir=tmp_path)


def rate(auditor, count=PEOPLE, **changed):
    given = {
        "prompts": ["a prompt"] * count,
        "responses": [f"response {at}" for at in range(count)],
        "annotator_ids": [f"ann {at}" for at in range(count)],
        "rewards": [3.0] * count,
    }
    return auditor.log_annotations(**(given | changed))


def events(auditor, *kinds):
    return json.loads(audit._engine.read_events(auditor.log_dir, list(kinds)))


def program(*arguments, accept=(0,)):
    done = subprocess.run(
        [os.environ["RLHF_AUDIT"], *map(str, arguments), "--json"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in accept, done.stderr
    return json.loads(done.stdout)


def test_what_is_returned_is_what_was_released_in_the_order_given(auditor):
    with auditor.track_training("run"):
        ratings = rate(auditor)
        pairs = auditor.log_annotations(
            chosen=[f"better {at}" for at in range(PEOPLE)],
            rejected=[f"worse {at}" for at in range(PEOPLE)],
            annotator_ids=[f"ann {at}" for at in range(PEOPLE)],
        )
    assert (ratings.count, pairs.count) == (PEOPLE, PEOPLE)
    # A run's start, a round, the ratings, a round, the pairs.
    assert (ratings.first_index, pairs.first_index) == (2, PEOPLE + 3)
    in_log = [event["event_data"] for event in events(auditor, "annotation")]
    # The log holds them shuffled.
    released = [data["reward"] for data in in_log[:PEOPLE]]
    assert sorted(released) == sorted(ratings.released) and released != ratings.released
    assert len(set(ratings.released)) > PEOPLE // 2
    # About (hi - lo) times the root of two ratings over sqrt(2 rho); six standard errors are far from 0.
    assert statistics.stdev(ratings.released) > 1

    kept = [pair == (f"better {at}", f"worse {at}") for at, pair in enumerate(pairs.released)]
    turned = [pair == (f"worse {at}", f"better {at}") for at, pair in enumerate(pairs.released)]
    assert all(one != other for one, other in zip(kept, turned, strict=True))
    told = [data["preference"] for data in in_log[PEOPLE:]]
    assert set(told) <= {"a", "b"}
    assert "better" not in repr(pairs) and "released" not in repr(ratings)
    report = program("verify", auditor.log_dir, accept=(4,))
    assert report["verdict"] == "self-consistent"


def test_votes_are_turned_round_as_often_as_the_log_says(tmp_path):
    config = moderate(ratings_per_annotator=2000, total_epsilon=100.0, epsilon_per_round=100.0)
    auditor = AuditableRLHF("tiny", config, base_dir=tmp_path)
    with auditor.track_training("run"):
        pairs = auditor.log_annotations(
            chosen=["better"] * 2000, rejected=["worse"] * 2000, annotator_ids="ann"
        )
    data = events(auditor, "privacy.round")[0]["event_data"]
    truth = data["truth"] / data["truth_of"]
    kept = np.mean([pair == ("better", "worse") for pair in pairs.released])
    assert 0.5 < truth < 0.95
    assert abs(kept - truth) < 6 * np.sqrt(truth * (1 - truth) / 2000)


def test_a_batch_given_again_is_told_again_and_costs_nothing(auditor):
    with auditor.track_training("run"):
        auditor.track_policy_update(_Model(), metrics={"loss": 1.0})
        first = rate(auditor, batch="week 1")
        assert first.batch == "week 1"
    spent = auditor.get_privacy_report().total_epsilon
    with auditor.track_training("run"):
        again = rate(auditor, batch="week 1")
        with pytest.raises(audit.BadInput, match="with other annotations"):
            rate(auditor, rewards=[2.0] * PEOPLE, batch="week 1")
        assert rate(auditor, batch="week 2").released != first.released
    assert (again.released, again.first_index) == (first.released, first.first_index)
    assert len(events(auditor, "annotation")) == 2 * PEOPLE
    report = auditor.get_privacy_report()
    assert report.rounds == 2 and report.total_epsilon > spent > 0


class _Model:
    """Parameters without PyTorch: numbers are logged, no weights."""

    class _Parameter:
        class device:
            type = "cpu"

    def parameters(self):
        return [self._Parameter()]


def test_a_batch_beyond_the_budget_is_refused_before_anything_is_drawn(auditor):
    with auditor.track_training("run"):
        with pytest.raises(audit.PrivacyBudgetExceeded, match="epsilon 10 a round"):
            rate(auditor, 3, annotator_ids="ann")
        assert events(auditor, "annotation") == []
        while True:
            before = auditor.get_privacy_report()
            try:
                rate(auditor, 2, annotator_ids="ann")
            except audit.PrivacyBudgetExceeded as error:
                assert "ann" not in str(error).replace("annotator", "").replace("annotation", "")
                break
        assert auditor.get_privacy_report() == before
        assert before.remaining_rounds == 0
        # Somebody else goes on.
        rate(auditor, 2, annotator_ids="bob")
    with (
        pytest.raises(audit.BadInput, match="values are released one by one"),
        auditor.track_training("run"),
    ):
        auditor.release_round()


def test_the_report_says_the_logs_mode_and_is_that_of_the_program(auditor, tmp_path):
    with auditor.track_training("run"):
        rate(auditor)
        report = auditor.get_privacy_report()
    assert (report.mode, report.budget, report.delta, report.rounds) == ("moderate", 60, 1e-5, 1)
    assert 0 < report.total_epsilon < 60 and report.remaining_rounds > 0
    theirs = program("privacy", auditor.log_dir)
    assert report.report == theirs
    assert theirs["mechanism"].startswith("discrete Gaussian noise on each clipped rating")
    assert (
        auditor.generate_model_card().claim("privacy.mode").startswith("Noised ratings and votes")
    )
    for mode, config in [
        ("minimal", None),
        ("strong", PrivacyConfig(epsilon=4.0, reward_range=(1, 5))),
    ]:
        other = AuditableRLHF("tiny", config, base_dir=tmp_path)
        with other.track_training(mode):
            logged = rate(other)
        assert (logged.released, logged.batch) == (None, None)
        assert other.get_privacy_report().mode == mode
        assert other.get_privacy_report().report == program("privacy", other.log_dir)


def test_a_name_or_a_pair_without_an_annotator_is_refused_where_it_means_nothing(auditor, tmp_path):
    plain = AuditableRLHF("tiny", base_dir=tmp_path)
    with plain.track_training("plain"):
        with pytest.raises(audit.BadInput, match="moderate"):
            rate(plain, batch="week 1")
        assert rate(plain).released is None
    with (
        pytest.raises(audit.BadInput, match="from_released"),
        plain.track_training("x", from_released=True),
    ):
        pass
    with auditor.track_training("run"):
        with pytest.raises(audit.BadInput, match="annotator_id"):
            auditor.log_annotations(chosen=["a"], rejected=["b"])
        for name in ["", "two\nlines"]:
            with pytest.raises(audit.BadInput, match="one line of text"):
                rate(auditor, batch=name)
        with pytest.raises(audit.BadInput, match="batch must be a string"):
            rate(auditor, batch=7)
        assert rate(auditor).count == PEOPLE


def test_another_mode_is_another_promise(auditor, tmp_path):
    with auditor.track_training("run"):
        rate(auditor)
    strong = AuditableRLHF("tiny", moderate(annotator_privacy_mode="strong"), base_dir=tmp_path)
    with pytest.raises(audit.BadInput, match="something else"), strong.track_training("run"):
        pass


KILLED = """
import os, signal, sys
from rlhf_audit_trail import AuditableRLHF, PrivacyConfig
config = PrivacyConfig(
    annotator_privacy_mode="moderate", total_epsilon=60.0, epsilon_per_round=10.0, reward_range=(1, 5),
    ratings_per_annotator=2,
)
auditor = AuditableRLHF("tiny", config, base_dir=sys.argv[1])
with auditor.track_training("run"):
    logged = auditor.log_annotations(["p"] * 2, ["r", "s"], "ann", [1.0] * 2, batch="one")
    print(logged.released, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_was_told_is_told_to_the_next(auditor, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], capture_output=True, text=True, check=False
    )
    with auditor.track_training("run"):
        told = auditor.log_annotations(["p"] * 2, ["r", "s"], "ann", [1.0] * 2, batch="one")
    assert told.released == json.loads(killed.stdout), killed.stderr


def test_the_noise_multiplier_is_the_noise_over_what_one_annotator_can_move(tmp_path):
    config = moderate(epsilon_per_round=None, noise_multiplier=2.0, ratings_per_annotator=4)
    auditor = AuditableRLHF("tiny", config, base_dir=tmp_path)
    with auditor.track_training("run"):
        rate(auditor)
    data = events(auditor, "privacy.round")[0]["event_data"]
    deviation = data["variance"] ** 0.5 / data["steps_a_unit"]
    assert deviation == pytest.approx(2.0 * 4 * 4**0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"total_epsilon": None}, "'moderate' needs a budget"),
        ({"epsilon": 3.0}, "two names of one budget"),
        ({"total_epsilon": 0}, "must be above 0"),
        ({"total_epsilon": float("nan")}, "must be above 0"),
        ({"total_epsilon": "4"}, "must be above 0"),
        ({"epsilon_per_round": 61.0}, "not more than the budget"),
        ({"epsilon_per_round": 0}, "must cost more than 0"),
        ({"epsilon_per_round": "1"}, "must be a number"),
        ({"epsilon_per_round": 0.1, "noise_multiplier": 1.0}, "more than epsilon_per_round"),
        ({"noise_multiplier": float("nan")}, "noise_multiplier must be a number above 0"),
        ({"noise_multiplier": 0.01, "epsilon_per_round": None}, "not more than the budget"),
        ({"delta": 0}, "delta must be"),
        ({"delta": 1.0}, "delta must be"),
        ({"delta": float("nan")}, "delta must be"),
        ({"reward_range": None}, "'moderate' needs bounds"),
        ({"reward_range": (5, 1)}, "the lower one first"),
        ({"reward_range": (1, 2, 3)}, "two finite numbers"),
        ({"reward_range": (1, float("inf"))}, "two finite numbers"),
        ({"clip_norm": 1.0}, "give one"),
        ({"ratings_per_annotator": 0}, "whole number above 0"),
        ({"ratings_per_annotator": 2.5}, "whole number above 0"),
    ],
)
def test_a_promise_that_contradicts_itself_is_refused(changed, words):
    with pytest.raises(audit.BadInput, match=words):
        moderate(**changed)
