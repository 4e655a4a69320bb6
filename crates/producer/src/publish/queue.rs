//! What waits to be published, on the disk: each step is durable before the next is taken, so that whatever
//! dies, what goes on is the same statement to the byte, and no sequence number is used twice.
//!
//! | file in `private/publish/` | what it is |
//! |---|---|
//! | `heads/<size>` | a head that is to be published |
//! | `current/signed.json` | the statement in hand with its signature, before anybody sees it |
//! | `current/stamp` | the stamp over that signature |
//! | `current/<n>.sigstore.json` | the verified bundle of its entry in the n-th log |
//! | `current/<n>.tsr` | the stamp over that log's checkpoint |
//! | `last.json` | the last head that was published: from here on the next sequence number is free |
//! | `notices/<sequence>` | publications that the log is to note |
//! | `stamps/<sequence>.<n>` | publications that wait for a stamp over the log's checkpoint |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trail::anchor::{LogPosition, Previous};

use super::envelope::Envelope;
use crate::disk::{Disk, PRIVATE, PUBLIC, parent};
use crate::error::{Error, IoContext as _, Result};
use crate::folder::Folder;
use crate::head::SignedHead;

/// A head that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its sequence number.
    pub sequence: u64,
    /// Its size.
    pub size: u64,
    /// Its root, lower-case hex.
    pub root: String,
    /// Where it was published.
    pub published: Vec<PublishedIn>,
}

/// An entry of a public log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedIn {
    /// The log's name.
    pub log: String,
    /// Its id, lower-case hex.
    pub log_id: String,
    /// The entry's index.
    pub index: u64,
}

impl Publication {
    /// What the next statement says of it.
    pub fn previous(&self) -> Previous {
        let position = |p: &PublishedIn| LogPosition { log_id: p.log_id.clone(), index: p.index };
        Previous {
            size: self.size,
            root: self.root.clone(),
            published: self.published.iter().map(position).collect(),
        }
    }
}

/// The statement in hand.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Signed {
    /// The head that it is about, a signed note.
    pub note: String,
    pub sequence: u64,
    pub envelope: Envelope,
}

/// The queue of one log.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    disk: Disk,
    folder: Folder,
}

impl Queue {
    /// The queue of a log, empty if there is none yet.
    pub fn open(disk: &Disk, folder: &Folder) -> Result<Self> {
        let queue = Self { disk: disk.clone(), folder: folder.clone() };
        let root = folder.queue();
        if !root.is_dir() {
            disk.create_folder(&root, 0o700)?;
            disk.sync_folder(&folder.private())?;
        }
        for name in ["heads", "current", "notices", "stamps"] {
            if !root.join(name).is_dir() {
                disk.create_folder(&root.join(name), 0o700)?;
                disk.sync_folder(&root)?;
            }
        }
        Ok(queue)
    }

    /// Puts a head into the queue.
    pub fn put(&self, head: &SignedHead) -> Result<()> {
        let path = self.path("heads").join(head.checkpoint.size.to_string());
        self.disk.replace_shared(&path, head.note.as_bytes(), PRIVATE)
    }

    /// The sizes of the heads that wait, the one in hand not counted.
    pub fn waiting(&self) -> Result<Vec<u64>> {
        let mut sizes = numbered(&self.path("heads"))?;
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// A head that waits.
    pub fn head(&self, size: u64) -> Result<SignedHead> {
        SignedHead::read(&self.path("heads").join(size.to_string()))
    }

    pub fn drop_head(&self, size: u64) -> Result<()> {
        remove(&self.path("heads").join(size.to_string()))
    }

    /// The last head that was published.
    pub fn last(&self) -> Result<Option<Publication>> {
        self.read_json("last.json")
    }

    /// The statement in hand; one that has been published is not.
    pub fn signed(&self) -> Result<Option<Signed>> {
        let signed: Option<Signed> = self.read_json("current/signed.json")?;
        let next = self.last()?.map_or(0, |last| last.sequence + 1);
        Ok(signed.filter(|signed| signed.sequence == next))
    }

    /// Takes a statement in hand. Only then may anybody see it.
    pub fn sign(&self, signed: &Signed) -> Result<()> {
        // What is left of the one before: its place is in `anchors/`.
        for entry in list(&self.path("current"))? {
            remove(&entry)?;
        }
        self.disk.sync_folder(&self.path("current"))?;
        self.write_json("current/signed.json", signed)
    }

    /// Something kept of the statement in hand.
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>> {
        read(&self.path("current").join(name))
    }

    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.disk.replace(&self.path("current").join(name), bytes, PRIVATE)
    }

    pub fn forget(&self, name: &str) -> Result<()> {
        remove(&self.path("current").join(name))
    }

    /// Puts a public file beside the log.
    pub fn publish(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut missing = Vec::new();
        let mut folder = parent(path);
        while !folder.is_dir() {
            missing.push(folder.to_owned());
            folder = parent(folder);
        }
        for folder in missing.iter().rev() {
            self.disk.create_folder(folder, 0o755)?;
        }
        // Whoever made a folder and died may not have come to syncing its name.
        self.disk.replace_shared(path, bytes, PUBLIC)?;
        self.disk.sync_folder(parent(parent(path)))?;
        self.disk.sync_folder(self.folder.root())
    }

    /// The statement in hand is published: the log is to note it, and the next number is free.
    pub fn finish(&self, publication: &Publication, unstamped: &[usize]) -> Result<()> {
        for n in unstamped {
            let path = self.path("stamps").join(format!("{}.{n}", publication.sequence));
            self.disk.replace(&path, &[], PRIVATE)?;
        }
        self.write_json(&format!("notices/{}", publication.sequence), publication)?;
        self.write_json("last.json", publication)?;
        // From here on the rest is superfluous.
        self.drop_head(publication.size)
    }

    /// Publications that the log is to note.
    pub fn notices(&self) -> Result<Vec<Publication>> {
        let mut sequences = numbered(&self.path("notices"))?;
        sequences.sort_unstable();
        let notices = sequences.into_iter().map(|sequence| {
            let notice: Option<Publication> = self.read_json(&format!("notices/{sequence}"))?;
            notice.ok_or_else(|| Error::Missing(self.path("notices").join(sequence.to_string())))
        });
        notices.collect()
    }

    pub fn drop_notice(&self, sequence: u64) -> Result<()> {
        remove(&self.path("notices").join(sequence.to_string()))
    }

    /// Publications that wait for a stamp: sequence number and number of the log.
    pub fn unstamped(&self) -> Result<Vec<(u64, usize)>> {
        let mut waiting: Vec<(u64, usize)> = list(&self.path("stamps"))?
            .iter()
            .filter_map(|path| {
                let (sequence, n) = path.file_name()?.to_str()?.split_once('.')?;
                Some((sequence.parse().ok()?, n.parse().ok()?))
            })
            .collect();
        waiting.sort_unstable();
        Ok(waiting)
    }

    pub fn drop_unstamped(&self, sequence: u64, n: usize) -> Result<()> {
        remove(&self.path("stamps").join(format!("{sequence}.{n}")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.queue().join(name)
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path(name);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let broken = |_| {
            Error::damaged(&path, "not as it was written; restore the whole folder from a backup")
        };
        serde_json::from_slice(&bytes).map(Some).map_err(broken)
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.path(name);
        let json =
            serde_json::to_vec(value).map_err(io::Error::from).at(&path, "write the file")?;
        self.disk.replace(&path, &json, PRIVATE)
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some).at(path, "read the file"),
    }
}

/// Removes what is superfluous; what comes back after a crash is found to be.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.at(path, "remove the file"),
    }
}

fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at(path, "read the folder")?,
    };
    entries.map(|entry| Ok(entry.at(path, "read the folder")?.path())).collect()
}

/// The files that are named by a number.
fn numbered(path: &Path) -> Result<Vec<u64>> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
    Ok(list(path)?.iter().filter_map(number).collect())
}
