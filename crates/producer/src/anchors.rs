//! What was published of a log, as it lies beside it.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_bytes::ByteBuf;
use serde_json::Value as Json;
use trail::anchor::{Anchor, PublishedHead};

use crate::error::{IoContext as _, Result};
use crate::head::SignedHead;
use crate::reader::LogReader;

/// The heads of a log that were published, and what shows it. Nothing of it is verified.
#[derive(Clone, Debug, Default)]
pub struct Published(Vec<(Option<SignedHead>, Vec<Anchor>)>);

impl Published {
    /// What shows it, by sequence number.
    pub fn anchors(&self) -> Vec<Anchor> {
        self.0.iter().flat_map(|(_, anchors)| anchors.iter().cloned()).collect()
    }

    /// The heads, oldest first.
    pub fn heads(&self) -> impl Iterator<Item = &SignedHead> {
        self.0.iter().filter_map(|(head, _)| head.as_ref())
    }

    /// Takes up one published head with what shows it.
    pub fn push(&mut self, head: Option<SignedHead>, anchors: Vec<Anchor>) {
        self.0.push((head, anchors));
    }

    /// Keeps the newest, so that there are at most so many anchors.
    pub fn keep_newest(&mut self, anchors: usize) {
        let mut count: usize = self.0.iter().map(|(_, anchors)| anchors.len()).sum();
        let surplus = self.0.iter().take_while(|(_, of_one)| {
            let too_many = count > anchors;
            count -= of_one.len();
            too_many
        });
        let surplus = surplus.count();
        self.0.drain(..surplus);
    }
}

/// The size of the head that a bundle is about, by its statement.
pub fn published_size(bundle: &[u8]) -> Option<u64> {
    let json: Json = serde_json::from_slice(bundle).ok()?;
    let payload = STANDARD.decode(json.pointer("/dsseEnvelope/payload")?.as_str()?).ok()?;
    PublishedHead::parse(&payload).ok().map(|(head, _)| head.size)
}

impl LogReader {
    /// The newest published heads of at most this log's size, with at most so many anchors.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn published(&self, at_most: usize) -> Result<Published> {
        let mut published = Published::default();
        for sequence in 0.. {
            let folder = self.folder().anchor(sequence);
            let mut anchors = Vec::new();
            while let Some(bundle) = read(&folder.join(format!("{}.sigstore.json", anchors.len())))?
            {
                let stamp = read(&folder.join(format!("{}.tsr", anchors.len())))?;
                let stamp = stamp.map(ByteBuf::from);
                anchors.push(Anchor { stamp, bundle: ByteBuf::from(bundle) });
            }
            let Some(first) = anchors.first() else { break };
            let size = published_size(&first.bundle);
            if size.is_some_and(|size| size > self.size()) {
                break;
            }
            let path = size.map(|size| self.folder().quoted_head(size));
            let head = path.filter(|path| path.is_file()).map(|path| SignedHead::read(&path));
            published.push(head.transpose()?, anchors);
        }
        published.keep_newest(at_most);
        Ok(published)
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    /// A bundle or a stamp of several KB; what is larger, verification refuses.
    const LIMIT: u64 = 1 << 20;
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => {
            let found = found.at(path, "read the file")?;
            if !found.is_file() || found.len() > LIMIT {
                return Err(crate::Error::damaged(path, "not a bundle or time stamp"));
            }
        }
    }
    fs::read(path).map(Some).at(path, "read the file")
}
