//! One file for each command.

pub mod card;
pub mod demo;
pub mod device;
pub mod digest;
pub mod disclose;
pub mod erase;
pub mod evidence;
pub mod init;
pub mod keys;
pub mod log;
pub mod monitor;
pub mod person;
pub mod privacy;
pub mod prove;
pub mod publish;
pub mod run;
pub mod serve;
pub mod show;
pub mod sigstore;
pub mod update;
pub mod verify;
pub mod weight_proof;

use std::fs;
use std::path::Path;

use producer::{Audit, Passphrase};

use crate::args::Unlock;
use crate::failure::Failure;

/// Opens a log for writing.
fn open(dir: &Path, unlock: &Unlock) -> Result<Audit, Failure> {
    Ok(Audit::open(dir, passphrase(unlock)?.as_ref())?)
}

/// The passphrase, if one was given.
fn passphrase(unlock: &Unlock) -> Result<Option<Passphrase>, Failure> {
    let Some(file) = &unlock.passphrase_file else { return Ok(None) };
    let text =
        fs::read_to_string(file).map_err(|e| Failure::file(file, "read the passphrase", &e))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(Passphrase::new(line.to_owned()))),
        _ => Err(Failure::input(format!(
            "{}: its first line must be the passphrase",
            file.display()
        ))),
    }
}
