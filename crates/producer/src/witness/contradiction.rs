//! A witness that has seen another log than the one in this folder. Either the folder was restored from
//! an older copy, or two copies of it were written to; with the next head that is signed, the log's key
//! would say two things that exclude each other. So none is signed until a person has looked into it.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use trail::merkle::Hash;
use trail::time::to_rfc3339;

use crate::audit::Audit;
use crate::disk::PRIVATE;
use crate::error::{Error, IoContext as _, Result};
use crate::folder::Folder;
use crate::head::SignedHead;

/// What a witness has seen, against what this log has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Where the witness is asked.
    pub url: String,
    /// Its verifier keys, as the policy has them.
    pub keys: Vec<String>,
    /// The number of entries of the newest head that it has cosigned.
    pub size: u64,
    /// The root that this log has at that size, which is not what the witness has seen; `None` where the
    /// log is smaller.
    pub root_here: Option<Hash>,
    /// A head of that size that was kept beside the log, whatever its root.
    pub there: Option<SignedHead>,
    /// The newest head of this log.
    pub here: SignedHead,
    /// What the witness answered.
    pub answer: String,
}

impl Contradiction {
    /// Why the log must not go on, in one sentence.
    pub fn why(&self) -> String {
        let (url, size, here) = (&self.url, self.size, self.here.checkpoint.size);
        match self.root_here {
            None => format!(
                "the witness {url} has cosigned a head of {size} entries, and this log has only {here}: it was \
                 restored from an older copy"
            ),
            Some(root) => format!(
                "the witness {url} has cosigned a head of {size} entries whose root is not {}, which this log has \
                 at that size: one of the two was made from a rewritten or restored folder",
                hex::encode(root)
            ),
        }
    }

    /// The same for programs, with both heads as far as they are known.
    pub fn to_json(&self) -> Json {
        let head = |head: &SignedHead| {
            let checkpoint = &head.checkpoint;
            json!({"size": checkpoint.size, "root": hex::encode(checkpoint.root), "note": head.note})
        };
        json!({
            "url": self.url,
            "keys": self.keys,
            "reason": self.why(),
            "answer": self.answer,
            "here": head(&self.here),
            "there": {
                "size": self.size,
                "root_here": self.root_here.map(hex::encode),
                "kept": self.there.as_ref().map(head),
            },
        })
    }
}

impl Audit {
    /// Settles what a witness has said against this log: `Some` says why it is no contradiction after all,
    /// since the log has grown in the meantime. Otherwise evidence is kept, and this log signs nothing more.
    ///
    /// # Errors
    /// The evidence cannot be written.
    pub fn contradicted(&mut self, by: &Contradiction) -> Result<Option<String>> {
        if by.root_here.is_none() && by.size <= self.size() {
            return Ok(Some(format!(
                "the log has grown to {} entries meanwhile; ask again",
                self.size()
            )));
        }
        self.stopped = true;
        let mut json = by.to_json();
        json["v"] = json!(1);
        json["noted"] = json!(to_rfc3339(crate::sequencer::now()));
        let path = self.folder.contradiction();
        let bytes = serde_json::to_vec_pretty(&json).map_err(io::Error::from);
        self.disk.replace(&path, &bytes.at(&path, "write the file")?, PRIVATE)?;
        Ok(None)
    }
}

/// Refuses to go on with a log that a witness has contradicted.
pub(crate) fn refuse_after(folder: &Folder) -> Result<()> {
    let path: PathBuf = folder.contradiction();
    match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        text => {
            let json: Json =
                serde_json::from_slice(&text.at(&path, "read the file")?).unwrap_or_default();
            let why =
                json["reason"].as_str().unwrap_or("a witness has contradicted this log").to_owned();
            Err(Error::Contradicted { path, why })
        }
    }
}
