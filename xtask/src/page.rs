//! `verifier.html`: the shell `www/index.html` with style sheets, scripts and the WebAssembly
//! module put in, so that it runs by double-click, from a memory stick, with no network.
//!
//! The sources stay readable text: what an auditor reads in the file is what runs. A policy in the
//! page (<https://www.w3.org/TR/CSP3/>) lets these very scripts and styles run, by their hash, and
//! nothing else; and lets the page fetch from nowhere but the server it came from, if there is one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::modules;

const SHELL: &str = "www/index.html";
/// Where `pkg/index.js` looks for the module before it looks elsewhere.
const WASM_ID: &str = "rlhf-audit-wasm";
const WASM_COLUMNS: usize = 120;
/// What a worker runs, which `pkg/weights/in-worker.js` finds under this name.
const WORKER: &str = "pkg/weights/worker.js";
const WORKER_ID: &str = "rlhf-audit-worker";

/// The lines of the shell that are replaced; each stands alone on its line.
const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\"";
const STYLE: (&str, &str) = ("<link rel=\"stylesheet\" href=\"", "\">");
const SCRIPT: (&str, &str) = ("<script type=\"module\" src=\"", "\"></script>");

/// The page, from the sources below `root`.
pub fn assemble(root: &Path, wasm: &[u8]) -> Result<String> {
    let read = |path: &str| {
        fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
    };
    inline(&read(SHELL)?, &read, wasm)
}

fn inline(shell: &str, read: &dyn Fn(&str) -> Result<String>, wasm: &[u8]) -> Result<String> {
    let mut page = Page::default();
    for line in shell.lines() {
        let tag = line.trim();
        if tag.starts_with(POLICY) {
            page.policy_here()?;
        } else if let Some(href) = between(tag, STYLE) {
            page.style(&style_sheet(&modules::resolve(SHELL, href)?, read)?);
        } else if let Some(src) = between(tag, SCRIPT) {
            page.script(&modules::link(&modules::resolve(SHELL, src)?, read)?);
        } else if tag == "</body>" {
            page.worker(&worker(read)?);
            page.wasm(wasm);
            page.line(line);
        } else {
            refuse_references(line)?;
            page.line(line);
        }
    }
    page.finish()
}

/// The page so far, and what its policy will allow.
#[derive(Default)]
struct Page {
    html: String,
    policy_at: Option<usize>,
    styles: Vec<String>,
    scripts: Vec<String>,
    has_wasm: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.html.push_str(line);
        self.html.push('\n');
    }

    fn policy_here(&mut self) -> Result<()> {
        let before = self.policy_at.replace(self.html.len());
        ensure!(before.is_none(), "{SHELL} has two Content-Security-Policy lines");
        Ok(())
    }

    fn style(&mut self, text: &str) {
        self.styles.push(hash(text));
        self.line(&format!("<style>{text}</style>"));
    }

    fn script(&mut self, text: &str) {
        self.scripts.push(hash(text));
        self.line(&format!("<script type=\"module\">{text}</script>"));
    }

    /// Text that the page itself does not run: it starts a worker with it, from a `blob:` address.
    fn worker(&mut self, text: &str) {
        self.line(&format!("<script type=\"text/plain\" id=\"{WORKER_ID}\">{text}</script>"));
    }

    fn wasm(&mut self, wasm: &[u8]) {
        let text = BASE64.encode(wasm);
        self.line(&format!("<script type=\"application/wasm\" id=\"{WASM_ID}\">"));
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(WASM_COLUMNS));
            self.line(line);
            rest = after;
        }
        self.line("</script>");
        self.has_wasm = true;
    }

    fn finish(mut self) -> Result<String> {
        let Some(at) = self.policy_at else {
            bail!("{SHELL} needs a line `{POLICY} content=\"…\">` in its head");
        };
        ensure!(
            !self.scripts.is_empty(),
            "{SHELL} needs a line `{}./app.js{}`",
            SCRIPT.0,
            SCRIPT.1
        );
        ensure!(self.has_wasm, "{SHELL} needs `</body>` on a line of its own");
        let policy = [
            "default-src 'none'".to_owned(),
            format!("script-src {} 'wasm-unsafe-eval'", self.scripts.join(" ")),
            format!("style-src {}", self.styles.join(" ")),
            "img-src data:".to_owned(),
            "connect-src 'self'".to_owned(),
            "worker-src blob:".to_owned(),
            "base-uri 'none'".to_owned(),
            "form-action 'none'".to_owned(),
            "require-trusted-types-for 'script'".to_owned(),
            format!("trusted-types {WORKER_ID}"),
        ]
        .join("; ");
        self.html.insert_str(at, &format!("{POLICY} content=\"{policy}\">\n"));
        Ok(self.html)
    }
}

/// What a worker runs, as a classic script: a page from `file://` may start no worker from a module.
/// `import.meta`, which only modules have, gives way to what is the same there.
fn worker(read: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    Ok(modules::link(WORKER, read)?.replace("import.meta.url", "location.href"))
}

fn style_sheet(path: &str, read: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    let text = read(path)?;
    for forbidden in ["</style", "@import", "url("] {
        ensure!(
            !text.contains(forbidden),
            "{path} contains `{forbidden}`, which one file cannot carry: the style sheet must stand alone"
        );
    }
    Ok(format!("\n/* {path} */\n\n{text}"))
}

/// A file the shell points to would be missing beside the one file.
fn refuse_references(line: &str) -> Result<()> {
    for attribute in ["src=\"", "href=\""] {
        if let Some((_, value)) = line.split_once(attribute) {
            ensure!(
                value.starts_with("data:") || value.starts_with('#'),
                "{SHELL}: `{}` points to another file; only style sheets and module scripts, each on a line of its own, are put in. Write it as a data: URL or leave it out",
                line.trim()
            );
        }
    }
    Ok(())
}

fn between<'a>(text: &'a str, (before, after): (&str, &str)) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(after)
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "<!doctype html>\n<head>\n<meta http-equiv=\"Content-Security-Policy\" content=\"x\">\n<link rel=\"stylesheet\" href=\"./a.css\">\n</head>\n<body>\n<script type=\"module\" src=\"./app.js\"></script>\n</body>\n";

    fn read(path: &str) -> Result<String> {
        Ok(match path {
            "www/a.css" => "body { color: black }\n".to_owned(),
            "www/app.js" => "document.title = \"a\";\n".to_owned(),
            WORKER => "postMessage(1);\n".to_owned(),
            _ => bail!("no {path}"),
        })
    }

    #[test]
    fn everything_is_in_the_page_and_hashed() {
        let page = inline(INDEX, &read, b"\0asm").unwrap();
        let script = page
            .split_once("<script type=\"module\">")
            .and_then(|(_, rest)| rest.split_once("</script>"))
            .unwrap()
            .0;
        assert!(script.contains("document.title"));
        assert!(page.contains(&format!("script-src {} 'wasm-unsafe-eval'", hash(script))));
        assert!(page.contains("color: black"));
        assert!(page.contains("AGFzbQ=="));
        assert!(page.contains("postMessage(1);"));
        assert!(!page.contains("content=\"x\""));
    }

    #[test]
    fn a_shell_that_would_not_stand_alone_is_refused() {
        let image = INDEX.replace("<body>", "<body>\n<img src=\"logo.png\">");
        let error = inline(&image, &read, b"").unwrap_err().to_string();
        assert!(error.contains("logo.png"), "{error}");

        let no_policy = INDEX.replace("http-equiv", "name");
        let error = inline(&no_policy, &read, b"").unwrap_err().to_string();
        assert!(error.contains("Content-Security-Policy"), "{error}");
    }
}
