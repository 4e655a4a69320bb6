//! A server's process.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A process that ends with this value at the latest.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command whose output goes to a file, and waits until it is ready.
    #[track_caller]
    pub fn start(command: &mut Command, log: &Path, ready: impl Fn() -> bool) -> Self {
        let output = File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let mut process = Self { child, log: log.to_owned() };
        let start = Instant::now();
        while !ready() {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} {}:\n{}", ended.unwrap(), process.output());
            let waited = start.elapsed();
            assert!(waited.as_secs() < 30, "{command:?} is not ready:\n{}", process.output());
            thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    /// Asks it to end, and ends it when it does not.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let start = Instant::now();
        while start.elapsed().as_secs() < 10 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that are free now.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All held at once, so that they differ.
    let listeners = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
