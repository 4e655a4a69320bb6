//! Keys that hand over, with an independent date for it: a real public log and real time stamps.

use std::process::Stdio;
use std::time::{Duration, Instant};

use end_to_end::services::{Rekor, Tools, TrustedRoot, Tsa, Window};
use end_to_end::{Work, ratings};
use serde_json::{Value as Json, json};

pub struct Scene {
    pub work: Work,
    rekor: Rekor,
    tsa: Tsa,
}

impl Scene {
    /// A log that is published once, and the policy that somebody took then.
    fn set() -> Option<Self> {
        Self::with("")
    }

    /// The same, made with more options.
    pub fn with(options: &str) -> Option<Self> {
        let tools = Tools::find()?;
        let work = Work::empty();
        work.json(&format!("init log --model tiny --origin log.example/tiny {options}"));
        let scene =
            Self { work, rekor: Rekor::start(&tools, "rekor.localhost"), tsa: Tsa::start() };
        let root =
            TrustedRoot::default().log(&scene.rekor, Window::OPEN).tsa(&scene.tsa, Window::OPEN);
        root.write(&scene.work.path("root.json"));
        scene.grow();
        scene.publish();
        scene.work.copy("log/policy", "first");
        Some(scene)
    }

    pub fn grow(&self) {
        self.work.write("ratings.jsonl", ratings(3));
        self.work.json("log annotations log ratings.jsonl");
    }

    /// Publishes the log with its card, so that evidence adds nothing that is not public.
    pub fn publish(&self) {
        self.work.json("card log -o card.json");
        self.work.json(&self.typed());
    }

    fn typed(&self) -> String {
        let (rekor, tsa) = (self.rekor.url(), self.tsa.url());
        format!("publish log --rekor {rekor} --tsa {tsa} --trusted-root root.json")
    }

    /// Runs a command beside others that write to the log, as soon as they let it.
    fn patiently(&self, typed: &str) -> Json {
        for _ in 0..300 {
            let answer = self.work.run(&format!("{typed} --json"));
            if answer.status == Some(0) {
                return answer.json();
            }
            assert!(answer.stderr.contains("another process"), "{answer:#?}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{typed}: never let in");
    }

    /// The key of a role that signs now.
    fn active(&self, role: &str) -> Json {
        let list = self.work.json("keys list log")["keys"].clone();
        let mut keys = list.as_array().unwrap().iter();
        let key = keys.find(|key| key["role"] == role && key["state"] == "active").unwrap();
        key["fingerprint"].clone()
    }

    /// Who took the first policy, and has since heard that a key was stolen at some time.
    fn suspects(&self, key: &Json, since: &str) {
        let required = json!({"v": 1, "compromised": [{"key": key, "since": since}]});
        self.work.write("first/requirements.json", required.to_string());
    }

    /// Looks once with the first policy.
    fn look(&self, status: i32) -> Json {
        let rekor = self.rekor.url();
        let looked = format!(
            "monitor log --policy first --state state --once --json --grace 0s --rekor {rekor}"
        );
        self.work.run(&looked).ended(status).json()
    }

    /// This must be wrong, and shown by the event that is.
    fn wrong(&self, kind: &str, what: &str) {
        let report = self.look(1);
        let finding = &report["findings"][0];
        assert_eq!(finding["kind"], kind, "{report:#}");
        assert!(finding["what"].as_str().unwrap().contains(what), "{report:#}");
        let evidence = self.work.path(finding["evidence"].as_str().unwrap());
        assert!(evidence.join("handover.tlog-proof").is_file(), "{finding}");
        assert_eq!(self.look(1)["findings"], report["findings"], "the same at every look");
    }

    fn report(&self, status: i32) -> Json {
        self.work.json("evidence log -o a.evidence");
        let folder = self.work.report("log --policy first", status);
        let file = self.work.report("a.evidence --policy first", status);
        assert_eq!(folder["handovers"], file["handovers"]);
        folder
    }
}

fn reason(report: &Json, name: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name).unwrap();
    found["reason"].as_str().unwrap().to_owned()
}

fn says(report: &Json, words: &str) -> bool {
    let list = report["established"].as_array().unwrap();
    list.iter().any(|line| line.as_str().unwrap().contains(words))
}

#[test]
fn a_stolen_log_key_leads_on_only_from_a_head_that_was_public_before() {
    let Some(scene) = Scene::set() else { return };
    let old = scene.work.json("keys list log")["keys"][0]["fingerprint"].clone();
    let rotated = scene.work.json("keys rotate log")["rotated"][0].clone();
    // Not published yet: the handover has no date.
    scene.suspects(&old, "2099-01-01");
    assert!(reason(&scene.report(1), "keys").contains("not shown to have been public before"));
    scene.publish();
    scene.grow();
    scene.publish();
    let report = scene.report(0);
    let handover = &report["handovers"][0];
    assert_eq!((&handover["head"], &handover["holds"]), (&rotated["head"], &json!(true)));
    assert!(handover["public"].is_string(), "{handover}");
    assert!(says(
        &report,
        &format!(
            "handed over in entry {} (head of size {}, public since",
            rotated["entry"], rotated["head"]
        )
    ));
    assert!(
        report["verdict_text"]
            .as_str()
            .unwrap()
            .starts_with("Signed by a successor of the key you chose; public since")
    );
    // The theft was earlier than the handover: it may be the thief's.
    scene.suspects(&old, "2020-01-01");
    assert!(reason(&scene.report(1), "policy.signer").contains("another channel"));
    // The key that signs now was stolen after all that it signed was public.
    scene.suspects(&rotated["fingerprint"], "2099-01-01T00:00:00Z");
    assert_eq!(scene.work.report("log --policy first", 0)["verdict"], "public");
    scene.suspects(&rotated["fingerprint"], "2020-01-01");
    scene.work.report("log --policy first", 1);
}

#[test]
fn a_new_publishing_key_signs_once_the_old_one_has_published_it() {
    let Some(scene) = Scene::set() else { return };
    let state = |scene: &Scene| -> Vec<String> {
        let list = scene.work.json("keys list log");
        let keys = list["keys"].as_array().unwrap().iter();
        let of_role = keys.filter(|key| key["role"] == "publisher");
        of_role.map(|key| key["state"].as_str().unwrap().to_owned()).collect()
    };
    let old = scene.work.json("keys list log")["keys"][1]["fingerprint"].clone();
    let rotated = scene.work.json("keys rotate log --role publisher")["rotated"][0].clone();
    assert_eq!(
        (&rotated["pending"], state(&scene)),
        (&json!(true), vec!["active".into(), "pending".into()])
    );
    assert!(scene.work.refused("keys rotate log --role publisher").contains("waits already"));
    scene.publish();
    scene.grow();
    scene.publish();
    assert_eq!(state(&scene), ["superseded", "active"]);

    let report = scene.report(0);
    // The old key published the head over the entry, the new one whatever came after it.
    let anchors = report["anchors"].as_array().unwrap();
    let new = &rotated["fingerprint"];
    assert!(
        anchors.iter().map(|anchor| &anchor["publisher"]).eq([&old, &old, new, new]),
        "{anchors:#?}"
    );
    assert_eq!(report["handovers"][0]["role"], "publisher");
    assert_eq!(report["handovers"][0]["new"], rotated["fingerprint"]);
    assert!(reason(&report, "anchors").contains("handed over"));
    assert_eq!(scene.work.report("log --policy first", 0)["verdict"], "public");
    scene.work.report("log --policy log/policy", 0);

    // What a thief may have published dates nothing, and hands over nothing.
    scene.suspects(&old, "2020-01-01");
    assert!(reason(&scene.report(1), "anchors").contains("does not verify"));
    scene.suspects(&rotated["fingerprint"], "2020-01-01");
    let report = scene.work.report("log --policy first", 0);
    assert_eq!(
        (&report["anchors"][3]["public"], &report["verdict"]),
        (&Json::Null, &json!("signed"))
    );
}

#[test]
fn keys_change_hands_beside_rounds_of_publishing() {
    let Some(scene) = Scene::set() else { return };
    let typed = format!("{} --every 1s", scene.typed());
    let mut rounds = scene.work.command(&typed).stdout(Stdio::null()).spawn().unwrap();
    scene.work.write("ratings.jsonl", ratings(2));
    let mut retired = Vec::new();
    for role in ["log", "publisher", "log", "publisher"] {
        let old = scene.active(role);
        let new = scene.patiently(&format!("keys rotate log --role {role}"))["rotated"][0].clone();
        scene.patiently("log annotations log ratings.jsonl");
        let since = Instant::now();
        while scene.active(role) != new["fingerprint"] {
            assert!(since.elapsed().as_secs() < 60, "the {role} key never took over");
            assert!(rounds.try_wait().unwrap().is_none(), "the rounds go on");
            std::thread::sleep(Duration::from_millis(100));
        }
        let entry = scene.patiently(&format!("keys retire log {}", old.as_str().unwrap()));
        scene.patiently("log annotations log ratings.jsonl");
        retired.push((old, entry["entry"].as_u64().unwrap()));
    }
    rounds.kill().unwrap();
    rounds.wait().unwrap();
    scene.publish();

    let report = scene.report(0);
    let anchors = report["anchors"].as_array().unwrap();
    let numbers =
        |name: &str| anchors.iter().map(|a| a[name].as_u64().unwrap()).collect::<Vec<_>>();
    let all: Vec<u64> = (0..anchors.len() as u64).collect();
    assert_eq!((numbers("sequence"), numbers("index")), (all.clone(), all));
    for anchor in anchors {
        let size = anchor["size"].as_u64().unwrap();
        let by_retired = |(key, entry): &&(Json, u64)| *key == anchor["publisher"] && size > *entry;
        assert_eq!(retired.iter().find(by_retired), None, "{anchor:#}");
    }
    let handovers = report["handovers"].as_array().unwrap();
    assert!(handovers.len() == 4 && handovers.iter().all(|h| h["holds"] == true), "{handovers:#?}");
    assert_eq!(scene.work.report("log --policy first", 0)["verdict"], "public");
}

/// The n-th line of a file that begins so is left out.
fn without_line(text: &str, start: char, n: usize) -> String {
    let of_kind = text.match_indices(&format!("\n{start}")).nth(n).unwrap().0 + 1;
    let end = of_kind + text[of_kind..].find('\n').unwrap() + 1;
    format!("{}{}", &text[..of_kind], &text[end..])
}

#[test]
fn a_watcher_who_has_the_first_keys_is_led_to_the_last() {
    let Some(scene) = Scene::set() else { return };
    scene.look(0);
    let log = scene.work.json("keys rotate log")["rotated"][0].clone();
    let publisher = scene.work.json("keys rotate log --role publisher")["rotated"][0].clone();
    scene.publish();
    scene.grow();
    scene.publish();
    let report = scene.look(0);
    let changes = report["changes"].to_string();
    for key in [&log, &publisher] {
        let said = format!("handed over to {} in entry {}", short(key), key["entry"]);
        assert!(changes.contains(&said), "{said}: {report:#}");
    }
    let new = report["handovers"].as_array().unwrap().iter();
    let new: Vec<&Json> = new.map(|handover| &handover["new_fingerprint"]).collect();
    assert_eq!(new, [&log["fingerprint"], &publisher["fingerprint"]]);
    // Both publishing keys were looked for, the second from the entry on at which it was first heard of.
    let coverage = &report["coverage"][0];
    let from = coverage["keys"].as_object().unwrap();
    assert_eq!((from.len(), &from[publisher["fingerprint"].as_str().unwrap()]), (2, &json!(1)));
    assert_eq!(coverage["entries_under_key"], coverage["to"], "{coverage}");
    assert!(report["statement"].as_str().unwrap().contains("rekor.localhost from entry 1 up to"));
    // It is remembered, and told once.
    let again = scene.look(0);
    assert_eq!((&again["changes"], &again["handovers"]), (&json!([]), &report["handovers"]));
    // Who comes new sees it all from the start.
    std::fs::remove_dir_all(scene.work.path("state")).unwrap();
    let anew = scene.look(0);
    let from = anew["coverage"][0]["keys"].as_object().unwrap();
    assert!(from.len() == 2 && from.values().all(|from| *from == json!(0)), "{anew:#}");
}

#[test]
fn a_watcher_is_led_on_through_both_keys_of_a_hybrid_log() {
    let Some(scene) = Scene::with("--hybrid") else { return };
    scene.look(0);
    let rotated = scene.work.json("keys rotate log")["rotated"].clone();
    scene.publish();
    scene.grow();
    scene.publish();
    let report = scene.look(0);
    let handovers = report["handovers"].as_array().unwrap();
    assert_eq!((handovers.len(), rotated.as_array().unwrap().len()), (2, 2));
    for (handover, key) in handovers.iter().zip(rotated.as_array().unwrap()) {
        assert_eq!(
            (&handover["role"], &handover["new_fingerprint"], &handover["holds"]),
            (&key["role"], &key["fingerprint"], &json!(true))
        );
        assert!(handover["public"].is_string(), "{handover}");
    }
    assert_eq!(scene.work.report("log --policy first", 0)["verdict"], "public");
    // Without one of the two cosignatures on the head that shows it, nothing is handed over.
    let proof = scene.work.text("log/keys/1.tlog-proof");
    let lines: Vec<&str> = proof.lines().filter(|line| line.starts_with('—')).collect();
    let of_cosigners = (0..lines.len()).filter(|n| lines[*n].len() > 3000);
    let said = of_cosigners.map(|n| {
        std::fs::remove_dir_all(scene.work.path("state")).unwrap();
        scene.work.write("log/keys/1.tlog-proof", without_line(&proof, '—', n));
        scene.look(1)["findings"][0].clone()
    });
    let said: Vec<Json> = said.collect();
    assert_eq!(said.len(), 2);
    for finding in said {
        assert_eq!(finding["kind"], "handover", "{finding:#}");
        assert!(finding["what"].as_str().unwrap().contains("has not signed the head of"));
    }
}

/// A publishing key that nobody let in: its publications count for nothing, and say so.
#[test]
fn a_publishing_key_that_the_old_one_never_published_is_found() {
    let Some(scene) = Scene::set() else { return };
    scene.look(0);
    scene.work.json("keys rotate log --role publisher");
    let (next, key) =
        (scene.work.path("log/private/next"), scene.work.path("log/private/publisher.key"));
    std::fs::rename(next.join("publisher.key"), &key).unwrap();
    std::fs::remove_dir_all(next).unwrap();
    let public = ["pkey", "-in", key.to_str().unwrap(), "-pubout"];
    let public = end_to_end::services::openssl(&scene.work.path(""), &public, b"");
    scene.work.write("log/policy/publisher.pub", public);
    scene.publish();
    let report = scene.look(1);
    let kinds: Vec<&Json> =
        report["findings"].as_array().unwrap().iter().map(|finding| &finding["kind"]).collect();
    assert_eq!(kinds, ["unverified"], "{report:#}");
    assert_eq!(report["handovers"][0]["role"], "publisher");
    assert_eq!(report["handovers"][0]["holds"], false);
}

fn short(key: &Json) -> String {
    let public = key["public"].as_str().unwrap();
    match trail::note::VerifierKey::parse(public) {
        Ok(key) => format!("{}+{}", key.name(), key.id_hex()),
        Err(_) => key["fingerprint"].as_str().unwrap().to_owned(),
    }
}

#[test]
fn a_forged_handover_is_found() {
    let Some(scene) = Scene::set() else { return };
    scene.look(0);
    scene.work.json("keys rotate log");
    scene.grow();
    let proof = scene.work.text("log/keys/0.tlog-proof");
    // Either signature on the head that shows it is taken away.
    for line in [0, 1] {
        scene.work.write("log/keys/0.tlog-proof", without_line(&proof, '—', line));
        scene.wrong("handover", "has not signed the head of");
    }
    // Withheld, the new key is nobody's.
    std::fs::remove_file(scene.work.path("log/keys/0.tlog-proof")).unwrap();
    let report = scene.look(1);
    assert_eq!(report["findings"][0]["kind"], "unsigned", "{report:#}");
    scene.work.write("log/keys/0.tlog-proof", proof);
    assert!(scene.look(0)["changes"].to_string().contains("handed over to"));
}

#[test]
fn a_head_by_a_key_that_has_handed_over_is_found() {
    let Some(scene) = Scene::set() else { return };
    scene.work.json("keys rotate log");
    scene.grow();
    scene.look(0);
    // The thief of the old key goes on with the log as everybody sees it.
    let text = scene.work.text("log/checkpoint");
    let former = std::fs::read_dir(scene.work.path("log/private/former")).unwrap();
    let key = former.flatten().next().unwrap().path();
    let body = text.split_once("\n\n").unwrap().0.to_owned() + "\n";
    scene.work.write("body", &body);
    let sign = ["pkeyutl", "-sign", "-rawin", "-in", "body", "-inkey", key.to_str().unwrap()];
    let signature = end_to_end::services::openssl(&scene.work.path(""), &sign, b"");
    let policy = scene.work.text("first/policy");
    let old = policy.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
    let old = trail::note::VerifierKey::parse(old).unwrap();
    let (name, key_id) = (old.name().to_owned(), old.id());
    let line = trail::note::SignatureLine { name, key_id, signature };
    let note = trail::note::Note { text: body, signatures: vec![line] };
    scene.work.write("log/checkpoint", note.to_string());
    scene.wrong("unsigned", "which handed over to");
}

#[test]
fn a_watcher_asks_when_a_stolen_key_handed_over() {
    let Some(scene) = Scene::set() else { return };
    let old = scene.work.json("keys list log")["keys"][0]["fingerprint"].clone();
    scene.work.json("keys rotate log");
    scene.suspects(&old, "2099-01-01");
    scene.wrong("handover", "not shown to have been public before");
    scene.publish();
    scene.look(0);
    scene.suspects(&old, "2020-01-01");
    std::fs::remove_dir_all(scene.work.path("state")).unwrap();
    scene.wrong("handover", "not shown to have been public before");
}

#[test]
fn a_publishing_key_whose_handover_a_thief_may_have_published_counts_for_nothing() {
    let Some(scene) = Scene::set() else { return };
    let old = scene.work.json("keys list log")["keys"][1]["fingerprint"].clone();
    scene.work.json("keys rotate log --role publisher");
    scene.publish();
    scene.grow();
    scene.publish();
    scene.suspects(&old, "2020-01-01");
    let report = scene.look(1);
    assert_eq!(report["findings"][0]["kind"], "unverified", "{report:#}");
    scene.suspects(&old, "2099-01-01");
    std::fs::remove_dir_all(scene.work.path("state")).unwrap();
    scene.look(0);
}
