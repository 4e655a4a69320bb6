//! Where things lie, wherever the task was called from.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::shell;

/// The checkout a task works on.
pub struct Workspace {
    /// The folder with the workspace's Cargo.toml.
    pub root: PathBuf,
}

impl Workspace {
    /// The checkout this binary was built from.
    pub fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or_else(|| anyhow!("xtask/ has no parent folder"))?
            .to_path_buf();
        Ok(Self { root })
    }

    /// A path given from the root.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Tools and build products that are not Cargo's; git ignores it and deleting it is safe.
    pub fn cache(&self) -> PathBuf {
        self.path(".cache")
    }

    /// The Cargo that runs us, in the root.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }

    /// Cargo's target folder, however it was set: by the environment, a configuration file or not at all.
    pub fn target(&self) -> Result<PathBuf> {
        let metadata =
            shell::output(self.cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
        let target = metadata["target_directory"]
            .as_str()
            .ok_or_else(|| anyhow!("`cargo metadata` names no target directory"))?;
        Ok(PathBuf::from(target))
    }

    /// Builds the command line program, unoptimised, and says where it is.
    pub fn rlhf_audit(&self) -> Result<PathBuf> {
        shell::run(self.cargo().args(["build", "--package", "rlhf-audit"]))?;
        Ok(self.target()?.join("debug/rlhf-audit"))
    }

    /// Keeps a second task out while this one installs or writes; released when dropped.
    pub fn lock(&self) -> Result<File> {
        let path = self.cache().join("lock");
        fs::create_dir_all(self.cache())
            .and_then(|()| File::create(&path))
            .and_then(|file| match file.try_lock() {
                Ok(()) => Ok(file),
                Err(TryLockError::WouldBlock) => {
                    shell::say("waiting for another `cargo xtask` to finish");
                    file.lock().map(|()| file)
                }
                Err(TryLockError::Error(error)) => Err(error),
            })
            .with_context(|| format!("cannot lock {}", path.display()))
    }
}
