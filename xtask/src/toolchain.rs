//! What the tasks need beyond rustup, Node, Python and Go.
//!
//! Every step looks first and installs only what is missing, so that tasks call the steps they
//! need each time they run.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{self, say};
use crate::workspace::Workspace;

/// What browsers run.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A program that Go builds, in one version.
struct GoProgram {
    /// The file's name, the last part of its package's path.
    name: &'static str,
    package: &'static str,
    version: &'static str,
}

/// A Rekor v2 server that stores in a folder.
const REKOR: GoProgram = GoProgram {
    name: "posix",
    package: "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
    version: "v2.3.0",
};
/// A C2SP tlog-witness. 0.10 wants Go 1.27.
const LITEWITNESS: GoProgram = GoProgram {
    name: "litewitness",
    package: "filippo.io/torchwood/cmd/litewitness",
    version: "v0.9.0",
};
/// What checks a log's folder or address, tile by tile.
const FSCK: GoProgram = GoProgram {
    name: "fsck",
    package: "github.com/transparency-dev/tessera/cmd/fsck",
    version: "v1.0.2",
};
/// What checks one entry's proof.
const SPICY: GoProgram =
    GoProgram { name: "spicy", package: "filippo.io/torchwood/cmd/spicy", version: "v0.9.0" };
/// Sigstore's own client.
const COSIGN: GoProgram = GoProgram {
    name: "cosign",
    package: "github.com/sigstore/cosign/v3/cmd/cosign",
    version: "v3.1.3",
};
/// Sigstore's time-stamping authority. 2.1.5 wants Go 1.27.
const TIMESTAMP_SERVER: GoProgram = GoProgram {
    name: "timestamp-server",
    package: "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server",
    version: "v2.1.2",
};

/// Installs all there is.
pub fn everything(workspace: &Workspace) -> Result<()> {
    wasm_target(workspace)?;
    npm(workspace)?;
    let python = python(workspace)?;
    let chromium = chromium(workspace)?;
    services(workspace)?;
    vulkan(workspace)?;
    say(format_args!(
        "ready: {WASM_TARGET}, tests/node_modules, {}, {}, the services",
        python.display(),
        chromium.display()
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
    // Before waiting as well, for whatever else is being installed.
    let installed = || same_content(&lock_file, &installed_from);
    if installed() {
        return Ok(());
    }
    let _lock = workspace.lock()?;
    if installed() {
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
    environment(workspace, "venv", "tests/requirements.txt")
}

/// One that has those of `tests/requirements-vllm.txt`: vLLM takes an older PyTorch than the other tests.
pub fn vllm(workspace: &Workspace) -> Result<PathBuf> {
    environment(workspace, "venv-vllm", "tests/requirements-vllm.txt")
}

fn environment(workspace: &Workspace, folder: &str, requirements: &str) -> Result<PathBuf> {
    let venv = workspace.cache().join(folder);
    let installed_from = venv.join("installed-from.txt");
    let python = venv.join("bin/python");
    let _lock = workspace.lock()?;
    if same_content(&workspace.path(requirements), &installed_from) {
        return Ok(python);
    }
    say(format_args!("installing the Python packages of {requirements}"));
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
        .context("cannot make a Python environment; Python 3.10 or later with its venv module (Debian: python3-venv) is needed")?;
    shell::run(
        Command::new(&python)
            // The file names all that is needed, and one package would bring gigabytes that are not.
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .arg("--requirement")
            .arg(workspace.path(requirements)),
    )
    .with_context(|| format!("cannot install the packages of {requirements}"))?;
    fs::copy(workspace.path(requirements), &installed_from)?;
    Ok(python)
}

/// Adds PyTorch and TRL to the interpreter, in the versions of `tests/requirements-training.txt`. Where they cannot be
/// had, the tests that train are left out and say so, but not in CI.
pub fn training(workspace: &Workspace) -> Result<()> {
    let python = python(workspace)?;
    let requirements = workspace.path("tests/requirements-training.txt");
    let installed_from = workspace.cache().join("venv/training-installed-from.txt");
    let _lock = workspace.lock()?;
    if same_content(&requirements, &installed_from) {
        return Ok(());
    }
    say("installing PyTorch and TRL, several gigabytes (minutes)");
    let installed = shell::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg("--requirement")
            .arg(&requirements),
    );
    match installed {
        Err(error) if env::var_os("CI").is_none() => {
            say(format_args!("going on without PyTorch and TRL: {error:#}"));
            Ok(())
        }
        installed => {
            installed.context("cannot install the packages of tests/requirements-training.txt")?;
            fs::copy(&requirements, &installed_from)?;
            Ok(())
        }
    }
}

/// Older versions of TRL, each with what it needs in other versions than `tests/requirements-training.txt` has, by the
/// end of the name of its requirements file.
const OLDER_TRL: [&str; 3] = ["trl-1.12", "trl-0.16", "trl-0.11"];

/// Fetches older versions of TRL, each into a folder of its own, which goes before the interpreter's packages. Where they
/// cannot be had, the tests that need them are left out and say so, but not in CI.
pub fn older_trl(workspace: &Workspace) -> Result<()> {
    let python = python(workspace)?;
    let _lock = workspace.lock()?;
    for layer in OLDER_TRL {
        let fetched = fetch_layer(workspace, &python, layer);
        match fetched.with_context(|| format!("cannot fetch tests/requirements-{layer}.txt")) {
            Err(error) if env::var_os("CI").is_none() => {
                say(format_args!("going on without {layer}: {error:#}"));
            }
            fetched => fetched?,
        }
    }
    Ok(())
}

fn fetch_layer(workspace: &Workspace, python: &Path, layer: &str) -> Result<()> {
    let requirements = workspace.path(&format!("tests/requirements-{layer}.txt"));
    let folder = workspace.cache().join("layers").join(layer);
    let installed_from = folder.join("installed-from.txt");
    if same_content(&requirements, &installed_from) {
        return Ok(());
    }
    if folder.is_dir() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    say(format_args!("fetching {layer} for the tests"));
    shell::run(
        Command::new(python)
            // The file names all that is needed besides what the interpreter has.
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--no-compile", "--target"])
            .arg(&folder)
            .arg("--requirement")
            .arg(&requirements),
    )?;
    fs::copy(&requirements, &installed_from)?;
    Ok(())
}

/// Builds our Python package, as a wheel that is installed into the interpreter; where the wheel is.
pub fn package(workspace: &Workspace) -> Result<PathBuf> {
    let python = python(workspace)?;
    let wheels = workspace.cache().join("wheels");
    let _lock = workspace.lock()?;
    if wheels.is_dir() {
        fs::remove_dir_all(&wheels).context("cannot empty .cache/wheels")?;
    }
    shell::run(
        Command::new(&python)
            .args(["-m", "maturin", "build", "--quiet", "--profile", "dev", "--strip", "--out"])
            .arg(&wheels)
            .current_dir(&workspace.root),
    )
    .context("cannot build the wheel of the Python package")?;
    install_package(workspace, &python)?;
    let built = fs::read_dir(&wheels).context("cannot list .cache/wheels")?;
    let mut built = built.flatten().map(|file| file.path());
    built
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("maturin has left no wheel in .cache/wheels")
}

/// Installs the wheel of our Python package, which [`package`] has built, into an interpreter.
pub fn install_package(workspace: &Workspace, python: &Path) -> Result<()> {
    shell::run(
        Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-index", "--no-deps", "--force-reinstall", "rlhf-audit-trail"])
            .arg("--find-links")
            .arg(workspace.cache().join("wheels")),
    )
    .context("cannot install the wheel of the Python package")
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
    apt_get(&["chromium", "fonts-dejavu-core"]).context(advice)?;
    find().context(advice)
}

/// Where a Vulkan loader looks for drivers
/// (<https://github.com/KhronosGroup/Vulkan-Loader/blob/main/docs/LoaderDriverInterface.md>).
const VULKAN_DRIVERS: [&str; 3] =
    ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"];

/// A Vulkan driver in software, which stands in for a graphics card.
pub fn vulkan(workspace: &Workspace) -> Result<()> {
    let is_there = || {
        let drivers =
            VULKAN_DRIVERS.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let llvmpipe = |name: OsString| name.to_string_lossy().starts_with("lvp_icd");
        drivers.flatten().any(|driver| llvmpipe(driver.file_name()))
    };
    if is_there() {
        return Ok(());
    }
    let _lock = workspace.lock()?;
    let advice = "no Vulkan driver in software found; install Mesa's (Debian: `apt-get install mesa-vulkan-drivers libvulkan1`)";
    apt_get(&["mesa-vulkan-drivers", "libvulkan1"]).context(advice)?;
    if is_there() { Ok(()) } else { bail!(advice) }
}

/// What the Rust tests start: a Rekor server, a witness and the agent that holds its key; `openssl`
/// stamps, and Python opens the witness's database. And the tools that check a log without our code.
pub fn services(workspace: &Workspace) -> Result<()> {
    debian_package(workspace, "openssl", "openssl")?;
    debian_package(workspace, "ssh-agent", "openssh-client")?;
    debian_package(workspace, "python3", "python3")?;
    debian_package(workspace, "jq", "jq")?;
    go_programs(workspace, &[REKOR, LITEWITNESS, FSCK, SPICY])
}

/// The clients and servers of others that only `cargo xtask soak` has the time to build; the folder
/// they are in.
pub fn sigstore(workspace: &Workspace) -> Result<PathBuf> {
    go_programs(workspace, &[COSIGN, TIMESTAMP_SERVER])?;
    Ok(go_folder(workspace))
}

fn go_folder(workspace: &Workspace) -> PathBuf {
    workspace.cache().join("go/bin")
}

fn go_programs(workspace: &Workspace, programs: &[GoProgram]) -> Result<()> {
    let _lock = workspace.lock()?;
    for GoProgram { name, package, version } in programs {
        let folder = go_folder(workspace);
        let (program, built) = (folder.join(name), folder.join(format!("{name}.built-from")));
        let package = format!("{package}@{version}");
        let current = fs::read_to_string(&built).is_ok_and(|from| from == package);
        if current && program.is_file() {
            continue;
        }
        if shell::find("go").is_none() {
            bail!(
                "no Go found, which builds {name}; install Go 1.25 or later (https://go.dev/dl) and put it on the path"
            );
        }
        say(format_args!("building {package} (a minute or more)"));
        shell::run(
            Command::new("go")
                .args(["install", &package])
                .env("GOBIN", &folder)
                .env("GOFLAGS", "-trimpath"),
        )
        .with_context(|| {
            format!("cannot build {package}; Go 1.25 or later and access to Go modules are needed")
        })?;
        fs::write(&built, package)?;
    }
    Ok(())
}

/// A program of Debian's, wherever it came from.
fn debian_package(workspace: &Workspace, program: &str, package: &str) -> Result<()> {
    if shell::find(program).is_some() {
        return Ok(());
    }
    let _lock = workspace.lock()?;
    let advice = format!("no {program} found; install it (Debian: `apt-get install {package}`)");
    apt_get(&[package]).context(advice)
}

/// Installs packages where we may.
fn apt_get(packages: &[&str]) -> Result<()> {
    if shell::find("apt-get").is_none() || !is_root() {
        bail!("only root on Debian installs it by itself");
    }
    say(format_args!("installing {} with apt-get", packages.join(", ")));
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o=Dpkg::Use-Pty=0"]).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::run(apt_get().arg("update"))?;
    shell::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn same_content(left: &Path, right: &Path) -> bool {
    matches!((fs::read(left), fs::read(right)), (Ok(left), Ok(right)) if left == right)
}

fn is_root() -> bool {
    shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
