//! Where everything lies in the folder of a log, and the lock that keeps a second writer out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use trail::tile::TileId;

use crate::disk::PRIVATE;
use crate::error::{Error, IoContext as _, Result};

/// The folder of a log. The public part can be served as it is; `private/` never leaves the machine.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The head that the world sees.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    pub fn tile(&self, id: TileId) -> PathBuf {
        self.0.join(id.to_string())
    }

    /// A model card, under the digest that is in the log.
    pub fn card(&self, digest: &[u8; 32]) -> PathBuf {
        self.0.join("cards").join(format!("{}.json", hex::encode(digest)))
    }

    /// A regulatory report, under the digest that is in the log.
    pub fn report(&self, digest: &[u8; 32]) -> PathBuf {
        self.0.join("reports").join(format!("{}.json", hex::encode(digest)))
    }

    /// A signed head that a card speaks of, that was published, or that witnesses have cosigned.
    pub fn quoted_head(&self, size: u64) -> PathBuf {
        self.quoted_heads().join(size.to_string())
    }

    pub fn quoted_heads(&self) -> PathBuf {
        self.0.join("heads")
    }

    /// What shows that a head was published, under its sequence number.
    pub fn anchor(&self, sequence: u64) -> PathBuf {
        self.0.join("anchors").join(sequence.to_string())
    }

    /// A trust policy for trying out.
    pub fn policy(&self) -> PathBuf {
        self.0.join("policy")
    }

    pub fn private(&self) -> PathBuf {
        self.0.join("private")
    }

    /// Origin and model. Written last by `init`: where it stands, the log is complete.
    pub fn description(&self) -> PathBuf {
        self.private().join("log.json")
    }

    /// The signing key.
    pub fn log_key(&self) -> PathBuf {
        self.private().join("log.key")
    }

    /// The key that published heads are signed with.
    pub fn publishing_key(&self) -> PathBuf {
        self.private().join("publisher.key")
    }

    /// The public half of it, in PEM.
    pub fn publisher(&self) -> PathBuf {
        self.policy().join("publisher.pub")
    }

    /// Whom the producer trusts to publish to: a Sigstore trusted root.
    pub fn trusted_root(&self) -> PathBuf {
        self.policy().join("trusted_root.json")
    }

    /// What waits to be published.
    pub fn queue(&self) -> PathBuf {
        self.private().join("publish")
    }

    /// The key of a hybrid log's second signature.
    pub fn cosigning_key(&self) -> PathBuf {
        self.private().join("log-ml-dsa-44.key")
    }

    /// What shows that a key took over from another, or was taken out of use: the n-th such event.
    pub fn key_change(&self, n: usize) -> PathBuf {
        self.0.join("keys").join(format!("{n}.tlog-proof"))
    }

    /// Keys that are to take over.
    pub fn next(&self) -> PathBuf {
        self.private().join("next")
    }

    /// Which entry says so of the next publishing key.
    pub fn next_publisher(&self) -> PathBuf {
        self.next().join("publisher.json")
    }

    /// A key that has handed over, until it is retired.
    pub fn former_key(&self, fingerprint: &[u8; 32]) -> PathBuf {
        self.private().join("former").join(format!("{}.key", hex::encode(fingerprint)))
    }

    /// Where it stands, an event about keys may be in the log whose consequences are not all drawn.
    pub fn key_intent(&self) -> PathBuf {
        self.private().join("key-change.json")
    }

    /// The master key of the vault.
    pub fn vault_key(&self) -> PathBuf {
        self.private().join("vault.key")
    }

    /// The sealed private records.
    pub fn vault(&self) -> PathBuf {
        self.private().join("vault.redb")
    }

    /// The vault without what is to be erased, until it takes the vault's place.
    pub fn next_vault(&self) -> PathBuf {
        self.private().join("vault.next")
    }

    /// Where it stands, an erasure has begun that is to be finished.
    pub fn erasure_intent(&self) -> PathBuf {
        self.private().join("erasure.json")
    }

    /// The wrapped keys of the subjects.
    pub fn subjects(&self) -> PathBuf {
        self.private().join("subjects")
    }

    /// Who was charged what for the release of noised values.
    pub fn privacy_ledger(&self) -> PathBuf {
        self.private().join("privacy").join("ledger")
    }

    /// The write-ahead log.
    pub fn wal(&self) -> PathBuf {
        self.private().join("wal")
    }

    /// The newest head that was ever signed.
    pub fn head(&self) -> PathBuf {
        self.private().join("head")
    }

    /// What a witness has said against this log. Where it stands, nothing more is signed.
    pub fn contradiction(&self) -> PathBuf {
        self.private().join("contradiction.json")
    }

    /// Takes the log for this process, for as long as the lock lives.
    pub fn lock(&self) -> Result<Lock> {
        let locked = |pid| Error::Locked { path: self.0.clone(), pid };
        take(&self.private().join("lock"), locked)
    }

    /// Takes the queue of what is to be published: one process sends.
    pub fn lock_queue(&self) -> Result<Lock> {
        let locked = |pid| Error::Publishing { path: self.0.clone(), pid };
        take(&self.queue().join("lock"), locked)
    }
}

fn take(path: &Path, locked: impl Fn(Option<u32>) -> Error) -> Result<Lock> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
        .at(path, "open the lock")?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The pid only serves the message.
            let _ = file.read_to_string(&mut pid);
            return Err(locked(pid.trim().parse().ok()));
        }
        Err(TryLockError::Error(e)) => return Err(e).at(path, "lock the file"),
    }
    file.set_len(0).at(path, "write the lock")?;
    writeln!(file, "{}", std::process::id()).at(path, "write the lock")?;
    Ok(Lock { file })
}

/// The right to write. The operating system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing is not enough: a child that another thread is just starting holds a copy of the open file until
    /// it executes its program, and with it the lock.
    fn drop(&mut self) {
        // What cannot be given back here is given back by the operating system.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_open_file_in_a_child_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        std::fs::create_dir_all(folder.private()).unwrap();
        let lock = folder.lock().unwrap();
        let in_a_child = lock.file.try_clone().unwrap();
        assert!(matches!(folder.lock(), Err(Error::Locked { .. })));
        drop(lock);
        folder.lock().unwrap();
        drop(in_a_child);
    }
}
