//! A time-stamping authority: what `openssl ts -verify` makes of its stamps.

use std::path::Path;
use std::process::Command;

use end_to_end::services::{Fault, Manner, Tsa, get, openssl, post};
use tempfile::TempDir;

/// A query for a stamp over "data", the reply to it, and the chain the authority shows.
struct Exchange {
    home: TempDir,
}

impl Exchange {
    fn with(tsa: &Tsa) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("data"), "data").unwrap();
        let query = ["ts", "-query", "-data", "data", "-sha256", "-cert"];
        let query = openssl(home.path(), &query, b"");
        let reply = post(&tsa.url(), "application/timestamp-query", &query).unwrap();
        assert_eq!(reply.status, 200, "{:?}", String::from_utf8_lossy(&reply.body));
        assert_eq!(reply.header("content-type"), Some("application/timestamp-reply"));
        let write = |name, content: &[u8]| std::fs::write(home.path().join(name), content).unwrap();
        write("query", &query);
        write("reply", &reply.body);
        Self { home }
    }

    fn text(&self) -> String {
        let show = ["ts", "-reply", "-in", "reply", "-text"];
        String::from_utf8(openssl(self.home.path(), &show, b"")).unwrap()
    }

    /// Verifies the reply against the query, nonce included: nothing, or why not.
    fn verify(&self, root: &Path) -> Result<(), String> {
        let output = Command::new("openssl")
            .args(["ts", "-verify", "-queryfile", "query", "-in", "reply", "-CAfile"])
            .arg(root)
            .current_dir(self.home.path())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(()) } else { Err(error) }
    }
}

#[test]
fn openssl_verifies_a_stamp() {
    let tsa = Tsa::start();
    let exchange = Exchange::with(&tsa);
    exchange.verify(&tsa.root()).unwrap();
    assert!(exchange.text().contains("Status: Granted."));
    let chain = get(&(tsa.url() + "/certchain")).unwrap();
    assert_eq!(chain.text().matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(tsa.chain().len(), 2);
    // Another authority's root does not vouch for it.
    assert!(exchange.verify(&Tsa::start().root()).is_err());
}

#[test]
fn openssl_refuses_what_an_authority_gets_wrong() {
    let tsa = Tsa::start();
    let cases = [
        (Manner::WrongImprint, "message imprint mismatch"),
        (Manner::WrongNonce, "nonce mismatch"),
        (Manner::ExpiredCertificate, "certificate has expired"),
        (Manner::Rejection, "no time stamp token"),
    ];
    for (manner, reason) in cases {
        tsa.answer(manner);
        let error = Exchange::with(&tsa).verify(&tsa.root()).unwrap_err().to_lowercase();
        assert!(error.contains(reason), "{manner:?}: {error}");
    }
    tsa.answer(Manner::GrantedWithMods);
    let modified = Exchange::with(&tsa);
    modified.verify(&tsa.root()).unwrap();
    assert!(modified.text().contains("Status: Granted with modifications."));
}

#[test]
fn it_can_be_down_busy_or_asked_nonsense() {
    let mut tsa = Tsa::start();
    let ask = |tsa: &Tsa, kind: &str, body: &[u8]| post(&tsa.url(), kind, body);
    assert_eq!(ask(&tsa, "application/timestamp-query", b"nonsense").unwrap().status, 400);
    assert_eq!(ask(&tsa, "text/plain", b"").unwrap().status, 415);
    tsa.front().next("/timestamp", Fault::status(429, Some(7)));
    let busy = ask(&tsa, "application/timestamp-query", b"").unwrap();
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("7")));
    tsa.stop();
    assert!(ask(&tsa, "application/timestamp-query", b"").is_err());
    tsa.resume();
    Exchange::with(&tsa).verify(&tsa.root()).unwrap();
}
