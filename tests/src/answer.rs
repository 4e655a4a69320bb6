//! What a command answered.

use std::process::Output;

use serde_json::Value as Json;

/// Exit status and both streams of a command that has ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The command, as typed.
    pub command: String,
    /// The exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// What a command gave that was started by other means than [`crate::Work::run`].
    pub fn of(command: &str, output: Output) -> Self {
        Self {
            command: command.to_owned(),
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }

    /// The command must have ended with this status.
    #[track_caller]
    pub fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        self
    }

    /// Standard output must be one JSON document and nothing else, on one line.
    #[track_caller]
    pub fn json(&self) -> Json {
        let line = self.stdout.strip_suffix('\n').filter(|line| !line.contains('\n'));
        let json = line.and_then(|line| serde_json::from_str(line).ok());
        json.unwrap_or_else(|| panic!("not one JSON document: {self:#?}"))
    }

    /// The command must have refused: status 2, nothing on standard output, one sentence on standard
    /// error. Returns the sentence.
    #[track_caller]
    pub fn refusal(&self) -> &str {
        assert_eq!((self.status, self.stdout.as_str()), (Some(2), ""), "{self:#?}");
        let sentence = self.stderr.strip_prefix("rlhf-audit: ").and_then(|s| s.strip_suffix('\n'));
        let sentence = sentence.filter(|s| !s.contains('\n') && !s.contains("panicked"));
        sentence.unwrap_or_else(|| panic!("not one sentence: {self:#?}"))
    }
}
