//! `cargo xtask fuzz`: lets libFuzzer drive the targets of `tests/fuzz`.
//!
//! The stable compiler's own coverage instrumentation is all that libFuzzer needs: no nightly, no
//! sanitizer, which would only watch over `unsafe` code, of which the workspace has none.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::edges::{Edges, Place};
use crate::shell;
use crate::workspace::Workspace;

/// How long each target may run, in seconds, unless the command says otherwise.
const SECONDS: u64 = 60;

/// The first part of that; each further part is as long as all before it together.
const FIRST: Duration = Duration::from_secs(60);

/// What cargo-fuzz passes as well: counters and comparisons at every edge, in one unit per crate. The line
/// tables tell whose code an edge is of.
const COVERAGE: [&str; 8] = [
    "-Cdebuginfo=line-tables-only",
    "-Cstrip=none",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// The crates that read strangers' bytes, by the beginnings of their names. The others, of which most are
/// cryptography, are compiled to be quick: their edges tell libFuzzer nothing of a format.
const READERS: [&str; 22] = [
    "base64",
    "ciborium",
    "cms",
    "ct_merkle",
    "der",
    "fuzz",
    "hex",
    "jiff",
    "libfuzzer",
    "monitor",
    "pem",
    "producer",
    "safetensors",
    "serde",
    "sigstore_",
    "spki",
    "time",
    "tls_codec",
    "trail",
    "url",
    "weight_digest",
    "x509_",
];

/// Set where this program stands in for the compiler.
pub const COMPILER: &str = "XTASK_FUZZ_COMPILER";

/// The longest input tried: what follows from longer ones follows from shorter ones.
const MAX_LENGTH: &str = "-max_len=65536";

/// How many edges an input must add to come into the repository's corpus, which stays small.
const LEAST_GAIN: usize = 12;

/// What the command line asks for.
struct Plan {
    targets: Vec<String>,
    time: Duration,
    /// Whether to take what was found into the repository's corpus.
    keep: bool,
}

/// What fuzzing one target came to.
#[derive(Default)]
struct Outcome {
    time: Duration,
    executions: u64,
    /// Edges covered at the end, and how many of them were new in the last part.
    edges: u64,
    new: u64,
    /// Where in the workspace's own code it came in the last part and no input, nor another target, had been before.
    own: BTreeSet<Place>,
    corpus: usize,
    findings: Vec<PathBuf>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} s, {} executions, {} edges covered, of which {} were new in the last part, {} places in our own \
             code new to all targets, {} inputs in the corpus, {} findings",
            self.time.as_secs(),
            self.executions,
            self.edges,
            self.new,
            self.own.len(),
            self.corpus,
            self.findings.len()
        )?;
        self.own.iter().try_for_each(|place| write!(f, "\n  new: {place}"))
    }
}

/// Runs the targets named in the arguments, or all, one after the other.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let plan = plan(workspace, arguments)?;
    let fuzzer = build(workspace)?;
    let edges = Edges::new(&fuzzer, &workspace.root)?;
    let all = all_targets(workspace)?;
    let all: Vec<Target<'_>> =
        all.iter().map(|name| Target::new(workspace, &fuzzer, &edges, name)).collect();
    let mut known = BTreeSet::new();
    for target in &all {
        known.extend(edges.places(&target.covered()?));
    }
    let mut findings = Vec::new();
    for name in &plan.targets {
        let Some(target) = all.iter().find(|target| target.name == *name) else { continue };
        let outcome = target.fuzz(plan.time, &mut known)?;
        if plan.keep {
            target.keep()?;
        }
        println!("{name}: {outcome}");
        findings.extend(outcome.findings);
    }
    let list: Vec<String> = findings.iter().map(|path| path.display().to_string()).collect();
    ensure!(
        findings.is_empty(),
        "the targets failed on these inputs; once mended, put them into tests/fuzz/corpus:\n{}",
        list.join("\n")
    );
    Ok(())
}

fn plan(workspace: &Workspace, arguments: &[String]) -> Result<Plan> {
    let known = all_targets(workspace)?;
    let mut plan = Plan { targets: Vec::new(), time: Duration::from_secs(SECONDS), keep: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let seconds = arguments.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                let seconds = seconds.context("--seconds takes a number from 1")?;
                plan.time = Duration::from_secs(seconds);
            }
            "--keep" => plan.keep = true,
            name if known.iter().any(|target| target == name) => plan.targets.push(name.into()),
            other => bail!("no target is called `{other}`; there are: {}", known.join(", ")),
        }
    }
    if plan.targets.is_empty() {
        plan.targets = known;
    }
    Ok(plan)
}

/// Every target has a folder in the corpus, as its test demands.
fn all_targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folders = fs::read_dir(workspace.path("tests/fuzz/corpus"))?;
    let name = |folder: fs::DirEntry| folder.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = folders.map(|folder| Ok(name(folder?))).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Builds the one binary of all targets, apart from all other builds, which have other flags.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let host = host(workspace)?;
    let folder = workspace.target()?.join("fuzz");
    // With a target named, the flags are not for build scripts and macros.
    let build = shell::run(
        workspace
            .cargo()
            .args(["build", "--quiet", "--package=fuzz", "--bin=libfuzzer"])
            .args(["--features=libfuzzer", "--release"])
            .arg(format!("--target={host}"))
            .arg("--target-dir")
            .arg(&folder)
            .env("RUSTFLAGS", "--cfg=fuzzing")
            .env("RUSTC_WRAPPER", std::env::current_exe()?)
            .env(COMPILER, "1"),
    );
    build.context("cannot build the fuzzer; libFuzzer takes a C++ compiler (Debian: g++)")?;
    Ok(folder.join(host).join("release/libfuzzer"))
}

/// Compiles one crate in place of the compiler, which cargo names as the first argument: with coverage and all
/// checks where the crate reads strangers' bytes.
pub fn compile(arguments: &[String]) -> Result<bool> {
    let (compiler, arguments) = arguments.split_first().context("cargo names no compiler")?;
    let after = |option: &str| {
        arguments.windows(2).find(|pair| pair[0] == option).map(|pair| pair[1].as_str())
    };
    let name = after("--crate-name").unwrap_or_default();
    // Build scripts and macros are compiled for no target.
    let reads = READERS.iter().any(|reader| name.starts_with(reader))
        && arguments.iter().any(|argument| argument.starts_with("--target"));
    let mut command = Command::new(compiler);
    command.args(arguments);
    if reads {
        command.args(COVERAGE).args(["-Cdebug-assertions=on", "-Coverflow-checks=on"]);
    }
    Ok(command.status()?.success())
}

/// The machine that the compiler runs on, as `rustc -vV` names it.
fn host(workspace: &Workspace) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = shell::output(Command::new(rustc).arg("-vV").current_dir(&workspace.root))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

struct Target<'a> {
    name: &'a str,
    fuzzer: &'a Path,
    edges: &'a Edges,
    dictionary: PathBuf,
    /// What the repository holds.
    seeds: PathBuf,
    /// What fuzzing found here, kept from one run to the next.
    corpus: PathBuf,
    findings: PathBuf,
    /// Where all targets' inputs are, which take the place of parts of this one's.
    donors: [PathBuf; 2],
    /// Vectors that are inputs as they are.
    vectors: Option<PathBuf>,
}

impl<'a> Target<'a> {
    fn new(workspace: &Workspace, fuzzer: &'a Path, edges: &'a Edges, name: &'a str) -> Self {
        let cache = workspace.cache().join("fuzz").join(name);
        let vectors = match name {
            "evidence" | "verify" => Some("evidence"),
            "earlier" => Some("histories"),
            _ => None,
        };
        Self {
            name,
            fuzzer,
            edges,
            dictionary: workspace.path("tests/fuzz/words.dict"),
            seeds: workspace.path("tests/fuzz/corpus").join(name),
            corpus: cache.join("corpus"),
            findings: cache.join("findings"),
            donors: [workspace.path("tests/fuzz/corpus"), workspace.cache().join("fuzz")],
            vectors: vectors.map(|folder| workspace.path("transparency/vectors").join(folder)),
        }
    }

    /// Fuzzes until the second half of the whole run came to no place in our own code that is not known, the time is
    /// over or something is found; then keeps of the local corpus only what adds to the seeds.
    fn fuzz(&self, time: Duration, known: &mut BTreeSet<Place>) -> Result<Outcome> {
        self.make_folders()?;
        self.forget_mended()?;
        let mut outcome = Outcome::default();
        let mut part = FIRST.min(time);
        while !part.is_zero() {
            let first = outcome.time.is_zero();
            self.part(part, known, &mut outcome)?;
            known.extend(outcome.own.iter().cloned());
            let still = !first && outcome.own.is_empty();
            if still || !outcome.findings.is_empty() {
                break;
            }
            part = outcome.time.min(time - outcome.time);
        }
        self.minimise()?;
        outcome.corpus = list(&self.corpus)?.len() + list(&self.seeds)?.len();
        Ok(outcome)
    }

    fn make_folders(&self) -> Result<()> {
        [&self.corpus, &self.findings].into_iter().try_for_each(|folder| {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
        })
    }

    /// Removes the findings of earlier runs that hold now.
    fn forget_mended(&self) -> Result<()> {
        for finding in list(&self.findings)? {
            if self.command().arg(&finding).output()?.status.success() {
                fs::remove_file(finding)?;
            }
        }
        Ok(())
    }

    /// One run of libFuzzer.
    fn part(&self, time: Duration, known: &BTreeSet<Place>, outcome: &mut Outcome) -> Result<()> {
        let output = self
            .command()
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-dict={}", self.dictionary.display()))
            .args(["-print_final_stats=1", "-print_pcs=1", "-timeout=10", "-rss_limit_mb=1024"])
            .arg(&self.corpus)
            .args(self.sources())
            .stdout(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", self.fuzzer.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let failure = said.find("panicked at").map_or(&*said, |at| &said[at..]);
            eprintln!("{}: {}", self.name, failure.trim_end());
            ensure!(!list(&self.findings)?.is_empty(), "the fuzzer ended with {}", output.status);
        }
        let number = |text: &str, after: &str| -> Option<u64> {
            text.split_once(after)?.1.split_whitespace().next()?.parse().ok()
        };
        outcome.time += time;
        outcome.executions += number(&said, "stat::number_of_executed_units:").unwrap_or_default();
        outcome.new = said.matches("\tNEW_PC: ").count() as u64;
        outcome.own = &self.edges.new_places(&said)? - known;
        outcome.edges = said.lines().filter_map(|l| number(l, " cov: ")).max().unwrap_or_default();
        outcome.findings = list(&self.findings)?;
        Ok(())
    }

    /// Leaves in the local corpus only what covers more than the seeds do.
    fn minimise(&self) -> Result<()> {
        let merged = self.corpus.with_extension("merged");
        recreate(&merged)?;
        let mut folders = vec![merged.clone()];
        folders.extend(self.sources().map(Path::to_path_buf));
        folders.push(self.corpus.clone());
        self.merge(&["-merge=1"], &folders)?;
        for file in list(&merged)? {
            let name = file.file_name().unwrap_or_default();
            if self.sources().any(|folder| folder.join(name).exists()) {
                fs::remove_file(&file)?;
            }
        }
        fs::remove_dir_all(&self.corpus)?;
        fs::rename(&merged, &self.corpus)?;
        Ok(())
    }

    /// Makes the repository's corpus anew: few inputs that cover nearly every edge. Files that somebody gave a
    /// name stay.
    fn keep(&self) -> Result<()> {
        let keep = covering(&self.record()?, &|file| self.stays(file))?;
        let old: Vec<PathBuf> = list(&self.seeds)?;
        for file in keep.iter().filter(|file| !self.stays(file) && !file.starts_with(&self.seeds)) {
            fs::copy(file, self.seeds.join(file.file_name().unwrap_or_default()))?;
        }
        for file in old.iter().filter(|file| !self.stays(file) && !keep.contains(file)) {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    /// The numbers of the edges that its inputs cover, here and in the repository. Behind the edges, libFuzzer counts
    /// other things.
    fn covered(&self) -> Result<BTreeSet<usize>> {
        let record = self.record()?;
        let edges = record.lines().filter_map(|line| line.strip_prefix("FT ")?.split_once(' '));
        let numbers = edges.flat_map(|(_, edges)| edges.split(' '));
        Ok(numbers.filter_map(|number| number.parse().ok()).collect())
    }

    /// What libFuzzer records when it merges all inputs: without counters, the edges that each covers.
    fn record(&self) -> Result<String> {
        let (scratch, record) =
            (self.corpus.with_extension("scratch"), self.corpus.with_extension("record"));
        recreate(&scratch)?;
        self.make_folders()?;
        if record.exists() {
            fs::remove_file(&record)?;
        }
        let how = format!("-merge_control_file={}", record.display());
        let mut folders = vec![scratch.clone(), self.seeds.clone(), self.corpus.clone()];
        folders.extend(self.vectors.clone());
        self.merge(&["-set_cover_merge=1", "-use_counters=0", &how], &folders)?;
        let said = fs::read_to_string(&record)
            .with_context(|| format!("cannot read {}", record.display()))?;
        fs::remove_dir_all(&scratch)?;
        fs::remove_file(&record)?;
        Ok(said)
    }

    /// Whether the file is in the repository whatever it covers.
    fn stays(&self, file: &Path) -> bool {
        let vector = self.vectors.as_ref().is_some_and(|folder| file.starts_with(folder));
        vector || (file.starts_with(&self.seeds) && !is_unnamed(file))
    }

    fn merge(&self, how: &[&str], folders: &[PathBuf]) -> Result<()> {
        shell::output(self.command().args(how).args(folders)).map(drop)
    }

    fn sources(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.seeds), self.vectors.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.fuzzer);
        command.env("FUZZ_TARGET", self.name).arg(MAX_LENGTH);
        if let Ok(donors) = std::env::join_paths(&self.donors) {
            command.env("FUZZ_DONORS", donors);
        }
        command.arg(format!("-artifact_prefix={}/", self.findings.display()));
        command
    }
}

/// Of the files in libFuzzer's record of a merge, those that stay and few others, small ones first, that
/// together cover nearly every edge.
///
/// The record: how many files, how many of them it had before, their paths, then for each file a line
/// `FT NUMBER EDGE...`.
fn covering(record: &str, stays: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut lines = record.lines();
    let count = lines.next().and_then(|line| line.parse().ok()).context("no record of a merge")?;
    let files: Vec<PathBuf> = lines.by_ref().skip(1).take(count).map(PathBuf::from).collect();
    let mut edges: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); files.len()];
    for line in lines {
        let mut words = line.split(' ');
        if words.next() == Some("FT")
            && let Some(file) = words.next().and_then(|number| number.parse::<usize>().ok())
            && let Some(edges) = edges.get_mut(file)
        {
            edges.extend(words);
        }
    }
    let mut keep: Vec<usize> = (0..files.len()).filter(|file| stays(&files[*file])).collect();
    let mut left: BTreeSet<&str> = edges.iter().flatten().copied().collect();
    keep.iter().for_each(|file| left.retain(|edge| !edges[*file].contains(edge)));
    let size = |file: usize| fs::metadata(&files[file]).map_or(u64::MAX, |meta| meta.len());
    while !left.is_empty() {
        let gain = |file: &usize| (edges[*file].intersection(&left).count(), Reverse(size(*file)));
        let best = (0..files.len()).max_by_key(gain).filter(|best| gain(best).0 >= LEAST_GAIN);
        let Some(best) = best else { break };
        left.retain(|edge| !edges[best].contains(edge));
        keep.push(best);
    }
    Ok(keep.into_iter().map(|file| files[file].clone()).collect())
}

/// libFuzzer names files by their SHA-1.
fn is_unnamed(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn recreate(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let files =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    files.map(|file| Ok(file?.path())).collect()
}
