//! A log as it was at some time, put on a disk of its own as often as a test lets the process die.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Result;
use crate::faults::{Faults, Plan};
use crate::{Audit, InitOptions};

/// A log on a simulated disk.
pub(crate) struct Snapshot {
    home: tempfile::TempDir,
    pub log: PathBuf,
    pub disk: Disk,
    pub faults: Arc<Faults>,
}

impl Snapshot {
    /// A new log.
    pub fn of_new_log(hybrid: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = InitOptions { model: "test".into(), hybrid, ..InitOptions::default() };
        Audit::init(&home.path().join("log"), &options).unwrap();
        Self::on(home, 0)
    }

    fn on(home: tempfile::TempDir, seed: u64) -> Self {
        let log = home.path().join("log");
        let faults = Faults::new(&log, seed);
        let disk = Disk { faults: Some(faults.clone()) };
        Self { home, log, disk, faults }
    }

    /// The same log once more.
    pub fn again(&self, seed: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        copy(self.home.path(), home.path());
        Self::on(home, seed)
    }

    pub fn open(&self) -> Result<Audit> {
        Audit::open_on(&self.disk, &self.log, None)
    }

    /// A file beside the log.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// `act` dies at each step in turn; then `go_on`, which takes up what that left, loses the power at each
    /// `stride`th step of its own or when it is done. `examine` sees what is on the disk then, and what befell it.
    /// Returns how many steps `act` has.
    pub fn die_twice(
        &self,
        stride: u64,
        act: impl Fn(&Self) -> Result<()>,
        go_on: impl Fn(&Self) -> Result<()>,
        examine: impl Fn(&Self, &str),
    ) -> u64 {
        let mut step = 0;
        loop {
            step += 1;
            let mut struck = false;
            for first in [Plan::Kill(step), Plan::PowerCut(step)] {
                for second in (1 + step % stride..).step_by(stride as usize) {
                    let world = self.again(step * 1000 + second);
                    struck = world.live(first, &act);
                    if struck && matches!(first, Plan::PowerCut(_)) {
                        world.faults.cut_power(&world.log);
                    }
                    let again = world.live(Plan::PowerCut(second), &go_on);
                    world.faults.cut_power(&world.log);
                    world.faults.begin(Plan::Nothing);
                    examine(&world, &format!("{first:?}, then the power at step {second}"));
                    if !again {
                        break;
                    }
                }
            }
            if !struck {
                return step;
            }
        }
    }

    /// One life of a process; whether it was ended.
    fn live(&self, plan: Plan, act: impl Fn(&Self) -> Result<()>) -> bool {
        self.faults.begin(plan);
        let result = act(self);
        let struck = self.faults.has_struck();
        assert!(struck || result.is_ok(), "{plan:?}: {result:?}");
        struck
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&path, &to);
            fs::set_permissions(&to, entry.metadata().unwrap().permissions()).unwrap();
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}
