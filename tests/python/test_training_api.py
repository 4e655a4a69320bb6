"""The API as its documentation shows it: block by block, with small models and few epochs."""

from datetime import datetime, timezone

import pytest
import torch
from rlhf_audit_trail import AuditableRLHF, PrivacyConfig

from tiny import llama

EPOCHS, MANY = 3, 8


@pytest.fixture
def auditor(tmp_path, monkeypatch):
    """After the first block: an auditor that has tracked a training."""
    monkeypatch.setenv("RLHF_AUDIT_DIR", str(tmp_path))
    model = llama()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    prompts = [f"prompt {i}" for i in range(MANY)]
    responses = [f"response {i}" for i in range(MANY)]
    annotator_ids = [f"annotator_{i % 3}" for i in range(MANY)]

    auditor = AuditableRLHF(
        model_name="example/tiny-chat",
        privacy_config=PrivacyConfig(epsilon=1.0, delta=1e-5, clip_norm=1.0),
        storage_backend="local",
        compliance_mode="eu_ai_act",
    )
    with auditor.track_training(experiment_name="safety_alignment_v2"):
        for epoch in range(EPOCHS):
            rewards = torch.rand(MANY)
            annotations = auditor.log_annotations(
                prompts=prompts, responses=responses, annotator_ids=annotator_ids, rewards=rewards
            )
            batch = {"input_ids": torch.randint(3, 300, (MANY, 8))}
            loss = model(**batch, labels=batch["input_ids"]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            auditor.track_policy_update(model=model, optimizer=optimizer, batch=batch)
            auditor.checkpoint(epoch=epoch, metrics={"loss": loss, "reward": rewards.mean()})
            assert annotations.count == MANY
    return auditor


def test_a_model_card(auditor):
    model_card = auditor.generate_model_card(
        include_provenance=True, include_privacy_analysis=True, format="eu_standard"
    )
    assert model_card.claim("annotations.count") == EPOCHS * MANY
    assert model_card.claim("checkpoints.count") == EPOCHS
    other = auditor.generate_model_card(format="nist_standard")
    assert other.content == model_card.content


def test_what_was_spent_of_the_budget(auditor):
    privacy_report = auditor.get_privacy_report()
    assert f"Total epsilon spent: {privacy_report.total_epsilon}" == "Total epsilon spent: 0.0"
    assert f"Remaining budget: {privacy_report.remaining_budget}" == "Remaining budget: 1.0"


def test_a_budget_by_round(tmp_path):
    privacy_config = PrivacyConfig(
        epsilon_per_round=2.0,
        total_epsilon=10.0,
        noise_multiplier=3.0,
        annotator_privacy_mode="strong",
        clip_norm=1.0,
    )
    auditor = AuditableRLHF("tiny", privacy_config, base_dir=tmp_path)
    with auditor.track_training("run"):
        auditor.log_annotations(["p"], ["r"], "ann", [0.5])
        auditor.release_round()
    assert 0 < auditor.get_privacy_report().total_epsilon <= 2.0


def test_provenance(auditor):
    verification = auditor.verify_provenance(
        start_checkpoint="epoch_0", end_checkpoint=f"epoch_{EPOCHS - 1}"
    )
    assert verification.is_valid
    assert len(f"{verification.merkle_root}") == 64
    assert verification.chain_verification.updates == 0


def test_auditors_and_what_regulators_get(auditor):
    auditor.add_external_auditor(
        auditor_id="eu_regulatory_body",
        access_level="read_only",
        scope=["model_cards", "aggregate_stats"],
    )
    audit_report = auditor.generate_regulatory_report(
        start_date="2025-01-01",
        end_date=datetime.now(timezone.utc).date().isoformat(),
        include_sections=["privacy", "bias", "safety"],
    )
    assert list(audit_report.sections) == ["privacy", "bias", "safety"]
    assert audit_report.statement("annotations.count")["value"] == EPOCHS * MANY
    assert audit_report.statement("privacy.promise", "until_end")["value"]["epsilon"] == 1.0
