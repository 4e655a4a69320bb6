//! Checkpoints on disk: one safetensors file, or a folder of shards with their index.
//!
//! Files are mapped where the system does that, and read in pieces elsewhere and for other devices.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::engine::EngineError;
use crate::map::Map;
use crate::safetensors::{self, HeaderError, MAX_HEADER, PREFIX, Tensor};

/// Why a checkpoint cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("{}: could not read it: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not safetensors, or lies.
    #[error("{}: {source}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: HeaderError,
    },
    /// The folder holds no checkpoint, or its index does not fit.
    #[error("{}: {why}", path.display())]
    Folder {
        /// The folder or index.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file did not stay as it was while it was read.
    #[error("{}: the file {how} while it was read; do this again when nobody writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What became of it.
        how: &'static str,
    },
    /// The device that was to digest it failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The tensors of a checkpoint and where their bytes are.
#[derive(Debug)]
pub struct Checkpoint {
    files: Vec<OpenFile>,
    /// The index of shards.
    index: Option<(PathBuf, Stamp)>,
    tensors: Vec<Located>,
}

/// A tensor and its file.
#[derive(Debug)]
pub struct Located {
    file: usize,
    /// The tensor.
    pub tensor: Tensor,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: File,
    stamp: Stamp,
    /// Made when the first bytes are wanted; `None` where it cannot be.
    map: OnceLock<Option<Map>>,
}

/// What the system tells of a file, all of which stays while nobody touches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    /// Device and inode: which file it is.
    identity: (u64, u64),
    length: u64,
    /// Last change of the content, and of anything: a program can set back the first only.
    times: [(i64, i64); 2],
}

impl Checkpoint {
    /// Opens a `.safetensors` file, or a folder with `model.safetensors` or shards and their index.
    ///
    /// # Errors
    /// It is neither, or a file of it cannot be read or lies.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let Parts { paths, index } = if path.is_dir() {
            parts(path)?
        } else {
            Parts { paths: vec![path.to_owned()], index: None }
        };
        let mut checkpoint = Self { files: Vec::new(), index, tensors: Vec::new() };
        let mut names: HashMap<String, PathBuf> = HashMap::new();
        for path in paths {
            let (file, tensors) = OpenFile::open(&path)?;
            for tensor in tensors {
                if let Some(other) = names.insert(tensor.name.clone(), path.clone()) {
                    let name: String = tensor.name.chars().take(200).collect();
                    let why = format!("the tensor `{name}` is in {} as well", other.display());
                    return Err(CheckpointError::Folder { path, why });
                }
                checkpoint.tensors.push(Located { file: checkpoint.files.len(), tensor });
            }
            checkpoint.files.push(file);
        }
        checkpoint.tensors.sort_by(|a, b| a.tensor.name.as_bytes().cmp(b.tensor.name.as_bytes()));
        Ok(checkpoint)
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> &[Located] {
        &self.tensors
    }

    /// The bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|located| located.tensor.length).sum()
    }

    /// Fills `buffer` with a tensor's bytes from `from` on.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter.
    pub fn read(
        &self,
        located: &Located,
        from: u64,
        buffer: &mut [u8],
    ) -> Result<(), CheckpointError> {
        let file = &self.files[located.file];
        match file.file.read_exact_at(buffer, located.tensor.offset + from) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(changed(&file.path, "became shorter"))
            }
            result => result.map_err(|source| file.error(source)),
        }
    }

    /// A tensor's bytes from `from` on, where they are; `None` where they are to be read. What is in them counts
    /// only when [`Self::check_unchanged`] finds nothing afterwards.
    pub(crate) fn mapped(&self, located: &Located, from: u64, length: usize) -> Option<&[u8]> {
        self.files[located.file].map()?.bytes(located.tensor.offset + from, length)
    }

    /// Checks that every file is still the one that was opened, and as it was: shards that are replaced
    /// one after the other would else be read as a checkpoint that never was.
    ///
    /// # Errors
    /// One is not; the error names it.
    pub fn check_unchanged(&self) -> Result<(), CheckpointError> {
        self.files.iter().try_for_each(OpenFile::check_unchanged)?;
        self.index.iter().try_for_each(|(path, stamp)| stamp.check_path(path))
    }

    /// The error that a tensor's bytes are not those read before.
    pub(crate) fn rewritten(&self, located: &Located) -> CheckpointError {
        changed(&self.files[located.file].path, REWRITTEN)
    }
}

impl OpenFile {
    fn open(path: &Path) -> Result<(Self, Vec<Tensor>), CheckpointError> {
        let error = |source| CheckpointError::Io { path: path.to_owned(), source };
        let refused = |source| CheckpointError::Header { path: path.to_owned(), source };
        let file = File::open(path).map_err(error)?;
        let metadata = file.metadata().map_err(error)?;
        let stamp = Stamp::of(&metadata);
        let length = stamp.length;
        let mut start = Vec::new();
        (&file).take(PREFIX).read_to_end(&mut start).map_err(error)?;
        let header = safetensors::header_length(&start, length).map_err(refused)?;
        // At most 100 MB, as checked.
        let mut bytes = vec![0; header.min(MAX_HEADER) as usize];
        file.read_exact_at(&mut bytes, PREFIX).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => changed(path, "became shorter"),
            _ => error(e),
        })?;
        let tensors = safetensors::parse_header(&bytes, length).map_err(refused)?;
        Ok((Self { path: path.to_owned(), file, stamp, map: OnceLock::new() }, tensors))
    }

    fn map(&self) -> Option<&Map> {
        self.map.get_or_init(|| Map::new(&self.file, self.stamp.length)).as_ref()
    }

    fn check_unchanged(&self) -> Result<(), CheckpointError> {
        let now = self.file.metadata().map_err(|source| self.error(source))?;
        // Who put another file in its place has touched this one too: what is at the path says more.
        self.stamp.check_path(&self.path)?;
        self.stamp.check(&Stamp::of(&now), &self.path)?;
        match self.map.get() {
            // It is as it was, so its length was not the reason.
            Some(Some(map)) if map.is_torn() => Err(self.error(io::Error::other(
                "the system could not bring some of its bytes; is its disk all right?",
            ))),
            _ => Ok(()),
        }
    }

    fn error(&self, source: io::Error) -> CheckpointError {
        CheckpointError::Io { path: self.path.clone(), source }
    }
}

const REWRITTEN: &str = "was written to";

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            identity: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            times: [
                (metadata.mtime(), metadata.mtime_nsec()),
                (metadata.ctime(), metadata.ctime_nsec()),
            ],
        }
    }

    fn check_path(&self, path: &Path) -> Result<(), CheckpointError> {
        match fs::metadata(path) {
            Ok(now) => self.check(&Self::of(&now), path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(changed(path, "was moved or removed"))
            }
            Err(source) => Err(CheckpointError::Io { path: path.to_owned(), source }),
        }
    }

    fn check(&self, now: &Self, path: &Path) -> Result<(), CheckpointError> {
        let how = if now.identity != self.identity {
            "was replaced by another"
        } else if now.length < self.length {
            "became shorter"
        } else if now.length > self.length {
            "grew"
        } else if now != self {
            REWRITTEN
        } else {
            return Ok(());
        };
        Err(changed(path, how))
    }
}

fn changed(path: &Path, how: &'static str) -> CheckpointError {
    CheckpointError::Changed { path: path.to_owned(), how }
}

/// The index beside shards, as `save_pretrained` writes it.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
    /// Read, so that it is text, and that a list, as which serde takes any structure, is no index.
    #[serde(flatten)]
    _rest: IgnoredAny,
}

/// The safetensors files that make up a checkpoint, and their index where there is one.
struct Parts {
    paths: Vec<PathBuf>,
    index: Option<(PathBuf, Stamp)>,
}

/// The parts of the checkpoint in a folder.
fn parts(dir: &Path) -> Result<Parts, CheckpointError> {
    let wrong = |path: &Path, why: String| CheckpointError::Folder { path: path.to_owned(), why };
    let single = dir.join("model.safetensors");
    if single.is_file() {
        return Ok(Parts { paths: vec![single], index: None });
    }
    let mut indices = named(dir, ".safetensors.index.json")?;
    let Some(path) = indices.pop() else {
        return Ok(Parts { paths: unindexed(dir)?, index: None });
    };
    if !indices.is_empty() {
        return Err(wrong(dir, "it holds more than one index; name the file you mean".into()));
    }
    let error = |source| CheckpointError::Io { path: path.clone(), source };
    // Before it is read, so that whatever changes later is seen.
    let stamp = Stamp::of(&fs::metadata(&path).map_err(error)?);
    let json = fs::read(&path).map_err(error)?;
    let index: Index = serde_json::from_slice(&json)
        .map_err(|e| wrong(&path, format!("not an index of shards: {e}")))?;
    let mut files: Vec<&String> = index.weight_map.values().collect();
    files.sort();
    files.dedup();
    if let Some(name) = files.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref()))
    {
        return Err(wrong(&path, format!("it names a shard outside its folder: {name}")));
    }
    let paths = files.iter().map(|name| dir.join(name)).collect::<Vec<_>>();
    check_index(&path, &index, &paths)?;
    Ok(Parts { paths, index: Some((path, stamp)) })
}

/// The index must name every tensor of the shards, in its shard, and no other.
fn check_index(path: &Path, index: &Index, shards: &[PathBuf]) -> Result<(), CheckpointError> {
    let wrong = |why: String| CheckpointError::Folder { path: path.to_owned(), why };
    let mut found = 0;
    for shard in shards {
        let name = shard.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for tensor in OpenFile::open(shard)?.1 {
            if index.weight_map.get(&tensor.name).map(String::as_str) != Some(name) {
                let tensor: String = tensor.name.chars().take(200).collect();
                return Err(wrong(format!("it does not name the tensor `{tensor}` of {name}")));
            }
            found += 1;
        }
    }
    if found != index.weight_map.len() {
        return Err(wrong(format!(
            "it names {} tensors and the shards hold {found}",
            index.weight_map.len()
        )));
    }
    Ok(())
}

/// A folder without an index: the one safetensors file in it, as adapters are saved.
fn unindexed(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let files = named(dir, ".safetensors")?;
    let why = match files.len() {
        1 => return Ok(files),
        0 if !named(dir, ".bin")?.is_empty() => {
            "only pickled .bin files are in it, which can run code when loaded and are not read here; save it \
             again with model.save_pretrained(DIR, safe_serialization=True)"
        }
        0 => "no .safetensors file is in it",
        _ => "it holds several .safetensors files and no index; name the file you mean",
    };
    Err(CheckpointError::Folder { path: dir.to_owned(), why: why.to_owned() })
}

fn named(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, CheckpointError> {
    let error = |source| CheckpointError::Io { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(ending)) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
