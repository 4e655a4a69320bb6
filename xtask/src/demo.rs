//! `cargo xtask demo`: from a fresh clone to a verdict in the browser.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::pkg;
use crate::workspace::Workspace;

/// Builds the page, then the program that serves it, and becomes that program.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    pkg::build(workspace, pkg::Module::Whole)?;
    let program = workspace.rlhf_audit()?;
    let error = Command::new(&program).arg("demo").args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}
