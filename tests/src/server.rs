//! `rlhf-audit serve` for the time of a test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::work::Work;

/// A server on a port of its own, which ends with this value at the latest.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// What it printed once it answered.
    pub ready: Json,
    /// Its host and port.
    pub address: String,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, in lower case.
    pub head: String,
    /// The content.
    pub body: Vec<u8>,
}

impl Served {
    /// Starts a command that serves; `None` when the program was built without the verifier page.
    #[track_caller]
    pub fn start(work: &Work, typed: &str) -> Option<Self> {
        let mut child = work
            .command(&format!("{typed} --port 0 --json"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            child.wait().unwrap();
            assert!(error.contains("cargo xtask pkg"), "{typed}: {error}");
            return None;
        }
        let ready: Json = serde_json::from_str(&line).unwrap();
        let url = ready["url"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
        Some(Self { child, ready, address })
    }

    /// Asks for a path, exactly as given.
    pub fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address))
    }

    /// Sends a request line with headers, exactly as given.
    pub fn send(&self, request: &str) -> Response {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "{request}Connection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let _ = stream.shutdown(Shutdown::Both);
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Response { status, head, body: bytes[end + 4..].to_vec() }
    }

    /// Interrupts it, as Ctrl-C does.
    pub fn interrupt(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
