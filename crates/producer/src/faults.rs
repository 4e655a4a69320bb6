//! A simulated disk for tests: at a chosen step it fails, or the process dies there, or the power goes.
//!
//! Files are real; only syncing is simulated. What was synced is remembered, so that after a power cut
//! the folder can be put into a state that a real disk could be in: of everything that was not synced, file
//! contents and names in folders alike, some is there and some is as it was at the last sync.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use redb::StorageBackend;

use crate::disk::Disk;

/// What goes wrong, and at which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing.
    Nothing,
    /// This one step fails.
    Fail(u64),
    /// From this step on there is no space for anything new.
    Full(u64),
    /// The process dies. All it did before stays.
    Kill(u64),
    /// The power goes. Only what was synced is sure to stay.
    PowerCut(u64),
}

/// The simulated disk.
#[derive(Debug)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Debug)]
struct State {
    rng: StdRng,
    plan: Plan,
    step: u64,
    dead: bool,
    synced: Synced,
}

impl Faults {
    /// A disk on which everything below `root` is durable.
    pub fn new(root: &Path, seed: u64) -> Arc<Self> {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            plan: Plan::Nothing,
            step: 0,
            dead: false,
            synced: Synced::all_below(root),
        };
        Arc::new(Self(Mutex::new(state)))
    }

    /// Begins a life of the process.
    pub fn begin(&self, plan: Plan) {
        let mut state = self.state();
        (state.plan, state.step, state.dead) = (plan, 0, false);
    }

    /// Whether the plan came to pass.
    pub fn has_struck(&self) -> bool {
        let state = self.state();
        state.step >= state.plan.step()
    }

    /// Whether the process is dead.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Puts the folder into a state it could be in after a power cut. Of what was not synced, nothing is
    /// left in one case of three.
    pub fn cut_power(&self, root: &Path) {
        let state = &mut *self.state();
        let luck = if state.rng.random_ratio(1, 3) { 0.0 } else { 0.5 };
        let after = state.synced.after_power_cut(root, luck, &mut state.rng);
        fs::remove_dir_all(root).unwrap();
        after.write(root);
        state.synced = Synced::all_below(root);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn before(&self, step: &'static str, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        let makes_new = matches!(step, "create" | "create folder" | "grow");
        state.advance(makes_new)
    }

    pub fn before_write(&self, _: &Path, len: usize) -> io::Result<usize> {
        let mut state = self.state();
        match state.advance(true) {
            // A write that something stopped may have written a part.
            Err(_) if state.step == state.plan.step() => Ok(state.rng.random_range(0..len.max(1))),
            result => result.map(|()| len),
        }
    }

    pub fn after_sync(&self, file: &File, _: &Path) {
        self.state().synced.file(file);
    }

    pub fn after_folder_sync(&self, path: &Path) {
        self.state().synced.folder(path);
    }
}

impl State {
    fn advance(&mut self, makes_new: bool) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("the process is dead"));
        }
        self.step += 1;
        let now = self.step == self.plan.step();
        match self.plan {
            Plan::Fail(_) if now => Err(io::Error::other("a fault of the test")),
            Plan::Full(step) if makes_new && self.step >= step => {
                Err(io::ErrorKind::StorageFull.into())
            }
            Plan::Kill(_) | Plan::PowerCut(_) if now => {
                self.dead = true;
                Err(io::Error::other("the process is dead"))
            }
            _ => Ok(()),
        }
    }
}

impl Plan {
    fn step(self) -> u64 {
        match self {
            Self::Nothing => u64::MAX,
            Self::Fail(step) | Self::Full(step) | Self::Kill(step) | Self::PowerCut(step) => step,
        }
    }
}

/// What the disk has promised to keep, by inode.
#[derive(Debug, Default)]
struct Synced {
    contents: HashMap<u64, Vec<u8>>,
    names: HashMap<u64, BTreeMap<OsString, u64>>,
    /// Open handles keep inodes from being given to other files.
    handles: HashMap<u64, File>,
}

impl Synced {
    fn all_below(root: &Path) -> Self {
        let mut synced = Self::default();
        synced.all(root);
        synced
    }

    fn all(&mut self, path: &Path) {
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                self.all(&entry.unwrap().path());
            }
            self.folder(path);
        } else {
            self.file(&File::open(path).unwrap());
        }
    }

    fn file(&mut self, file: &File) {
        let inode = file.metadata().unwrap().ino();
        self.contents.insert(inode, read(file));
        self.handles.entry(inode).or_insert_with(|| file.try_clone().unwrap());
    }

    fn folder(&mut self, path: &Path) {
        let names = names_in(path);
        for (name, inode) in &names {
            let open = || OpenOptions::new().read(true).open(path.join(name)).unwrap();
            self.handles.entry(*inode).or_insert_with(open);
        }
        let inode = fs::metadata(path).unwrap().ino();
        self.names.insert(inode, names);
        self.handles.entry(inode).or_insert_with(|| File::open(path).unwrap());
    }

    /// `luck` is the probability that something unsynced has reached the disk.
    fn after_power_cut(&self, path: &Path, luck: f64, rng: &mut StdRng) -> Tree {
        self.file_after(path, fs::metadata(path).unwrap().ino(), luck, rng)
    }

    /// `path` is where the file is now, if it still is.
    fn file_after(&self, path: &Path, inode: u64, luck: f64, rng: &mut StdRng) -> Tree {
        let now = fs::metadata(path).ok().filter(|metadata| metadata.ino() == inode);
        let metadata = match (&now, self.handles.get(&inode)) {
            (Some(metadata), _) => metadata.clone(),
            (None, Some(handle)) => handle.metadata().unwrap(),
            (None, None) => panic!("{} is lost", path.display()),
        };
        let mode = metadata.permissions().mode();
        if metadata.is_dir() {
            let synced = self.names.get(&inode).cloned().unwrap_or_default();
            let names = match now {
                Some(_) if rng.random_bool(luck) => names_in(path),
                _ => synced,
            };
            let files = names.into_iter().map(|(name, inode)| {
                let file = self.file_after(&path.join(&name), inode, luck, rng);
                (name, file)
            });
            return Tree::Folder(mode, files.collect());
        }
        let synced = self.contents.get(&inode).cloned().unwrap_or_default();
        let content = match (now, self.handles.get(&inode)) {
            (Some(_), _) if rng.random_bool(luck) => fs::read(path).unwrap(),
            (None, Some(handle)) if rng.random_bool(luck) => read(handle),
            _ => synced,
        };
        Tree::File(mode, content)
    }
}

enum Tree {
    File(u32, Vec<u8>),
    Folder(u32, BTreeMap<OsString, Tree>),
}

impl Tree {
    fn write(&self, path: &Path) {
        let mode = match self {
            Self::File(mode, content) => {
                fs::write(path, content).unwrap();
                *mode
            }
            Self::Folder(mode, files) => {
                fs::create_dir(path).unwrap();
                files.iter().for_each(|(name, file)| file.write(&path.join(name)));
                *mode
            }
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn names_in(path: &Path) -> BTreeMap<OsString, u64> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().ino())).collect()
}

fn read(file: &File) -> Vec<u8> {
    let mut content = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut content, 0).unwrap();
    content
}

/// The vault's database file on the simulated disk.
#[derive(Debug)]
pub(crate) struct FaultyBackend {
    file: File,
    disk: Disk,
    path: PathBuf,
}

impl FaultyBackend {
    pub fn open(disk: &Disk, path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        Self { file, disk: disk.clone(), path: path.to_owned() }
    }
}

impl StorageBackend for FaultyBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let grows = len > self.len()?;
        self.disk.before(if grows { "grow" } else { "truncate" }, &self.path)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.before("sync", &self.path)?;
        self.disk.after_sync(&self.file, &self.path);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let written = self.disk.before_write(&self.path, data.len())?;
        self.file.write_all_at(&data[..written], offset)?;
        if written < data.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}
