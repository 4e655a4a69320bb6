//! A Rekor v2 log: rekor-tiles' server, which takes entries and keeps its tiles in a folder, behind
//! a front that also serves the folder, as a web server does before the public instance.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::Tools;
use super::exchange::{Reply, Request, forward, get};
use super::front::Front;
use super::openssl::Key;
use super::process::{Process, free_ports};

/// A log that starts empty and lives as long as this value.
#[derive(Debug)]
pub struct Rekor {
    server: Option<Process>,
    front: Front,
    /// Where the server listens, behind the front; another port after each start.
    behind: Arc<AtomicU16>,
    origin: String,
    key: Key,
    tools: Tools,
    options: Vec<&'static str>,
    home: TempDir,
}

impl Rekor {
    /// Starts a log of this origin, which is also its host's name in a trusted root.
    #[track_caller]
    pub fn start(tools: &Tools, origin: &str) -> Self {
        Self::with(tools, origin, vec!["--persistent-antispam"])
    }

    /// Starts one that does not know after a restart what it had logged before, and so takes a
    /// duplicate; the log's operator chooses.
    #[track_caller]
    pub fn forgetful(tools: &Tools, origin: &str) -> Self {
        Self::with(tools, origin, Vec::new())
    }

    #[track_caller]
    fn with(tools: &Tools, origin: &str, options: Vec<&'static str>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = Key::ed25519(home.path().join("log.pem"));
        let storage = home.path().join("log");
        fs::create_dir(&storage).unwrap();
        let behind = Arc::new(AtomicU16::new(0));
        let port = Arc::clone(&behind);
        let front = Front::start(move |request| answer(&storage, &port, request));
        let (tools, origin) = (tools.clone(), origin.to_owned());
        let mut rekor = Self { server: None, front, behind, origin, key, tools, options, home };
        rekor.resume();
        rekor
    }

    /// The log's base URL: entries go to `/api/v2/log/entries`, `/api/v2/checkpoint` and
    /// `/api/v2/tile/…` are read (C2SP tlog-tiles; also without `/api/v2`).
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// What stands between it and its clients.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Ends the server; connections are refused until [`Rekor::resume`].
    pub fn stop(&mut self) {
        self.front.stop();
        self.server = None;
    }

    /// Starts the server again on the same folder, under the same URL.
    #[track_caller]
    pub fn resume(&mut self) {
        if self.server.is_some() {
            return;
        }
        let [http, grpc, metrics] = free_ports();
        let mut command = Command::new(&self.tools.rekor);
        command
            .arg("serve")
            .arg(format!("--hostname={}", self.origin))
            .args(["--http-address=127.0.0.1", "--grpc-address=127.0.0.1"])
            .arg(format!("--http-port={http}"))
            .arg(format!("--grpc-port={grpc}"))
            .arg(format!("--http-metrics-port={metrics}"))
            .arg(format!("--storage-dir={}", self.storage().display()))
            .arg(format!("--signer-filepath={}", self.key.path().display()))
            .args(["--checkpoint-interval=1s", "--batch-max-age=50ms"])
            .args(&self.options);
        let health = format!("http://127.0.0.1:{http}/healthz");
        let ready = || get(&health).is_ok_and(|reply| reply.status == 200);
        self.server = Some(Process::start(&mut command, &self.home.path().join("output"), ready));
        self.behind.store(http, Ordering::SeqCst);
        self.front.resume();
    }

    /// The origin line of its checkpoints.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its public key, `SubjectPublicKeyInfo` in DER.
    pub fn public_key(&self) -> Vec<u8> {
        self.key.public()
    }

    /// Its key's id: the C2SP signed-note key id, not cut to 4 bytes.
    /// <https://github.com/C2SP/C2SP/blob/main/signed-note.md#signatures>
    pub fn key_id(&self) -> [u8; 32] {
        let public = self.public_key();
        let (_, raw) = public.split_at(public.len() - 32);
        let id = Sha256::new().chain_update(&self.origin).chain_update(b"\n\x01");
        id.chain_update(raw).finalize().into()
    }

    /// Signs a text as the log would: for what a log that lies would say.
    pub fn sign(&self, text: &str) -> Vec<u8> {
        self.key.sign(text.as_bytes())
    }

    /// The folder with its checkpoint and tiles.
    pub fn storage(&self) -> PathBuf {
        self.home.path().join("log")
    }
}

fn answer(storage: &Path, port: &AtomicU16, request: &Request) -> Reply {
    let path = request.path.as_str();
    let file = path.strip_prefix("/api/v2").unwrap_or(path).trim_start_matches('/');
    if request.method == "GET" && (file == "checkpoint" || file.starts_with("tile/")) {
        return read(storage, file);
    }
    forward(port, request)
}

fn read(storage: &Path, file: &str) -> Reply {
    let climbs = file.split('/').any(|part| part.starts_with('.'));
    let content = if climbs { None } else { fs::read(storage.join(file)).ok() };
    match content {
        Some(content) if file == "checkpoint" => Reply::new(200, "text/plain", content),
        Some(content) => Reply::new(200, "application/octet-stream", content),
        None => Reply::new(404, "text/plain", "no such file\n"),
    }
}
