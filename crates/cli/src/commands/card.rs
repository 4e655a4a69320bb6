//! `rlhf-audit card`

use std::process::ExitCode;

use serde_json::json;
use trail::view::hex;

use super::open;
use crate::args::{Card, CardFormat};
use crate::card_html;
use crate::failure::Done;
use crate::output::{Output, write_file};

pub fn run(args: &Card, output: &Output) -> Done {
    let logged = open(&args.dir, &args.unlock)?.card()?;
    let sha256 = hex(&trail::merkle::sha256(&logged.bytes));
    let bytes = match args.format {
        CardFormat::Json => logged.bytes,
        CardFormat::Html => card_html::page(&logged.card, &sha256, logged.entry).into_bytes(),
    };
    write_file(&args.output, &bytes)?;
    output.result(
        &json!({
            "path": args.output,
            "sha256": sha256,
            "entry": logged.entry,
            "claims": logged.card.claims.len(),
            "size": logged.card.as_of.size,
        }),
        format_args!(
            "Card with {} claims about {} entries in {}; its digest is entry {} of the log.",
            logged.card.claims.len(),
            logged.card.as_of.size,
            args.output.display(),
            logged.entry
        ),
    );
    Ok(ExitCode::SUCCESS)
}
