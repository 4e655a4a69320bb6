//! Full disks, interruptions, kills and second writers: what was acknowledged stays, what was not is
//! there whole or not at all, and the next command works.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use end_to_end::{Work, program, ratings};

const BIG: usize = 20_000;

/// A log with three annotations, and a big file to be imported.
fn prepared() -> Work {
    let work = Work::with_log();
    work.write("small.jsonl", ratings(3));
    work.write("big.jsonl", ratings(BIG));
    work.json("log annotations log small.jsonl");
    work
}

/// The log is whole, has so many entries more than before or none, and takes new ones.
#[track_caller]
fn assert_sound(work: &Work, before: u64, more: u64) -> u64 {
    // What was committed and not finished is finished by the next writer.
    let logged = work.json("log annotations log small.jsonl");
    let size = logged["size"].as_u64().unwrap() - 3;
    assert!(size == before || size == before + more, "{size} entries");
    assert_eq!(work.report("log --policy policy", 0)["size"], size + 3);
    size + 3
}

#[test]
fn a_kill_at_any_moment() {
    let work = prepared();
    let mut size = 4;
    for signal in ["KILL", "INT", "TERM"] {
        for milliseconds in [5, 60, 250, 700] {
            let mut child = work
                .command("log annotations log big.jsonl")
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            sleep(Duration::from_millis(milliseconds));
            let pid = child.id().to_string();
            Command::new("kill")
                .args([&format!("-{signal}"), &pid])
                .stderr(Stdio::null())
                .status()
                .unwrap();
            let finished = child.wait().unwrap().success();
            let before = size;
            size = assert_sound(&work, size, BIG as u64);
            assert!(!finished || size > before + 3, "what was acknowledged is there");
        }
    }
}

#[test]
fn a_second_writer_has_to_wait() {
    let work = prepared();
    let lock = File::options().write(true).open(work.path("log/private/lock")).unwrap();
    lock.lock().unwrap();
    work.write("guideline.json", r#"{"title":"Rules"}"#);
    for typed in [
        "log annotations log small.jsonl",
        "log guideline log guideline.json",
        "run end log",
        "card log -o card.json",
        "evidence log -o a.evidence",
    ] {
        let sentence = work.refused(typed);
        assert!(
            sentence.contains("is writing to this log; wait until it has finished"),
            "{sentence}"
        );
    }
    // Reading needs no lock.
    work.json("show log 1");
    work.json("prove log 1");
    work.report("log --policy policy", 0);
    drop(lock);

    // The same with a process, whose number the sentence names.
    let mut child =
        work.command("log annotations log big.jsonl").stdout(Stdio::null()).spawn().unwrap();
    let pid = child.id().to_string();
    let deadline = Instant::now() + Duration::from_secs(30);
    while work.text("log/private/lock").trim() != pid {
        assert!(Instant::now() < deadline, "the import never took the log");
        sleep(Duration::from_millis(1));
    }
    let sentence = work.refused("run end log");
    assert!(sentence.contains(&format!("(pid {pid}) is writing to this log")), "{sentence}");
    assert!(child.wait().unwrap().success());
    work.report("log --policy policy", 0);
}

#[test]
fn a_full_disk() {
    // A file system of its own, seen only by the commands of one script, which goes with them.
    let isolated = |script: &str, work: &Work| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-euc", script])
            .env("PROGRAM", program())
            .current_dir(work.path(""))
            .output()
    };
    let mount = "mkdir -p disk; mount -t tmpfs -o size=${SIZE:-1m} tmpfs disk";
    let able = isolated(mount, &Work::empty());
    if !able.is_ok_and(|output| output.status.success()) {
        // Some machines allow no mounts at all; limits on file sizes, below, they all have.
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    }
    let mut statuses = BTreeSet::new();
    // From no room for the write-ahead log to room for everything.
    for kib in [1800, 3000, 6000, 9000, 12_000, 14_000, 16_000, 24_000] {
        let work = prepared();
        let script = format!(
            "SIZE={kib}k; {mount}; cp -a log disk/log; cd disk
             status=0; $PROGRAM log annotations log ../big.jsonl --json >../out 2>../err || status=$?
             echo $status >../status
             $PROGRAM verify log --policy ../policy --json >../verified
             rm -rf ../log; cp -a log ../log"
        );
        let output = isolated(&script, &work).unwrap();
        assert!(output.status.success(), "{kib} KiB: {output:#?}");
        let status = work.text("status");
        statuses.insert(status.clone());
        if status.trim() == "0" {
            assert_eq!(work.text("err"), "");
        } else {
            assert_eq!((status.trim(), work.text("out").as_str()), ("2", ""), "{kib} KiB");
            let error = work.text("err");
            assert!(error.starts_with("rlhf-audit: log/") && error.lines().count() == 1, "{error}");
            assert!(error.contains("No space left on device"), "{kib} KiB: {error}");
        }
        // With room again, the next command works.
        let size = assert_sound(&work, 4, BIG as u64);
        assert!(status.trim() != "0" || size == 7 + BIG as u64);
    }
    assert_eq!(statuses.len(), 2, "some were too small and some were not");
}

#[test]
fn a_file_that_may_not_grow() {
    for (blocks, handled) in [(1, true), (512, true), (4096, true), (16_384, true), (4096, false)] {
        let work = prepared();
        // 512-byte blocks. Where the signal is not ignored, the first write too far kills.
        let ignore = if handled { "trap '' XFSZ;" } else { "" };
        let limited = |typed: &str| {
            Command::new("sh")
                .args([
                    "-c",
                    &format!("{ignore} ulimit -c 0; ulimit -f {blocks}; exec \"$0\" {typed}"),
                ])
                .arg(program())
                .current_dir(work.path(""))
                .output()
                .unwrap()
        };
        let output = limited("log annotations log big.jsonl --json");
        if handled && !output.status.success() {
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{blocks}: {error}");
            assert!(error.starts_with("rlhf-audit: log/"), "{error}");
        }
        assert!(!output.status.success(), "{blocks} blocks were enough");
        assert_sound(&work, 4, BIG as u64);

        let output = limited("init new --model tiny");
        if !output.status.success() && handled {
            assert!(!work.path("new").exists(), "a log half made");
        }
    }
}
