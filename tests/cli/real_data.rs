//! The 2,312 pairs of the Anthropic HH-RLHF harmlessness test set. Their text is never shown, because
//! much of it is offensive.

use end_to_end::{Work, checkout, skip};
use serde_json::json;

#[test]
fn real_annotations_go_the_whole_way() {
    let file = checkout().join("../shared/data/hh-rlhf-harmless-test.jsonl.gz");
    if !file.exists() {
        skip("hh-rlhf-harmless-test.jsonl.gz is not in ../shared/data");
        return;
    }
    let work = Work::with_log();
    let logged = work.json(&format!("log annotations log {}", file.display()));
    assert_eq!(logged["logged"], 2312);
    work.json("run end log");
    let evidence = work.json("evidence log -o a.evidence");
    // Two commitments and a vote each: less than 300 bytes, whatever the text's length.
    assert!(evidence["bytes"].as_u64().unwrap() < 2312 * 300, "{evidence}");

    let report = work.report("a.evidence --policy policy", 0);
    assert_eq!(report["verdict"], "signed");
    assert_eq!(report["entries"]["complete"], true);
    assert_eq!(
        report["entries"]["types"],
        json!({"run.start": 1, "annotation": 2312, "run.end": 1, "card": 1})
    );
    let claims = report["card"]["claims"].as_array().unwrap();
    let preferences = claims.iter().find(|claim| claim["id"] == "annotations.preferences").unwrap();
    assert_eq!(
        (&preferences["value"], &preferences["status"]),
        (&json!(2312), &json!("established"))
    );
    for target in ["a.evidence", "log"] {
        assert_eq!(work.report(target, 4)["root"], report["root"]);
    }
}
