//! Every change to a log folder passes through here: one place that makes files durable, and one
//! place where tests make the disk fail, the process die or the power go.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{IoContext as _, Result};

/// Files anyone may read: the public log.
pub(crate) const PUBLIC: u32 = 0o644;

/// Files only the owner may read.
pub(crate) const PRIVATE: u32 = 0o600;

/// Threads that sync new files side by side: the file system then joins their journal commits,
/// which makes hundreds of small files several times faster.
const SYNC_THREADS: usize = 8;

/// The disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) faults: Option<std::sync::Arc<crate::faults::Faults>>,
}

/// A file to be put in place as a whole.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

impl Disk {
    /// Puts a file in place so that after a crash there is the old one or the new one, whole: write
    /// beside it, sync, rename, sync the folder.
    pub fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        self.replace_by(&beside(path), path, bytes, mode)
    }

    /// The same for a file that two processes may put in place at once: neither stumbles over the other's
    /// temporary file. What a crash leaves of one stays, so this is for nothing that is secret.
    pub fn replace_shared(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{count}.tmp", std::process::id()));
        self.replace_by(&path.with_file_name(name), path, bytes, mode)
    }

    fn replace_by(&self, temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        let file = self.write_to(temporary, path, bytes, mode)?;
        self.sync(&file, path)?;
        self.rename(temporary, path)?;
        self.sync_folder(parent(path))
    }

    /// Puts many public files in place. Their names are durable only once the folders are synced,
    /// which is left to [`Folders::sync`].
    pub fn publish(&self, files: &[NewFile], folders: &mut Folders) -> Result<()> {
        let mut handles = Vec::with_capacity(files.len());
        for file in files {
            folders.make(self, parent(&file.path))?;
            handles.push(self.write_to(&beside(&file.path), &file.path, &file.bytes, PUBLIC)?);
        }
        self.sync_all(files, &handles)?;
        // A name must never stand before its content: rename only what is synced.
        for file in files {
            self.rename(&beside(&file.path), &file.path)?;
        }
        Ok(())
    }

    /// Does two things that touch different files side by side.
    pub fn both(
        &self,
        one: impl FnOnce() -> Result<()> + Send,
        other: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if self.is_simulated() {
            return one().and_then(|()| other());
        }
        std::thread::scope(|scope| {
            let one = scope.spawn(one);
            let other = other();
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(other)
        })
    }

    fn sync_all(&self, files: &[NewFile], handles: &[File]) -> Result<()> {
        let share = files.len().div_ceil(self.sync_threads()).max(1);
        std::thread::scope(|scope| {
            let workers: Vec<_> = files
                .chunks(share)
                .zip(handles.chunks(share))
                .map(|(files, handles)| {
                    scope.spawn(move || {
                        let mut pairs = files.iter().zip(handles);
                        pairs.try_for_each(|(file, handle)| self.sync(handle, &file.path))
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }

    fn write_to(&self, temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<File> {
        self.before("create", temporary).at(path, "create the file")?;
        // No O_EXCL: what a crash left under this name is worthless.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(temporary)
            .at(path, "create the file")?;
        self.write_at(&file, path, 0, bytes)?;
        Ok(file)
    }

    /// Puts a file in the place of another. It is durable once the folder is synced.
    pub fn rename(&self, temporary: &Path, path: &Path) -> Result<()> {
        self.before("rename", path).at(path, "rename the file")?;
        fs::rename(temporary, path).at(path, "rename the file")
    }

    /// Creates a file that must not exist yet, and syncs it.
    pub fn create_new(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<File> {
        self.before("create", path).at(path, "create the file")?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .at(path, "create the file")?;
        self.write_at(&file, path, 0, bytes)?;
        self.sync(&file, path)?;
        Ok(file)
    }

    /// Writes at a place of an open file.
    pub fn write_at(&self, file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
        let written = self.before_write(path, bytes.len()).at(path, "write to the file")?;
        file.write_all_at(&bytes[..written], offset).at(path, "write to the file")?;
        // Only a test's fault lets through less than everything.
        if written < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into()).at(path, "write to the file");
        }
        Ok(())
    }

    /// Cuts an open file off.
    pub fn set_len(&self, file: &File, path: &Path, len: u64) -> Result<()> {
        self.before("truncate", path).at(path, "truncate the file")?;
        file.set_len(len).at(path, "truncate the file")
    }

    /// Makes a file's content durable.
    pub fn sync(&self, file: &File, path: &Path) -> Result<()> {
        self.before("sync", path).at(path, "sync the file")?;
        if !self.is_simulated() {
            file.sync_data().at(path, "sync the file")?;
        }
        self.after_sync(file, path);
        Ok(())
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, path: &Path) -> Result<()> {
        self.before("sync folder", path).at(path, "sync the folder")?;
        if !self.is_simulated() {
            let folder = File::open(path).at(path, "open the folder")?;
            folder.sync_all().at(path, "sync the folder")?;
        }
        self.after_folder_sync(path);
        Ok(())
    }

    /// Creates one folder.
    pub fn create_folder(&self, path: &Path, mode: u32) -> Result<()> {
        self.before("create folder", path).at(path, "create the folder")?;
        DirBuilder::new().mode(mode).create(path).at(path, "create the folder")
    }

    /// Removes a file, if it is there. What must not come back after a crash needs its folder synced.
    pub fn remove(&self, path: &Path) -> Result<()> {
        self.before("remove", path).at(path, "remove the file")?;
        match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.at(path, "remove the file"),
        }
    }

    /// Removes a folder of files that nobody needs any more. It need not be durable: what comes back
    /// after a crash is only superfluous.
    pub fn discard_folder(&self, path: &Path) {
        if self.before("remove", path).is_ok() {
            // Superfluous files are no reason to stop the log.
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// In the program the disk does what it is told; faults exist only in tests.
#[cfg(not(test))]
impl Disk {
    fn is_simulated(&self) -> bool {
        false
    }

    fn sync_threads(&self) -> usize {
        SYNC_THREADS
    }

    #[inline]
    fn before(&self, _: &'static str, _: &Path) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    fn before_write(&self, _: &Path, len: usize) -> io::Result<usize> {
        Ok(len)
    }

    #[inline]
    fn after_sync(&self, _: &File, _: &Path) {}

    #[inline]
    fn after_folder_sync(&self, _: &Path) {}
}

#[cfg(test)]
impl Disk {
    fn is_simulated(&self) -> bool {
        self.faults.is_some()
    }

    fn sync_threads(&self) -> usize {
        // One by one, so that a seed always meets the same fault.
        if self.faults.is_some() { 1 } else { SYNC_THREADS }
    }

    pub(crate) fn before(&self, step: &'static str, path: &Path) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| faults.before(step, path))
    }

    pub(crate) fn before_write(&self, path: &Path, len: usize) -> io::Result<usize> {
        self.faults.as_ref().map_or(Ok(len), |faults| faults.before_write(path, len))
    }

    pub(crate) fn after_sync(&self, file: &File, path: &Path) {
        if let Some(faults) = &self.faults {
            faults.after_sync(file, path);
        }
    }

    fn after_folder_sync(&self, path: &Path) {
        if let Some(faults) = &self.faults {
            faults.after_folder_sync(path);
        }
    }
}

/// The folders of the public log: made when needed, synced when their names must last.
#[derive(Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    known: BTreeSet<PathBuf>,
    unsynced: BTreeSet<PathBuf>,
}

impl Folders {
    /// The folders below `root`, none of them known to be durable.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), known: BTreeSet::new(), unsynced: BTreeSet::new() }
    }

    /// Makes sure that a folder exists, and that [`Folders::sync`] will cover the new names in it.
    fn make(&mut self, disk: &Disk, path: &Path) -> Result<()> {
        if !self.known.contains(path) {
            // Its own name stands in the folder above. That one is synced even if this folder exists:
            // a process that died may have made it and not have come to the sync.
            if path != self.root {
                self.make(disk, parent(path))?;
            }
            if !path.is_dir() {
                disk.create_folder(path, 0o755)?;
            }
            self.known.insert(path.to_owned());
        }
        self.unsynced.insert(path.to_owned());
        Ok(())
    }

    /// Makes all new names durable.
    pub fn sync(&mut self, disk: &Disk) -> Result<()> {
        for path in &self.unsynced {
            disk.sync_folder(path)?;
        }
        self.unsynced.clear();
        Ok(())
    }
}

pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// The folder a path lies in, for a path that may be relative.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file of the user's whole or not at all: a temporary one beside it takes its place once synced.
///
/// # Errors
/// It cannot be written; then what was there before is untouched.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_as(path, bytes, PUBLIC)
}

/// As [`write_whole`], and only the user may read it.
///
/// # Errors
/// Those of [`write_whole`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write_as(path, bytes, PRIVATE)
}

fn write_as(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let written = Disk::default().replace(path, bytes, mode);
    if written.is_err() {
        // It may not have come to a temporary file; the first error is the one to report.
        let _ = fs::remove_file(beside(path));
    }
    written
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn two_writers_of_one_file_do_not_stumble_over_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7");
        let write = || Disk::default().replace_shared(&path, b"the same", PUBLIC).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| write()));
            }
        });
        assert_eq!(fs::read(&path).unwrap(), b"the same");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
