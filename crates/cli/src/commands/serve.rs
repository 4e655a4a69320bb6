//! `rlhf-audit serve`

use std::path::Path;
use std::process::ExitCode;

use producer::LogReader;
use serde_json::json;
use server::{Options, ServeError, Server};

use crate::args::Serve;
use crate::failure::{Done, Failure};
use crate::output::Output;

pub fn run(args: &Serve, output: &Output) -> Done {
    // A folder that is no log is told now, not at the first request.
    LogReader::open(&args.dir)?;
    let options = Options {
        log: Some(args.dir.clone()),
        evidence: args.evidence.clone(),
        port: args.port,
        open_entries: args.open_entries,
    };
    serve(options, |url, pages| {
        output.result(
            &json!({"url": url, "evidence": pages}),
            format_args!(
                "Verifier page: {url}\nLog:           {url}checkpoint, {url}tile/…{}{}\nStop with Ctrl-C.",
                if args.open_entries { "" } else { " (the tree; entries are closed)" },
                pages.iter().map(|page| format!("\nEvidence:      {page}")).collect::<String>(),
            ),
        );
    })
}

/// Serves until Ctrl-C; `ready` gets the page's address, and the addresses that open each evidence file.
pub fn serve(options: Options, ready: impl FnOnce(&str, &[String])) -> Done {
    let names: Vec<String> = options.evidence.iter().filter_map(|path| name(path)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Outside(format!("cannot start serving: {e}")))?;
    runtime.block_on(async {
        let server = Server::bind(options).await.map_err(failure)?;
        let url = format!("http://{}/", server.address());
        let pages: Vec<String> =
            names.iter().map(|name| format!("{url}?evidence=/evidence/{name}")).collect();
        ready(&url, &pages);
        let stop = async {
            // Without a signal handler Ctrl-C ends the process, which is as good.
            let _ = tokio::signal::ctrl_c().await;
        };
        server.run(stop).await.map_err(failure)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn failure(error: ServeError) -> Failure {
    Failure::input(error)
}

/// The file's name as it stands in an address.
fn name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encoded =
        name.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") });
    Some(encoded.collect())
}
