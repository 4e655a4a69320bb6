//! Keys and signatures by `openssl`, which shares no code with us.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs `openssl` in a folder with this on standard input, and returns what it printed.
#[track_caller]
pub fn openssl(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    // It may end without having read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {}: {error}", arguments.join(" "));
    output.stdout
}

/// A private key in a PEM file.
#[derive(Clone, Debug)]
pub struct Key {
    path: PathBuf,
}

impl Key {
    /// A new ECDSA P-256 key.
    pub fn p256(path: PathBuf) -> Self {
        Self::generate(path, &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    }

    /// A new Ed25519 key.
    pub fn ed25519(path: PathBuf) -> Self {
        Self::generate(path, &["ED25519"])
    }

    fn generate(path: PathBuf, algorithm: &[&str]) -> Self {
        let key = Self { path };
        let arguments = ["genpkey", "-out", key.file(), "-algorithm"];
        openssl(key.folder(), &[&arguments, algorithm].concat(), b"");
        key
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its public half: `SubjectPublicKeyInfo` in DER.
    pub fn public(&self) -> Vec<u8> {
        let arguments = ["pkey", "-in", self.file(), "-pubout", "-outform", "DER"];
        openssl(self.folder(), &arguments, b"")
    }

    /// Signs a message: with ECDSA its SHA-256, in DER; with Ed25519 the message itself.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        // `-rawin` needs the length beforehand, hence a file.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), message).unwrap();
        let path = file.path().to_str().unwrap();
        let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", self.file(), "-in", path];
        openssl(self.folder(), &sign, b"")
    }

    fn file(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap()
    }
}
