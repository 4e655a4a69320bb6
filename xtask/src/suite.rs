//! `cargo xtask test`, `soak` and `bench`: every test and benchmark, in every language, each by its
//! own runner.

use std::fs;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::fuzz;
use crate::pkg;
use crate::shell::{self, say};
use crate::toolchain;
use crate::workspace::Workspace;

/// A part of the suite, by its name.
type Part = (&'static str, fn(&Workspace) -> Result<()>);

/// Stages, one after the other, of lanes, beside each other, of parts, one after the other. Rust's tests take all
/// cores, those of the other languages about one.
const STAGES: [&[&[Part]]; 2] =
    [&[&[("rust", rust)]], &[&[("python", python)], &[("node", node), ("browser", browser)]]];

/// What takes too long for every change: ignored Rust tests with `soak` in their name, a training whose texts come from
/// vLLM, and some seconds of fuzzing for each target.
const HEAVY: [Part; 3] = [("rust", heavy), ("vllm", vllm), ("fuzz", fuzz_all)];

/// Runs the named parts of the suite, or all; one that fails does not keep the others from running.
pub fn test(workspace: &Workspace, names: &[String]) -> Result<()> {
    let wanted = wanted(names, &STAGES.concat().concat())?;
    pkg::build(workspace, pkg::Module::Whole)?;
    let mut outcomes = Vec::new();
    for lanes in STAGES {
        let outcome = |part: &Part| outcome(workspace, part);
        thread::scope(|scope| {
            let wanted = |part: &&Part| wanted.contains(&part.0);
            let lane =
                move |lane: &'static [Part]| lane.iter().filter(wanted).map(outcome).collect();
            let lanes: Vec<ScopedJoinHandle<'_, Vec<Outcome>>> =
                lanes.iter().map(|parts| scope.spawn(move || lane(parts))).collect();
            for lane in lanes {
                outcomes.extend(lane.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
        });
    }
    conclude(&outcomes)
}

/// Runs the named heavy parts, or all.
pub fn soak(workspace: &Workspace, names: &[String]) -> Result<()> {
    let wanted = wanted(names, &HEAVY)?;
    pkg::build(workspace, pkg::Module::Whole)?;
    let parts = HEAVY.iter().filter(|part| wanted.contains(&part.0));
    conclude(&parts.map(|part| outcome(workspace, part)).collect::<Vec<_>>())
}

/// Those of the parts that are named; all where none is.
fn wanted(names: &[String], parts: &[Part]) -> Result<Vec<&'static str>> {
    let known: Vec<&'static str> = parts.iter().map(|(part, _)| *part).collect();
    let names: Vec<&String> = names.iter().filter(|name| *name != "--").collect();
    for name in &names {
        ensure!(
            known.contains(&name.as_str()),
            "no part of the tests is called `{name}`; there are: {}",
            known.join(", ")
        );
    }
    let is_wanted = |part: &&str| names.is_empty() || names.iter().any(|name| name == part);
    Ok(known.into_iter().filter(is_wanted).collect())
}

fn conclude(outcomes: &[Outcome]) -> Result<()> {
    let lines: Vec<&str> = outcomes.iter().map(|outcome| outcome.line.as_str()).collect();
    say(lines.join(", "));
    ensure!(outcomes.iter().all(|outcome| outcome.passed), "not all tests passed");
    Ok(())
}

/// How a part of the suite ended.
struct Outcome {
    passed: bool,
    line: String,
}

/// Runs a part.
fn outcome(workspace: &Workspace, (part, run): &Part) -> Outcome {
    say(format_args!("testing {part}"));
    let start = Instant::now();
    let result = run(workspace);
    let passed = result.is_ok();
    if let Err(error) = result {
        eprintln!("error: {part}: {error:#}");
    }
    let word = if passed { "passed" } else { "FAILED" };
    Outcome { passed, line: format!("{part} {word} in {} s", start.elapsed().as_secs()) }
}

/// The benchmarks, one after the other. They print figures and judge none.
pub fn bench(workspace: &Workspace) -> Result<()> {
    pkg::build(workspace, pkg::Module::Whole)?;
    for file in files(workspace, "benches", ".mjs")? {
        shell::run(node_with_program(workspace)?.arg(file))?;
    }
    Ok(())
}

fn rust(workspace: &Workspace) -> Result<()> {
    toolchain::services(workspace)?;
    toolchain::vulkan(workspace)?;
    toolchain::npm(workspace)?;
    toolchain::python(workspace)?;
    let whole = shell::run(workspace.cargo().args(["test", "--workspace", "--no-fail-fast"]));
    let lean = ["test", "--package", "trail", "--no-default-features", "--test", "without_hybrid"];
    all([whole, shell::run(workspace.cargo().args(lean))])
}

/// The types of the pages and the package, then the package itself.
fn node(workspace: &Workspace) -> Result<()> {
    toolchain::npm(workspace)?;
    let types = shell::run(
        Command::new("node")
            .arg("tests/node_modules/typescript/bin/tsc")
            .args(["--project", "tests/tsconfig.json"])
            .current_dir(&workspace.root),
    );
    let tests = node_test(workspace, files(workspace, "tests/node", ".test.mjs")?);
    all([types, tests])
}

fn browser(workspace: &Workspace) -> Result<()> {
    toolchain::npm(workspace)?;
    node_test(workspace, files(workspace, "tests/browser", ".test.mjs")?)
}

/// Lints all Python there is, checks our formats against implementations in Python, and tests our package.
fn python(workspace: &Workspace) -> Result<()> {
    let python = toolchain::python(workspace)?;
    toolchain::training(workspace)?;
    toolchain::older_trl(workspace)?;
    let wheel = toolchain::package(workspace)?;
    let module = |name: &str| {
        let mut command = Command::new(&python);
        command
            .args(["-m", name])
            .current_dir(&workspace.root)
            .env("RUFF_CACHE_DIR", workspace.cache().join("ruff"));
        command
    };
    let lint = shell::run(module("ruff").arg("check"));
    let format = shell::run(module("ruff").args(["format", "--check"]));
    let tests = shell::run_apart(
        module("pytest")
            .args(["-o", "cache_dir=.cache/pytest", "tests/python"])
            .env("RLHF_AUDIT", workspace.rlhf_audit()?)
            .env("RLHF_AUDIT_WHEEL", wheel),
    );
    all([lint, format, tests])
}

fn heavy(workspace: &Workspace) -> Result<()> {
    toolchain::services(workspace)?;
    toolchain::sigstore(workspace)?;
    shell::run(workspace.cargo().args([
        "test",
        "--workspace",
        "--exclude=xtask",
        "--release",
        "--no-fail-fast",
        "--",
        "--ignored",
        "soak",
    ]))
}

fn vllm(workspace: &Workspace) -> Result<()> {
    let python = toolchain::vllm(workspace)?;
    toolchain::package(workspace)?;
    toolchain::install_package(workspace, &python)?;
    shell::run(
        Command::new(&python)
            .args(["-m", "pytest", "-o", "cache_dir=.cache/pytest"])
            .arg("tests/python/test_training_vllm.py")
            .current_dir(&workspace.root)
            .env("RLHF_AUDIT", workspace.rlhf_audit()?),
    )
}

fn fuzz_all(workspace: &Workspace) -> Result<()> {
    fuzz::run(workspace, &["--seconds", "20"].map(str::to_owned))
}

fn node_test(workspace: &Workspace, files: Vec<PathBuf>) -> Result<()> {
    ensure!(!files.is_empty(), "there are no test files to run");
    let mut node = node_with_program(workspace)?;
    shell::run(node.args(["--test", "--test-reporter=spec"]).args(files))
}

/// Node, told where the command line program and a browser are.
fn node_with_program(workspace: &Workspace) -> Result<Command> {
    let mut node = Command::new("node");
    node.current_dir(&workspace.root)
        .env("RLHF_AUDIT", workspace.rlhf_audit()?)
        .env("CHROMIUM", toolchain::chromium(workspace)?);
    Ok(node)
}

/// Several results as one, with the reasons of all that failed.
fn all<const N: usize>(results: [Result<()>; N]) -> Result<()> {
    let failures: Vec<String> =
        results.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failures.is_empty(), failures.join("; "));
    Ok(())
}

/// The files of a folder whose names end so, in order; none if there is no such folder.
fn files(workspace: &Workspace, folder: &str, ending: &str) -> Result<Vec<PathBuf>> {
    let path = workspace.path(folder);
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> = fs::read_dir(&path)
        .with_context(|| format!("cannot list {folder}"))?
        .map(|file| Ok(file?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.to_string_lossy().ends_with(ending));
    files.sort();
    Ok(files)
}
