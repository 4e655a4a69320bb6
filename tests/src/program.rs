//! Where the program under test is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The root of the checkout.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The program: the one `RLHF_AUDIT` names, otherwise the one that Cargo builds from this checkout.
/// (Cargo itself hands the path only to tests of the package that the program belongs to.)
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> =
        LazyLock::new(|| env::var_os("RLHF_AUDIT").map_or_else(build, PathBuf::from));
    &PROGRAM
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--package", "rlhf-audit"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(checkout())
        .stderr(Stdio::inherit());
    // What Cargo tells its tests about their package would make build scripts run again.
    for (name, _) in env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "cargo could not build rlhf-audit");
    let messages = String::from_utf8(output.stdout).unwrap();
    let built = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    built.expect("cargo names the program it built")
}
