//! `cargo xtask TASK`: everything the project does to itself.
//!
//! The tasks need rustup, Node, Python and Go on the machine; whatever else they use they fetch
//! themselves, through the ordinary package clients, when they first need it.

mod demo;
mod edges;
mod fuzz;
mod modules;
mod page;
mod pkg;
mod services;
mod shell;
mod suite;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use pkg::Module;
use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask TASK

  demo [ARGUMENT...]   build everything and run `rlhf-audit demo ARGUMENT...`
  test [PART...]       run all tests, or some of: rust, node, python, browser
  pkg [lean]           build the WebAssembly module, the npm package and verifier.html; lean:
                       without Sigstore bundles and ML-DSA-44
  soak [PART...]       run the heavy tests, which take their time, or some of: rust, vllm, fuzz
  fuzz [TARGET...] [--seconds N] [--keep]
                       let libFuzzer look for inputs that break a parser; --keep takes
                       what it reached into tests/fuzz/corpus
  services DIR [LOG]   start a Rekor log, a time-stamping authority and a witness on this machine,
                       for trying out `rlhf-audit publish`; Ctrl-C stops them
  bench                run the benchmarks and print their figures
  toolchain            install everything the other tasks need
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = if std::env::var_os(fuzz::COMPILER).is_some() {
        fuzz::compile(&arguments)
    } else {
        run(&arguments).map(|()| true)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((task, rest)) = arguments.split_first() else {
        bail!("no task given\n\n{USAGE}");
    };
    let workspace = Workspace::open()?;
    match (task.as_str(), rest) {
        ("demo", arguments) => demo::run(&workspace, arguments),
        ("test", parts) => suite::test(&workspace, parts),
        ("pkg", []) => pkg::build(&workspace, Module::Whole),
        ("pkg", [which]) if which == "lean" => pkg::build(&workspace, Module::Lean),
        ("soak", parts) => suite::soak(&workspace, parts),
        ("fuzz", arguments) => fuzz::run(&workspace, arguments),
        ("services", arguments) => services::run(&workspace, arguments),
        ("bench", []) => suite::bench(&workspace),
        ("toolchain", []) => toolchain::everything(&workspace),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown task or arguments: {}\n\n{USAGE}", arguments.join(" ")),
    }
}
