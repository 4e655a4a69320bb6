//! `rlhf-audit init`

use std::process::ExitCode;

use producer::{Audit, InitOptions};
use serde_json::json;

use super::passphrase;
use crate::args::Init;
use crate::failure::Done;
use crate::output::Output;

pub fn run(args: &Init, output: &Output) -> Done {
    let options = InitOptions {
        model: args.model.clone(),
        origin: args.origin.clone(),
        passphrase: passphrase(&args.unlock)?,
    };
    let made = Audit::init(&args.dir, &options)?;
    let vkey = made.vkey.to_string();
    output.result(
        &json!({"origin": made.origin, "vkey": vkey, "fingerprint": made.vkey.fingerprint_hex()}),
        format_args!(
            "Log {} in {}\nVerifier key: {vkey}\nFingerprint:  {}\n\
             Give key and fingerprint to those who will verify, by two different channels.",
            made.origin,
            args.dir.display(),
            made.vkey.fingerprint_hex()
        ),
    );
    Ok(ExitCode::SUCCESS)
}
