//! The search for unique strings in everything that the program writes and says.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use end_to_end::{Answer, Work};
use trail::merkle::sha256;

/// Every form in which a secret might slip out, and what it is.
pub struct Canaries {
    forms: Vec<(String, Vec<u8>)>,
    /// Which pairs of bytes a form begins with: few, so that searching is fast.
    beginnings: Vec<bool>,
}

impl Canaries {
    pub fn nothing() -> Self {
        Self { forms: Vec::new(), beginnings: vec![false; 1 << 16] }
    }

    pub fn form(&mut self, what: &str, name: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        assert!(bytes.len() >= 8, "too short to be told from chance");
        self.beginnings[usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))] = true;
        self.forms.push((format!("{what}, {name}"), bytes));
    }

    pub fn add(&mut self, what: &str, secret: &[u8]) {
        self.form(what, "plain", secret);
        self.form(what, "reversed", secret.iter().rev().copied().collect::<Vec<_>>());
        self.form(what, "hex", hex::encode(secret));
        self.form(what, "capital hex", hex::encode_upper(secret));
        for shift in 0..3 {
            // Only the characters that depend on the secret alone, and not on its neighbours.
            let shifted = [&[0; 3][..shift], secret].concat();
            let characters = [0, 4, 4][shift]..shifted.len() / 3 * 4;
            self.form(what, "base64", &STANDARD_NO_PAD.encode(&shifted)[characters.clone()]);
            self.form(what, "base64url", &URL_SAFE_NO_PAD.encode(&shifted)[characters]);
        }
        // Under a plain hash, short content is found by trying.
        let digest = sha256(secret);
        self.form(what, "SHA-256", digest);
        self.form(what, "SHA-256 in hex", hex::encode(digest));
        self.form(what, "SHA-256 in base64", &STANDARD_NO_PAD.encode(digest)[..40]);
    }

    pub fn add_text(&mut self, what: &str, secret: &str) {
        self.add(what, secret.as_bytes());
        self.form(what, "lower case", secret.to_lowercase());
        let utf16 = || secret.encode_utf16();
        self.form(what, "UTF-16 LE", utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        self.form(what, "UTF-16 BE", utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
        // As it is committed to, but without a blinding value.
        let cbor = trail::cbor::encode(&ciborium::Value::from(secret)).unwrap();
        self.form(what, "SHA-256 of CBOR", sha256(&cbor));
    }

    /// What of it the bytes hold.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (at, pair) in bytes.array_windows::<2>().enumerate() {
            if self.beginnings[usize::from(u16::from_be_bytes(*pair))] {
                let here = self.forms.iter().filter(|(_, form)| bytes[at..].starts_with(form));
                found.extend(here.map(|(what, _)| what.as_str()));
            }
        }
        found
    }

    #[track_caller]
    pub fn absent_from(&self, place: &str, bytes: &[u8]) {
        let found = self.found_in(bytes);
        assert!(found.is_empty(), "{place} holds: {found:?}");
    }
}

/// Runs commands and searches their answers.
pub struct Watched<'a> {
    pub work: &'a Work,
    pub canaries: &'a Canaries,
    pub commands: RefCell<usize>,
}

impl Watched<'_> {
    pub fn run(&self, typed: &str, status: i32) -> Answer {
        let mut last = None;
        for typed in [typed.to_owned(), format!("{typed} --json")] {
            let answer = self.work.run(&typed).ended(status);
            self.canaries
                .absent_from(&format!("the output of `{typed}`"), answer.stdout.as_bytes());
            self.canaries.absent_from(&format!("the error of `{typed}`"), answer.stderr.as_bytes());
            *self.commands.borrow_mut() += 1;
            last = Some(answer);
        }
        last.unwrap()
    }

    pub fn folder_is_clean(&self, folder: &str) {
        for (path, bytes) in self.work.files(folder) {
            self.canaries.absent_from(&path.display().to_string(), &bytes);
            self.canaries.absent_from("a file's name", path.display().to_string().as_bytes());
        }
    }
}
