//! `rlhf-audit`: records training with human feedback in a tamper-evident log, and verifies such logs.
#![forbid(unsafe_code)]

mod args;
mod bigram;
mod card_html;
mod commands;
mod earlier;
mod failure;
#[cfg(test)]
mod leak;
mod output;
mod policy;
mod remote;
mod report_text;
mod target;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.json);
    let done = match args.command {
        Command::Init(init) => commands::init::run(&init, &output),
        Command::Log(what) => commands::log::run(&what, &output),
        Command::Run(what) => commands::run::run(&what, &output),
        Command::Show(show) => commands::show::run(&show, &output),
        Command::Digest(digest) => commands::digest::run(&digest, &output),
        Command::Card(card) => commands::card::run(&card, &output),
        Command::Evidence(evidence) => commands::evidence::run(&evidence, &output),
        Command::Verify(verify) => commands::verify::run(&verify, &output),
        Command::Prove(prove) => commands::prove::run(&prove, &output),
        Command::Disclose(disclose) => commands::disclose::run(&disclose, &output),
        Command::Erase(erase) => commands::erase::run(&erase, &output),
        Command::Person(person) => commands::person::run(&person, &output),
        Command::Publish(publish) => commands::publish::run(&publish, &output),
        Command::Keys(what) => commands::keys::run(&what, &output),
        Command::Privacy(privacy) => commands::privacy::run(&privacy, &output),
        Command::Serve(serve) => commands::serve::run(&serve, &output),
        Command::Monitor(monitor) => commands::monitor::run(&monitor, &output),
        Command::Sigstore(what) => commands::sigstore::run(&what, &output),
        Command::Demo(demo) => commands::demo::run(&demo, &output),
    };
    match done.and_then(|code| output.finish().map(|()| code)) {
        Ok(code) => code,
        Err(failure) => {
            // Where standard error cannot be written, the exit status still says it.
            let sentence = output::printable(&failure.to_string());
            let _ = writeln!(io::stderr().lock(), "rlhf-audit: {sentence}");
            failure.exit_code()
        }
    }
}
