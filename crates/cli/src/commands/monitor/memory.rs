//! The state folder: what was seen, and the evidence of what is wrong.
//!
//! | file | what it is |
//! |---|---|
//! | `state.json` | what is remembered from one look to the next |
//! | `evidence/<finding>/…` | the signed statements that show what is wrong |
//! | `lock` | held while a watcher runs |

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use ::monitor::{Report, State};
use trail::merkle::sha256;

use crate::args::Monitor;
use crate::failure::Failure;
use crate::output::write_file;

/// The state folder, which no other watcher uses meanwhile.
pub struct Memory {
    folder: PathBuf,
    _lock: File,
}

impl Memory {
    /// Opens the folder that was named, or the one for this target.
    pub fn open(args: &Monitor) -> Result<Self, Failure> {
        let folder = match &args.state {
            Some(folder) => folder.clone(),
            None => default_folder(&args.target)?,
        };
        fs::create_dir_all(&folder).map_err(|e| Failure::file(&folder, "make the folder", &e))?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(|e| Failure::file(&path, "open the lock", &e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::input(format!(
                "{}: another monitor is at work with this state",
                folder.display()
            ))),
            Err(TryLockError::Error(e)) => Err(Failure::file(&path, "lock the file", &e)),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// What is remembered; nothing at first.
    pub fn state(&self) -> Result<State, Failure> {
        let path = self.file();
        let json = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            json => json.map_err(|e| Failure::file(&path, "read the state", &e))?,
        };
        State::from_json(&json).map_err(|e| {
            Failure::input(format!("{}: not the state of a monitor: {e}", path.display()))
        })
    }

    /// Remembers.
    pub fn save(&self, state: &State) -> Result<(), Failure> {
        write_file(&self.file(), state.to_json().as_bytes())
    }

    /// Keeps the evidence of each finding; gives the folder of each. What is there already is left.
    pub fn keep_evidence(&self, report: &Report) -> Result<Vec<PathBuf>, Failure> {
        let keep = |finding: &::monitor::Finding| {
            let folder = self.folder.join("evidence").join(finding.name());
            fs::create_dir_all(&folder)
                .map_err(|e| Failure::file(&folder, "make the folder", &e))?;
            write_new(
                &folder.join("finding.txt"),
                format!("{}\n{}\n", report.at, finding.what).as_bytes(),
            )?;
            for (name, bytes) in &finding.evidence {
                write_new(&folder.join(name), bytes)?;
            }
            Ok(folder)
        };
        report.findings.iter().map(keep).collect()
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path.exists() { Ok(()) } else { write_file(path, bytes) }
}

/// The XDG Base Directory Specification's place for what a program remembers.
fn default_folder(target: &str) -> Result<PathBuf, Failure> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let base = base.ok_or_else(|| {
        Failure::input("neither XDG_STATE_HOME nor HOME is set; give --state DIR")
    })?;
    // A folder is the same one from wherever it is named.
    let target = fs::canonicalize(target).map_or(target.to_owned(), |p| p.display().to_string());
    let digest: String = sha256(target.trim_end_matches('/').as_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(base.join("rlhf-audit").join("monitor").join(digest))
}
