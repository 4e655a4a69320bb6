//! What the tasks need beyond rustup, Node, Python and Go.
//!
//! Every step looks first and installs only what is missing, so that tasks call the steps they
//! need each time they run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{self, say};
use crate::workspace::Workspace;

/// What browsers run.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";
const REKOR_TILES: &str = "v2.3.0";

/// Installs all there is.
pub fn everything(workspace: &Workspace) -> Result<()> {
    wasm_target(workspace)?;
    npm(workspace)?;
    let python = python(workspace)?;
    let chromium = chromium(workspace)?;
    let rekor = rekor(workspace)?;
    say(format_args!(
        "ready: {WASM_TARGET}, tests/node_modules, {}, {}, {}",
        python.display(),
        chromium.display(),
        rekor.display()
    ));
    Ok(())
}

/// The standard library for WebAssembly.
pub fn wasm_target(workspace: &Workspace) -> Result<()> {
    let installed = || -> Result<bool> {
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--print", "target-libdir", "--target", WASM_TARGET]);
        let folder = shell::output(rustc.current_dir(&workspace.root))?;
        Ok(Path::new(folder.trim()).is_dir())
    };
    if installed()? {
        return Ok(());
    }
    let _lock = workspace.lock()?;
    say(format_args!("adding the Rust target {WASM_TARGET}"));
    shell::run(
        Command::new("rustup")
            .args(["target", "add", WASM_TARGET])
            .current_dir(&workspace.root),
    )
    .with_context(|| {
        format!("cannot add the Rust target {WASM_TARGET}; it takes rustup and a network, or your distribution's standard library for that target")
    })
}

/// The npm packages of `tests/`, exactly as its lock file has them.
pub fn npm(workspace: &Workspace) -> Result<()> {
    let tests = workspace.path("tests");
    let lock_file = tests.join("package-lock.json");
    let installed_from = tests.join("node_modules/.installed-from.json");
    let _lock = workspace.lock()?;
    if same_content(&lock_file, &installed_from) {
        return Ok(());
    }
    say("installing the npm packages of tests/");
    shell::run(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&tests),
    )
    .context("the npm packages of tests/ are missing; Node 20 or later with npm is needed")?;
    fs::copy(&lock_file, &installed_from)?;
    Ok(())
}

/// A Python interpreter that has the packages of `tests/requirements.txt`.
pub fn python(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.path("tests/requirements.txt");
    let venv = workspace.cache().join("venv");
    let installed_from = venv.join("installed-from.txt");
    let python = venv.join("bin/python");
    let _lock = workspace.lock()?;
    if same_content(&requirements, &installed_from) {
        return Ok(python);
    }
    say("installing the Python packages of tests/requirements.txt");
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
        .context("cannot make a Python environment; Python 3.10 or later with its venv module (Debian: python3-venv) is needed")?;
    shell::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg("--requirement")
            .arg(&requirements),
    )
    .context("cannot install the packages of tests/requirements.txt")?;
    fs::copy(&requirements, &installed_from)?;
    Ok(python)
}

/// A Chromium that the browser tests can drive. `CHROMIUM` names one that is not on the path.
pub fn chromium(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(path) = env::var_os("CHROMIUM").map(PathBuf::from) {
        if path.is_file() {
            return Ok(path);
        }
        bail!("CHROMIUM names {}, which is not a file", path.display());
    }
    let find =
        || ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(shell::find);
    if let Some(path) = find() {
        return Ok(path);
    }
    let _lock = workspace.lock()?;
    let advice = "no Chromium found; install Chromium (Debian: `apt-get install chromium fonts-dejavu-core`) or set CHROMIUM to its path";
    if shell::find("apt-get").is_none() || !is_root() {
        bail!(advice);
    }
    say("installing Chromium and a font with apt-get");
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o=Dpkg::Use-Pty=0"]).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::run(apt_get().arg("update")).context(advice)?;
    shell::run(apt_get().args([
        "install",
        "--yes",
        "--no-install-recommends",
        "chromium",
        "fonts-dejavu-core",
    ]))
    .context(advice)?;
    find().context(advice)
}

/// A Rekor v2 server that stores in a folder.
pub fn rekor(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.cache().join("rekor-tiles").join(REKOR_TILES);
    let server = folder.join("posix");
    let _lock = workspace.lock()?;
    if server.is_file() {
        return Ok(server);
    }
    let package =
        format!("github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@{REKOR_TILES}");
    say(format_args!("building {package} (a minute or two)"));
    shell::run(
        Command::new("go")
            .args(["install", &package])
            .env("GOBIN", &folder)
            .env("GOFLAGS", "-trimpath"),
    )
    .context("cannot build the Rekor server; Go 1.25 or later is needed")?;
    Ok(server)
}

fn same_content(left: &Path, right: &Path) -> bool {
    matches!((fs::read(left), fs::read(right)), (Ok(left), Ok(right)) if left == right)
}

fn is_root() -> bool {
    shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
