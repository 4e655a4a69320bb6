//! A time-stamping authority (RFC 3161): `openssl ts` behind HTTP, under the paths of Sigstore's.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use super::exchange::{Reply, Request};
use super::front::Front;
use super::openssl::{Key, openssl};

/// How the authority answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Proper,
    /// With a stamp of another digest.
    WrongImprint,
    /// With a nonce that was not sent.
    WrongNonce,
    /// With a certificate that expired years ago.
    ExpiredCertificate,
    /// Granted with modifications, which RFC 3161 lets a client accept.
    GrantedWithMods,
    /// With a refusal: it takes no SHA-256.
    Rejection,
}

/// An authority that lives as long as this value.
#[derive(Debug)]
pub struct Tsa {
    front: Front,
    manner: Arc<Mutex<Manner>>,
    home: TempDir,
}

const PATH: &str = "/api/v1/timestamp";
const START: &str = "20200101000000Z";
const END: &str = "20490101000000Z";

impl Tsa {
    /// Makes a root, which certifies two keys that may stamp, one of them only in 2021.
    pub fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        make_authority(home.path());
        let manner = Arc::new(Mutex::new(Manner::Proper));
        let (current, folder) = (Arc::clone(&manner), home.path().to_owned());
        let front = Front::start(move |request| {
            // Held until the answer is there: `openssl ts` counts its stamps in a file.
            let manner = current.lock().unwrap_or_else(PoisonError::into_inner);
            answer(&folder, *manner, request)
        });
        Self { front, manner, home }
    }

    /// Where requests are posted.
    pub fn url(&self) -> String {
        self.front.url() + PATH
    }

    /// What stands between it and its clients.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Stops listening until [`Tsa::resume`].
    pub fn stop(&mut self) {
        self.front.stop();
    }

    /// Listens again, under the same URL.
    pub fn resume(&mut self) {
        self.front.resume();
    }

    /// How it answers from now on.
    pub fn answer(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// Its certificates in DER, the one that signs first, the root last.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        self.certificates(&["leaf.pem", "root.pem"])
    }

    /// The same for [`Manner::ExpiredCertificate`].
    pub fn expired_chain(&self) -> Vec<Vec<u8>> {
        self.certificates(&["expired.pem", "root.pem"])
    }

    /// The root's file, in PEM.
    pub fn root(&self) -> PathBuf {
        self.home.path().join("root.pem")
    }

    fn certificates(&self, files: &[&str]) -> Vec<Vec<u8>> {
        let der =
            |file: &&str| openssl(self.home.path(), &["x509", "-in", file, "-outform", "DER"], b"");
        files.iter().map(der).collect()
    }
}

fn make_authority(folder: &Path) {
    fs::write(folder.join("tsa.cnf"), configuration()).unwrap();
    fs::write(folder.join("index.txt"), "").unwrap();
    fs::write(folder.join("serial"), "01\n").unwrap();
    for (name, end) in [("root", END), ("leaf", END), ("expired", "20220101000000Z")] {
        Key::p256(folder.join(format!("{name}.key")));
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let subject = format!("/O=Test/CN=Test time stamps, {name}");
        let ask = ["req", "-new", "-config", "tsa.cnf", "-subj", &subject];
        openssl(folder, &[&ask[..], &["-key", &key, "-out", &request]].concat(), b"");
        let issuer: &[&str] = if name == "root" { &["-selfsign"] } else { &["-cert", "root.pem"] };
        let (certificate, kind) =
            (format!("{name}.pem"), if name == "root" { "root" } else { "stamping" });
        let issue = ["ca", "-batch", "-notext", "-config", "tsa.cnf", "-keyfile", "root.key"];
        let what = ["-in", &request, "-out", &certificate, "-extensions", kind];
        let when = ["-startdate", START, "-enddate", end];
        openssl(folder, &[&issue[..], issuer, &what, &when].concat(), b"");
    }
}

/// For `openssl req`, `ca` and `ts`. The stamping certificates are as RFC 3161, section 2.3 wants
/// them: one extended key usage, critical. A stamp carries no certificate but the signer's: `openssl`
/// does not sort several, and strict readers of DER then refuse the stamp (X.690, 11.6).
fn configuration() -> String {
    let mut text = String::from(
        "[req]
distinguished_name = name
[name]
[ca]
default_ca = authority
[authority]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any_name
[any_name]
organizationName = supplied
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[stamping]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
",
    );
    let sections = [
        ("proper", "leaf", "sha256, sha384, sha512"),
        ("expired", "expired", "sha256, sha384, sha512"),
        ("rejecting", "leaf", "sha512"),
    ];
    for (section, key, digests) in sections {
        let _ = write!(
            text,
            "[{section}]
serial = serial
crypto_device = builtin
signer_cert = {key}.pem
signer_key = {key}.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.57264.2
digests = {digests}
accuracy = secs:1
ess_cert_id_alg = sha256
"
        );
    }
    text
}

fn answer(folder: &Path, manner: Manner, request: &Request) -> Reply {
    let text = |status, text: &str| Reply::new(status, "text/plain", text);
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/api/v1/timestamp/certchain") => {
            let chain = ["leaf.pem", "root.pem"].map(|file| fs::read(folder.join(file)).unwrap());
            Reply::new(200, "application/pem-certificate-chain", chain.concat())
        }
        ("POST", PATH) if request.content_type != "application/timestamp-query" => {
            text(415, "not a time-stamp query\n")
        }
        ("POST", PATH) => match stamp(folder, manner, &request.body) {
            Some(stamp) => Reply::new(200, "application/timestamp-reply", stamp),
            None => text(400, "no RFC 3161 request\n"),
        },
        _ => text(404, "no such resource\n"),
    }
}

fn stamp(folder: &Path, manner: Manner, request: &[u8]) -> Option<Vec<u8>> {
    let parts = Parts::of(request)?;
    let mut request = request.to_vec();
    let section = match manner {
        Manner::Proper | Manner::GrantedWithMods => "proper",
        Manner::WrongImprint => {
            request[parts.imprint_end - 1] ^= 1;
            "proper"
        }
        Manner::WrongNonce => {
            request[parts.nonce_end? - 1] ^= 1;
            "proper"
        }
        Manner::ExpiredCertificate => "expired",
        Manner::Rejection => "rejecting",
    };
    fs::write(folder.join("request"), &request).unwrap();
    let _ = fs::remove_file(folder.join("reply"));
    Command::new("openssl")
        .args(["ts", "-reply", "-config", "tsa.cnf", "-section", section])
        .args(["-queryfile", "request", "-out", "reply"])
        .current_dir(folder)
        .output()
        .unwrap();
    let mut reply = fs::read(folder.join("reply")).ok()?;
    if manner == Manner::GrantedWithMods {
        // PKIStatusInfo is the first thing in the reply, and nothing signs it.
        let granted = [0x30, 0x03, 0x02, 0x01, 0x00];
        let at = reply.windows(5).position(|window| window == granted)?;
        reply[at + 4] = 1;
    }
    Some(reply)
}

/// Where the parts of a request end that an authority has to repeat.
struct Parts {
    imprint_end: usize,
    nonce_end: Option<usize>,
}

impl Parts {
    /// `TimeStampReq` of RFC 3161, section 2.4.1, with a SHA-256 imprint; all its lengths fit a byte.
    fn of(request: &[u8]) -> Option<Self> {
        let imprint = request.windows(2).position(|head| head == [0x04, 32])?;
        let imprint_end = imprint + 34;
        let mut at = imprint_end;
        let mut nonce_end = None;
        while let [tag, length, ..] = request.get(at..)? {
            at += 2 + usize::from(*length);
            if *tag == 0x02 {
                nonce_end = Some(at);
            }
        }
        (at <= request.len()).then_some(Self { imprint_end, nonce_end })
    }
}
