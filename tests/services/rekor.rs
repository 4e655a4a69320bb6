//! A Rekor v2 log, entry by entry.
//! <https://github.com/sigstore/rekor-tiles/blob/v2.3.0/CLIENTS.md>

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use end_to_end::services::{Fault, Rekor, Reply, Tools, get, post};
use serde_json::{Value as Json, json};
use trail::checkpoint::Checkpoint;
use trail::merkle::{Hash, leaf_hash, sha256, verify_inclusion};
use trail::note::{KeyKind, Note, VerifierKey};
use trail::tile::{TileId, split_bundle};

use crate::publisher::{Publisher, submit};

const ORIGIN: &str = "rekor.localhost";

#[test]
fn an_entry_is_included_in_a_checkpoint_the_log_signed() {
    let Some(tools) = Tools::find() else { return };
    let (rekor, publisher) = (Rekor::start(&tools, ORIGIN), Publisher::new());
    for (index, payload) in ["one", "two", "three"].into_iter().enumerate() {
        let request = publisher.sign(payload).request();
        let reply = submit(&rekor, &request);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let entry = reply.json();
        assert_eq!(entry["logIndex"], index.to_string());
        assert_eq!(entry["logId"]["keyId"], STANDARD.encode(rekor.key_id()));
        assert_eq!(entry["kindVersion"], json!({ "kind": "hashedrekord", "version": "0.0.2" }));
        assert_eq!(entry["integratedTime"], "0", "version 2 knows no time");
        assert_eq!(entry["inclusionPromise"], Json::Null);
        let body = decode(&entry["canonicalizedBody"]);
        assert_eq!(String::from_utf8(body.clone()).unwrap(), body_of(&request));

        let proof = &entry["inclusionProof"];
        let head = signed_by_log(&rekor, proof["checkpoint"]["envelope"].as_str().unwrap());
        let path: Vec<Hash> = proof["hashes"].as_array().unwrap().iter().map(hash).collect();
        verify_inclusion(&body, index as u64, head.size, &head.root, &path).unwrap();
        assert_eq!(hash(&proof["rootHash"]), head.root);
    }
}

#[test]
fn entries_and_their_hashes_are_read_from_tiles() {
    let Some(tools) = Tools::find() else { return };
    let (rekor, publisher) = (Rekor::start(&tools, ORIGIN), Publisher::new());
    let requests = ["one", "two", "three"].map(|payload| publisher.sign(payload).request());
    for request in &requests {
        assert_eq!(submit(&rekor, request).status, 201);
    }
    let head = signed_by_log(&rekor, read(&rekor, "checkpoint").text());
    assert_eq!(head.size, 3);
    let bundle = read(&rekor, &TileId::bundle(0, 3).to_string());
    let entries = split_bundle(&bundle.body, 3).unwrap();
    let tile = read(&rekor, "tile/0/000.p/3");
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(std::str::from_utf8(entry).unwrap(), body_of(&requests[at]));
        assert_eq!(tile.body[32 * at..][..32], leaf_hash(entry));
    }
    // The same without the prefix, as logs that are only files have it.
    assert_eq!(get(&format!("{}/tile/0/000.p/3", rekor.url())).unwrap().body, tile.body);
    let missing = get(&format!("{}/api/v2/tile/0/000.p/4", rekor.url())).unwrap();
    assert_eq!(missing.status, 404);
}

#[test]
fn a_duplicate_is_answered_with_the_index_and_no_proof() {
    let Some(tools) = Tools::find() else { return };
    let (mut rekor, publisher) = (Rekor::start(&tools, ORIGIN), Publisher::new());
    let request = publisher.sign("one").request();
    assert_eq!(submit(&rekor, &publisher.sign("before").request()).status, 201);
    assert_eq!(submit(&rekor, &request).status, 201);
    let duplicate = |rekor: &Rekor| {
        let reply = submit(rekor, &request);
        assert_eq!(reply.status, 409, "{}", reply.text());
        assert_eq!(reply.header("x-log-index"), Some("1"));
        assert_eq!(reply.json()["code"], 6);
        assert_eq!(reply.json()["inclusionProof"], Json::Null);
    };
    duplicate(&rekor);
    rekor.stop();
    rekor.resume();
    duplicate(&rekor);
    // The same statement signed anew is another entry: ECDSA draws a number for each signature.
    let again = submit(&rekor, &publisher.sign("one").request());
    assert_eq!(again.json()["logIndex"], "2", "{}", again.text());
}

#[test]
fn a_forgetful_log_takes_a_duplicate_after_a_restart() {
    let Some(tools) = Tools::find() else { return };
    let (mut rekor, publisher) = (Rekor::forgetful(&tools, ORIGIN), Publisher::new());
    let request = publisher.sign("one").request();
    assert_eq!(submit(&rekor, &request).status, 201);
    assert_eq!(submit(&rekor, &request).status, 409);
    rekor.stop();
    rekor.resume();
    let reply = submit(&rekor, &request);
    assert_eq!((reply.status, reply.json()["logIndex"].as_str()), (201, Some("1")));
}

#[test]
fn bad_requests_are_refused_with_a_reason() {
    let Some(tools) = Tools::find() else { return };
    let (rekor, publisher) = (Rekor::start(&tools, ORIGIN), Publisher::new());
    let good = publisher.sign("one").request();
    let with = |path: &str, value: Json| {
        let mut request = good.clone();
        *request.pointer_mut(path).unwrap() = value;
        request
    };
    let digest = STANDARD.encode(sha256(b"another"));
    let details = "/hashedRekordRequestV002/signature/verifier/keyDetails";
    let cases = [
        (with("/hashedRekordRequestV002/digest", digest.into()), "invalid hashedrekord request"),
        (with(details, "PKIX_ED25519".into()), "invalid hashedrekord request"),
        (with(details, "PKIX_NONE".into()), "invalid value for enum field keyDetails"),
        (json!({ "dsseRequestV002": {} }), "invalid type, must be hashedrekord"),
        (json!({ "other": {} }), "unknown field \"other\""),
    ];
    for (request, reason) in cases {
        let reply = submit(&rekor, &request);
        assert_eq!(reply.status, 400);
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(
        get(&format!("{}/api/v2/checkpoint", rekor.url())).unwrap().text().lines().nth(1),
        Some("0")
    );
}

#[test]
fn down_it_refuses_connections_and_up_again_it_has_the_same_url_and_entries() {
    let Some(tools) = Tools::find() else { return };
    let (mut rekor, publisher) = (Rekor::start(&tools, ORIGIN), Publisher::new());
    assert_eq!(submit(&rekor, &publisher.sign("one").request()).status, 201);
    let url = rekor.url();
    rekor.stop();
    let error = get(&format!("{url}/api/v2/checkpoint")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    rekor.resume();
    assert_eq!(rekor.url(), url);
    assert_eq!(submit(&rekor, &publisher.sign("two").request()).json()["logIndex"], "1");
}

/// The cause of most duplicates: the log took the entry and its answer got lost.
#[test]
fn an_entry_whose_answer_is_lost_is_in_the_log() {
    let Some(tools) = Tools::find() else { return };
    let (rekor, publisher) = (Rekor::start(&tools, ORIGIN), Publisher::new());
    let request = publisher.sign("one").request();
    rekor.front().next("/log/entries", Fault::LoseAnswer);
    let url = format!("{}/api/v2/log/entries", rekor.url());
    let body = request.to_string();
    assert!(post(&url, "application/json", body.as_bytes()).is_err());
    let reply = submit(&rekor, &request);
    assert_eq!((reply.status, reply.header("x-log-index")), (409, Some("0")));

    rekor.front().next("/log/entries", Fault::Refuse);
    let request = publisher.sign("two").request();
    assert!(post(&url, "application/json", request.to_string().as_bytes()).is_err());
    assert_eq!(submit(&rekor, &request).status, 201, "the log never saw the first");
    assert_eq!(rekor.front().seen().len(), 4);
}

/// Reads a file of the log. A checkpoint is published before the answer, its tiles before it.
fn read(rekor: &Rekor, file: &str) -> Reply {
    let start = Instant::now();
    loop {
        let reply = get(&format!("{}/api/v2/{file}", rekor.url())).unwrap();
        if reply.status == 200 {
            return reply;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{file}: {}", reply.text());
    }
}

/// What the log makes of a request: RFC 8785 JSON, which here is JSON with sorted keys.
fn body_of(request: &Json) -> String {
    let request = &request["hashedRekordRequestV002"];
    json!({
        "apiVersion": "0.0.2",
        "kind": "hashedrekord",
        "spec": { "hashedRekordV002": {
            "data": { "algorithm": "SHA2_256", "digest": request["digest"] },
            "signature": request["signature"],
        }},
    })
    .to_string()
}

/// The head in a checkpoint, which the log must have signed under its name.
fn signed_by_log(rekor: &Rekor, note: &str) -> Checkpoint {
    let public = rekor.public_key();
    let raw = public[public.len() - 32..].try_into().unwrap();
    let key = VerifierKey::new(rekor.origin(), KeyKind::Ed25519, raw).unwrap();
    assert_eq!(key.id(), rekor.key_id()[..4]);
    let note = Note::parse(note).unwrap();
    assert!(note.verify(&key).unwrap().is_some(), "the log's signature");
    let head = Checkpoint::parse(&note.text).unwrap();
    assert_eq!(head.origin, rekor.origin());
    head
}

fn decode(field: &Json) -> Vec<u8> {
    STANDARD.decode(field.as_str().unwrap()).unwrap()
}

fn hash(field: &Json) -> Hash {
    decode(field).try_into().unwrap()
}
