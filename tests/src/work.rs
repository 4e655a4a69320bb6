//! A folder to work in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::answer::Answer;
use crate::program::program;

/// A temporary folder in which commands are run, as typed: `work.run("verify a.evidence")`.
#[derive(Debug)]
pub struct Work {
    home: TempDir,
}

impl Work {
    /// An empty folder.
    pub fn empty() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// A folder with an empty log called `log`, and the log's policy copied to `policy`.
    pub fn with_log() -> Self {
        let work = Self::empty();
        work.json("init log --model tiny --origin log.example/tiny");
        work.copy("log/policy", "policy");
        work
    }

    /// Where something in the folder is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Reads a file.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Reads a text.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Copies a file or a folder.
    pub fn copy(&self, from: &str, to: &str) {
        let status =
            Command::new("cp").arg("-a").args([self.path(from), self.path(to)]).status().unwrap();
        assert!(status.success());
    }

    /// Every file below a folder, with its content, by path.
    pub fn files(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path(folder), &mut files);
        files.sort();
        files
    }

    /// The command, to be run here.
    pub fn command(&self, typed: &str) -> Command {
        let mut command = Command::new(program());
        command.args(typed.split_whitespace()).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command.
    pub fn run(&self, typed: &str) -> Answer {
        Answer::of(typed, self.command(typed).output().unwrap())
    }

    /// Runs a command with `--json`; it must do its work. Returns its document.
    #[track_caller]
    pub fn json(&self, typed: &str) -> Json {
        let answer = self.run(&format!("{typed} --json")).ended(0);
        assert_eq!(answer.stderr, "", "{answer:#?}");
        answer.json()
    }

    /// Runs `verify` with `--json`; it must end with this status. Returns the report.
    #[track_caller]
    pub fn report(&self, target: &str, status: i32) -> Json {
        self.run(&format!("verify {target} --json")).ended(status).json()
    }

    /// Runs a command that must refuse, with and without `--json`. Returns its sentence.
    #[track_caller]
    pub fn refused(&self, typed: &str) -> String {
        let sentence = self.run(typed).refusal().to_owned();
        assert_eq!(self.run(&format!("{typed} --json")).refusal(), sentence);
        sentence
    }
}

fn collect(path: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else {
        files.push((path.to_owned(), fs::read(path).unwrap()));
    }
}

/// A file of so many ratings, as JSON Lines.
pub fn ratings(n: usize) -> String {
    let line = |i: usize| {
        serde_json::json!({
            "prompt": format!("Question {i}?"),
            "response": format!("Answer {i}."),
            "annotator_id": format!("rater-{}", i % 3),
            "reward": i % 5 + 1,
        })
    };
    (0..n).map(|i| format!("{}\n", line(i))).collect()
}

/// A file of so many preferences, as JSON Lines.
pub fn preferences(n: usize) -> String {
    let line = |i: usize| serde_json::json!({"chosen": format!("Good {i}."), "rejected": format!("Bad {i}.")});
    (0..n).map(|i| format!("{}\n", line(i))).collect()
}
