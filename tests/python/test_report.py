"""The regulatory report, without PyTorch."""

import json
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest
import rlhf_audit_trail as audit
from rlhf_audit_trail import AuditableRLHF, PrivacyConfig
from rlhf_audit_trail._engine import report_sections
from safetensors.numpy import save_file

from test_package import PROMPT, events, rate, verdict


def today():
    return datetime.now(timezone.utc).date()


@pytest.fixture
def auditor(tmp_path):
    """One with a run: seven ratings, a checkpoint, a round, a grant."""
    config = PrivacyConfig(total_epsilon=9.0, epsilon_per_round=1.0, reward_range=(0, 6))
    auditor = AuditableRLHF("a|b", config, base_dir=tmp_path)
    weights = tmp_path / "model.safetensors"
    save_file({"w": np.arange(300, dtype=np.float32)}, weights)
    with auditor.track_training("run"):
        rate(auditor, 7)
        auditor.release_round()
        auditor.checkpoint(epoch=5, metrics={"accuracy": 0.75}, path=weights)
    auditor.add_external_auditor("inspector@example.org")
    return auditor


def report(auditor, *sections, start=None, end=None):
    return auditor.generate_regulatory_report(
        start_date=start or today() - timedelta(days=1),
        end_date=end or today(),
        include_sections=sections or None,
    )


def test_every_number_points_at_its_evidence(auditor):
    found = report(auditor)
    assert list(found.sections) == report_sections()
    assert found.statement("annotations.count")["value"] == 7
    assert found.statement("model.name", "until_end")["value"] == "a|b"
    spent = found.statement("privacy.spent")
    assert spent["kind"] == "recomputed" and spent["value"] > 0
    (measured,) = (
        statement
        for statement in found.sections["evaluation"]["statements"]
        if statement["id"].startswith("metrics.")
    )
    assert measured["kind"] == "asserted"
    assert measured["value"] == {"checkpoint": "epoch_5", "metrics": {"accuracy": 0.75}}
    (pointer,) = measured["evidence"]
    assert events(auditor, "checkpoint")[0]["index"] == pointer["entry"]
    # As the card, which speaks of all there is, has it.
    card = auditor.generate_model_card()
    for section in found.sections.values():
        for statement in section["statements"]:
            assert statement["kind"] in ("recomputed", "committed", "asserted")
            assert statement["evidence"] and statement["title"]
            if statement["id"] not in ("events.count", "events.types"):
                claimed = card.claim(statement["id"])
                if statement["id"] != "privacy.spent":
                    assert statement["value"] == claimed, statement["id"]
    unsupported = " ".join(found.sections["bias"]["not_supported"])
    assert "Who the annotators are is not in the log" in unsupported
    assert "No evaluation was logged" in unsupported


def test_its_digest_is_in_the_log_and_it_is_saved_in_two_forms(auditor, tmp_path):
    found = report(auditor, "privacy", "safety")
    assert list(found.sections) == ["privacy", "safety"]
    (logged,) = events(auditor, "report")
    assert logged["index"] == found.entry
    assert logged["event_data"]["sha256"] == f"sha256:{found.sha256}"
    assert logged["event_data"]["size"] == found.as_of["size"] == found.entry
    assert logged["event_data"]["sections"] == ["privacy", "safety"]
    kept = auditor.log_dir / "reports" / f"{found.sha256}.json"
    assert kept.read_bytes() == found.content
    found.save(tmp_path / "report.json")
    found.save(tmp_path / "report.md")
    assert json.loads((tmp_path / "report.json").read_text()) == found.to_dict()
    assert (tmp_path / "report.md").read_text().startswith("# Regulatory report\n")
    with pytest.raises(audit.BadInput, match=r"\.json or \.md"):
        found.save(tmp_path / "report.pdf")
    assert PROMPT not in found.markdown and "annotator_1" not in found.markdown
    assert verdict(auditor.log_dir)["verdict"] == "self-consistent"


def test_a_period_is_given_in_any_of_these_ways_and_holds_both_ends(auditor):
    now = datetime.now(timezone.utc)
    day, whole = today(), report(auditor, "records").period
    assert whole["to"] == f"{day}T23:59:59.999999Z"
    for start, end in [
        (str(day), str(day)),
        (datetime(day.year, day.month, day.day), now + timedelta(minutes=1)),
        (f"{day}T00:00:00Z", f"{day}T23:59:59+00:00"),
    ]:
        period = report(auditor, "records", start=start, end=end).period
        assert period["from"] == f"{day}T00:00:00Z"
        assert period["entries"] >= whole["entries"]
    first = min(
        event["timestamp"] for event in events(auditor) if event["event_type"] == "annotation"
    )
    # The very time of the annotations, and nothing else.
    (only,) = report(auditor, "provenance", start=first, end=first).sections.values()
    assert {s["id"]: s["value"] for s in only["statements"]}["annotations.count"] == 7
    elsewhere = now.astimezone(timezone(timedelta(hours=5)))
    other = report(auditor, "records", start=elsewhere - timedelta(hours=1), end=elsewhere)
    assert other.period["to"].startswith(f"{now:%Y-%m-%dT%H:%M:%S}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"start": "2020-02-02", "end": "2020-01-01"}, "ends before it begins.*swap the two"),
        ({"start": "2020-01-01", "end": "2020-02-02"}, "no entry of this log lies between"),
        ({"start": date(1960, 1, 1)}, "start_date must not lie before 1970"),
        ({"start": "soon"}, "start_date must be a date or a time"),
        ({"start": "2026-02-31"}, "start_date must be a date or a time"),
        ({"end": 20260101}, "end_date must be a date or a time"),
        ({"sections": ["ethics"]}, "no section `ethics`; the sections are records, provenance"),
        ({"sections": ["privacy", 5]}, r"include_sections\[1\] must be one of records"),
        ({"sections": "privacy"}, "include_sections must be a list"),
    ],
)
def test_what_cannot_be_reported_on_is_refused_in_a_sentence(auditor, given, words):
    sections = given.pop("sections", None)
    dates = {"start": today(), "end": today()} | given
    with pytest.raises(audit.BadInput, match=words):
        auditor.generate_regulatory_report(dates["start"], dates["end"], sections)
    with pytest.raises(audit.BadInput, match="would have no section"):
        auditor.generate_regulatory_report(today(), today(), [])
    assert events(auditor, "report") == []


def test_the_two_standards_give_the_card_there_is(auditor):
    cards = [
        auditor.generate_model_card(format=name)
        for name in ("json", "eu_standard", "nist_standard")
    ]
    assert cards[0] == cards[1] == cards[2]
