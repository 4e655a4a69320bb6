//! A witness (C2SP tlog-witness): `litewitness`, whose key an `ssh-agent` holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use super::Tools;
use super::exchange::{forward, get};
use super::front::Front;
use super::process::{Process, free_ports};

/// A witness that knows no log yet and lives as long as this value.
#[derive(Debug)]
pub struct Witness {
    server: Option<Process>,
    front: Front,
    /// Where the server listens, behind the front; another port after each start.
    behind: Arc<AtomicU16>,
    name: String,
    fingerprint: String,
    tools: Tools,
    _agent: Process,
    home: TempDir,
}

impl Witness {
    /// Starts a witness of this name, with a new key.
    #[track_caller]
    pub fn start(tools: &Tools, name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (agent, fingerprint) = agent_with_key(home.path());
        let behind = Arc::new(AtomicU16::new(0));
        let port = Arc::clone(&behind);
        let front = Front::start(move |request| forward(&port, request));
        let (tools, name) = (tools.clone(), name.to_owned());
        let mut witness =
            Self { server: None, front, behind, name, fingerprint, tools, _agent: agent, home };
        witness.resume();
        witness
    }

    /// Lets it witness a log, as `witnessctl add-log` and `add-key` do. (`witnessctl` itself needs a
    /// module that proxies do not always have.)
    #[track_caller]
    pub fn add_log(&self, origin: &str, vkey: &str) {
        const INSERT: &str = "import base64, hashlib, sqlite3, sys
database, origin, vkey = sys.argv[1:]
empty = base64.b64encode(hashlib.sha256(b'').digest()).decode()
with sqlite3.connect(database, timeout=10) as connection:
    connection.execute('INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)', (origin, empty))
    connection.execute('INSERT INTO key (origin, key) VALUES (?, ?)', (origin, vkey))
";
        run(Command::new("python3").args(["-c", INSERT]).arg(self.database()).args([origin, vkey]));
    }

    /// Its URL; checkpoints are posted to `/add-checkpoint`.
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Its verifier key.
    #[track_caller]
    pub fn vkey(&self) -> String {
        let page = get(&self.front.url()).expect("the witness answers");
        let prefix = format!("{}+", self.name);
        let line = page.text().lines().find(|line| line.starts_with(&prefix));
        line.expect("the witness tells its key").to_owned()
    }

    /// What stands between it and its clients.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Ends the server; connections are refused until [`Witness::resume`].
    pub fn stop(&mut self) {
        self.front.stop();
        self.server = None;
    }

    /// Starts the server again with what it has witnessed, under the same URL.
    #[track_caller]
    pub fn resume(&mut self) {
        if self.server.is_some() {
            return;
        }
        let [port] = free_ports();
        let mut command = Command::new(&self.tools.litewitness);
        command
            .args(["-name", &self.name, "-key", &self.fingerprint])
            .arg(format!("-listen=127.0.0.1:{port}"))
            .arg("-db")
            .arg(self.database())
            .arg("-ssh-agent")
            .arg(self.home.path().join("agent"));
        let root = format!("http://127.0.0.1:{port}/");
        let ready = || get(&root).is_ok_and(|reply| reply.status == 200);
        self.server = Some(Process::start(&mut command, &self.home.path().join("output"), ready));
        self.behind.store(port, Ordering::SeqCst);
        self.front.resume();
    }

    fn database(&self) -> PathBuf {
        self.home.path().join("witness.db")
    }
}

/// An agent that holds a new key, and the key's fingerprint.
fn agent_with_key(folder: &Path) -> (Process, String) {
    let (socket, key) = (folder.join("agent"), folder.join("key"));
    let mut command = Command::new("ssh-agent");
    command.args(["-D", "-a"]).arg(&socket);
    let agent = Process::start(&mut command, &folder.join("agent-output"), || socket.exists());
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
    run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket));
    let line = run(Command::new("ssh-keygen").arg("-lf").arg(&key));
    let fingerprint = line.split(' ').nth(1).expect("a fingerprint");
    (agent, fingerprint.to_owned())
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}
