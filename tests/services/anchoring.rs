//! A producer that publishes: a log made by the program, its heads stated, signed and stamped by the
//! services, laid out as the log's folder holds them.

use std::fs;

use end_to_end::Work;
use end_to_end::services::{Rekor, Tools, TrustedRoot, Tsa, Window, openssl, post};
use serde_json::Value as Json;
use trail::anchor::{LogPosition, Previous, PublishedHead, subject, subject_digest};
use trail::checkpoint::Checkpoint;
use trail::note::Note;

use crate::publisher::{Publisher, Signed, submit};

pub const ORIGIN: &str = "log.example/tiny";

/// A folder with a log called `log`, the policy of someone who watches it in `policy`, and the services.
pub struct Producer {
    pub work: Work,
    pub rekor: Rekor,
    pub tsa: Tsa,
    pub publisher: Publisher,
    previous: Option<Previous>,
    sequence: u64,
}

/// One head as published.
pub struct Anchored {
    pub bundle: Json,
    pub stamp: Vec<u8>,
    pub digest: [u8; 32],
}

impl Producer {
    /// An empty log, nothing published.
    pub fn new() -> Option<Self> {
        let tools = Tools::find()?;
        let (work, rekor, tsa) =
            (Work::with_log(), Rekor::start(&tools, "rekor.localhost"), Tsa::start());
        let publisher = Publisher::new();
        fs::copy(publisher.public_key(), work.path("policy/publisher.pub")).unwrap();
        let root = TrustedRoot::default().log(&rekor, Window::OPEN).tsa(&tsa, Window::OPEN);
        root.write(&work.path("policy/trusted_root.json"));
        Some(Self { work, rekor, tsa, publisher, previous: None, sequence: 0 })
    }

    /// Logs something.
    pub fn grow(&self) {
        self.work.write("guideline.json", r#"{"text": "be kind"}"#);
        self.work.json("log guideline log guideline.json");
    }

    /// Publishes the log's head under the next number, and keeps the anchor in the log's folder.
    pub fn publish(&mut self) -> Anchored {
        let note = self.work.text("log/checkpoint");
        let (head, digest) = self.statement(&note);
        let payload = String::from_utf8(head.statement(&digest)).unwrap();
        let signed = self.publisher.sign(&payload);
        let entry = submit(&self.rekor, &signed.request());
        assert_eq!(entry.status, 201, "{}", entry.text());
        let anchored = self.anchored(&signed, &entry.json(), digest);
        self.keep(&note, &anchored);
        let index = entry.json()["logIndex"].as_str().unwrap().parse().unwrap();
        self.previous = Some(Previous {
            size: head.size,
            root: head.root,
            published: vec![LogPosition { log_id: hex::encode(self.rekor.key_id()), index }],
        });
        self.sequence += 1;
        anchored
    }

    /// Goes on from the next number but one.
    pub fn skip_a_number(&mut self) {
        self.sequence += 1;
    }

    /// Goes on as if the head before had been another.
    pub fn misremember(&mut self) {
        if let Some(previous) = &mut self.previous {
            previous.root = hex::encode([7; 32]);
        }
    }

    /// What is stated of a head next.
    pub fn statement(&self, note: &str) -> (PublishedHead, [u8; 32]) {
        let note = Note::parse(note).unwrap();
        let checkpoint = Checkpoint::parse(&note.text).unwrap();
        let policy = self.work.text("policy/policy");
        let key = policy.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
        let head = PublishedHead {
            origin: checkpoint.origin,
            log_key: key.to_owned(),
            size: checkpoint.size,
            root: hex::encode(checkpoint.root),
            sequence: self.sequence,
            previous: self.previous.clone(),
        };
        (head, subject_digest(&note, ORIGIN))
    }

    fn anchored(&self, signed: &Signed, entry: &Json, digest: [u8; 32]) -> Anchored {
        let note = &entry["inclusionProof"]["checkpoint"]["envelope"];
        Anchored {
            bundle: signed.bundle(entry, &self.stamp(&signed.signature)),
            stamp: self.stamp(note.as_str().unwrap().as_bytes()),
            digest,
        }
    }

    fn stamp(&self, over: &[u8]) -> Vec<u8> {
        self.work.write("stamped", over);
        let query = ["ts", "-query", "-data", "stamped", "-sha256", "-cert"];
        let query = openssl(&self.work.path(""), &query, b"");
        let reply = post(&self.tsa.url(), "application/timestamp-query", &query).unwrap();
        assert_eq!(reply.status, 200);
        reply.body
    }

    fn keep(&self, note: &str, anchored: &Anchored) {
        let folder = format!("log/anchors/{}", self.sequence);
        fs::create_dir_all(self.work.path(&folder)).unwrap();
        let note = Note::parse(note).unwrap();
        self.work.write(&format!("{folder}/checkpoint"), subject(&note, ORIGIN));
        self.work.write(&format!("{folder}/0.sigstore.json"), anchored.bundle.to_string());
        self.work.write(&format!("{folder}/0.tsr"), &anchored.stamp);
    }
}
