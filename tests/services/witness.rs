//! A witness: what it signs and what it refuses (<https://c2sp.org/tlog-witness>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use end_to_end::services::{Key, Reply, Tools, Witness, post};
use tempfile::TempDir;
use trail::merkle::{Hash, leaf_hash, node_hash};
use trail::note::{KeyKind, Note, VerifierKey};

const ORIGIN: &str = "log.example/witnessed";

/// A log that signs whatever a test wants signed.
struct Log {
    key: Key,
    _home: TempDir,
}

impl Log {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { key: Key::ed25519(home.path().join("log.pem")), _home: home }
    }

    fn verifier(&self) -> VerifierKey {
        let public = self.key.public();
        let raw = public[public.len() - 32..].try_into().unwrap();
        VerifierKey::new(ORIGIN, KeyKind::Ed25519, raw).unwrap()
    }

    fn checkpoint(&self, size: u64, root: &Hash) -> String {
        let text = format!("{ORIGIN}\n{size}\n{}\n", STANDARD.encode(root));
        let signature = [&self.verifier().id()[..], &self.key.sign(text.as_bytes())].concat();
        format!("{text}\n\u{2014} {ORIGIN} {}\n", STANDARD.encode(signature))
    }
}

#[test]
fn it_cosigns_what_grows_and_refuses_forks_and_rollbacks() {
    let Some(tools) = Tools::find() else { return };
    let (mut witness, log) = (Witness::start(&tools, "witness.localhost/one"), Log::new());
    let [a, b, c] = ["a", "b", "c"].map(|entry| leaf_hash(entry.as_bytes()));
    let (one, two) = (a, node_hash(&a, &b));
    let fork = node_hash(&a, &c);

    let unknown = add(&witness, 0, &[], &log.checkpoint(1, &one));
    assert_eq!(unknown.status, 404);
    witness.add_log(ORIGIN, &log.verifier().to_string());

    let first = log.checkpoint(1, &one);
    cosigned(&witness, &first, &add(&witness, 0, &[], &first));
    let repeated = add(&witness, 0, &[], &first);
    assert_eq!((repeated.status, repeated.text()), (409, "1\n"));
    assert_eq!(repeated.header("content-type"), Some("text/x.tlog.size"));
    cosigned(&witness, &first, &add(&witness, 1, &[], &first));
    let second = log.checkpoint(2, &two);
    cosigned(&witness, &second, &add(&witness, 1, &[b], &second));

    // Stopped and started, it still knows.
    let vkey = witness.vkey();
    witness.stop();
    witness.resume();
    assert_eq!(witness.vkey(), vkey);
    let forked = add(&witness, 2, &[], &log.checkpoint(2, &fork));
    assert_eq!((forked.status, forked.text()), (422, "bad consistency proof\n"));
    let longer = log.checkpoint(3, &node_hash(&fork, &b));
    assert_eq!(add(&witness, 2, &[b], &longer).status, 422);
    let back = add(&witness, 1, &[], &first);
    assert_eq!((back.status, back.text()), (409, "2\n"));
    assert_eq!(add(&witness, 2, &[], &first).status, 400);
    let other = Log::new().checkpoint(3, &two);
    assert_eq!(add(&witness, 2, &[c], &other).status, 403);
    let third = log.checkpoint(3, &node_hash(&two, &c));
    cosigned(&witness, &third, &add(&witness, 2, &[c], &third));
}

fn add(witness: &Witness, old: u64, proof: &[Hash], checkpoint: &str) -> Reply {
    let hashes: String = proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
    let body = format!("old {old}\n{hashes}\n{checkpoint}");
    post(&format!("{}/add-checkpoint", witness.url()), "text/plain", body.as_bytes()).unwrap()
}

/// The answer is a signature line that verifies under the witness's key once it is on the note.
fn cosigned(witness: &Witness, checkpoint: &str, reply: &Reply) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let key = VerifierKey::parse(&witness.vkey()).unwrap();
    let note = Note::parse(&format!("{checkpoint}{}", reply.text())).unwrap();
    let signed = note.verify(&key).unwrap().expect("a line by the witness");
    assert!(signed.cosigned_at.expect("a cosignature's time") > 1_700_000_000);
}
