//! What goes to standard output: text for people, or one JSON document for programs.

use std::cell::OnceCell;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
pub use producer::printable;
use serde_json::Value as Json;

use crate::failure::Failure;

/// Where results go, and in which form.
#[derive(Debug)]
pub struct Output {
    json: bool,
    failed: OnceCell<io::Error>,
}

impl Output {
    /// JSON, or text.
    pub fn new(json: bool) -> Self {
        Self { json, failed: OnceCell::new() }
    }

    /// Prints the result in the form that was asked for. What comes from a file goes through
    /// [`printable`] before it becomes part of a text.
    pub fn result(&self, json: &Json, text: impl fmt::Display) {
        if self.json { self.line(json) } else { self.say(text) }
    }

    /// For programs there is one document, which nothing that goes on can give.
    pub fn once(&self, ends: bool, instead: &str) -> Result<(), Failure> {
        if self.json && !ends {
            return Err(Failure::input(format!(
                "--json prints one document, and this command would go on printing them; use {instead}"
            )));
        }
        Ok(())
    }

    /// Prints a line for people only.
    pub fn say(&self, text: impl fmt::Display) {
        if !self.json {
            self.line(text);
        }
    }

    /// Tells people on standard error what they have to do now; programs get it in the document.
    pub fn advise(&self, text: &str) {
        if !self.json {
            // Where standard error cannot be written, the command has still done its work.
            let _ = writeln!(io::stderr().lock(), "rlhf-audit: {}", printable(text));
        }
    }

    fn line(&self, text: impl fmt::Display) {
        if let Err(error) = writeln!(io::stdout().lock(), "{text}") {
            // The first failure says why; what the command does is not undone by it.
            let _ = self.failed.set(error);
        }
    }

    /// Whether everything could be printed. A reader that has gone away (`| head`) is no failure.
    pub fn finish(self) -> Result<(), Failure> {
        match self.failed.into_inner().filter(|e| e.kind() != io::ErrorKind::BrokenPipe) {
            Some(e) => Err(Failure::input(format!(
                "the command has done its work, but standard output could not be written: {e}"
            ))),
            None => Ok(()),
        }
    }

    /// A sign of life on standard error, for what takes as long as others take; hidden where nobody watches.
    pub fn spinner(&self) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let spinner = ProgressBar::new_spinner().with_message("Publishing");
        spinner.enable_steady_tick(Duration::from_millis(120));
        spinner
    }

    /// A progress bar of `length` steps on standard error; hidden where nobody watches.
    pub fn progress(&self, length: u64, what: &'static str) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(length).with_message(what);
        // The template is fixed and valid; without it the bar still works.
        match ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

/// Lines of a stranger's, such as a signed note, set apart from ours.
pub fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("    {}\n", printable(line))).collect()
}

/// Writes a file whole or not at all: a temporary one beside it takes its place once synced.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    producer::write_whole(path, bytes).map_err(Failure::from)
}
