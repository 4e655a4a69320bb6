//! A model card as a page for people, made from the card and nothing else.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value as Json;
use trail::card::{Card, Claim, ClaimKind, Pointer, known};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
    color:#1b1f24;background:#fff}table{border-collapse:collapse;width:100%}th,td{text-align:left;\
    vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid #d0d7de;overflow-wrap:anywhere}\
    code{overflow-wrap:anywhere;font-size:.875em}@media print{body{margin:0;max-width:none}tr{break-inside:avoid}}\
    @media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}}";

/// The page. `sha256` is the digest of the card, and `entry` the entry of the log that holds it.
pub fn page(card: &Card, sha256: &str, entry: u64) -> String {
    let name = card.claims.iter().find(|claim| claim.id == "model.name");
    let name = name.map_or_else(|| "Model card".to_owned(), |claim| text(&claim.value));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (name) " – model card" }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { (name) }
                p {
                    "As of " (card.as_of.size) " entries of the log " code { (card.as_of.origin) } ", root "
                    code { (card.as_of.root) } ". The card itself is JSON with SHA-256 " code { (sha256) }
                    ", which is entry " (entry) " of that log. This page is made from it and proves nothing: "
                    "verify the evidence file."
                }
                p { (trail::report::NOT_PROVEN) }
                table {
                    thead { tr { th { "Claim" } th { "Value" } th { "Kind" } th { "Evidence" } th { "Asked for by" } } }
                    tbody { @for claim in &card.claims { (row(claim)) } }
                }
                h2 { "Kinds of claims" }
                dl {
                    dt { "recomputed" }
                    dd { "This arithmetic can be redone on values the producer logged; it does not show those values are true." }
                    dt { "committed" }
                    dd { "Its digest is in the log." }
                    dt { "asserted" }
                    dd { "Somebody said so and signed." }
                }
                p { "A claim that names a provision helps to answer it; it is no statement that the provision is met." }
            }
        }
    };
    page.into_string()
}

fn row(claim: &Claim) -> Markup {
    html! {
        tr {
            th scope="row" {
                @if let Some((_, title)) = known(&claim.id) { (title) br; }
                code { (claim.id) }
            }
            td { (text(&claim.value)) }
            td { (match claim.kind {
                ClaimKind::Recomputed => "recomputed",
                ClaimKind::Committed => "committed",
                ClaimKind::Asserted => "asserted",
            }) }
            td { @for pointer in &claim.evidence { (pointed(pointer)) br; } }
            td {
                @if !claim.eu.is_empty() { "AI Act " (claim.eu.join(", ")) br; }
                @if !claim.nist.is_empty() { "NIST AI RMF " (claim.nist.join(", ")) }
            }
        }
    }
}

fn pointed(pointer: &Pointer) -> Markup {
    html! {
        @match pointer {
            Pointer::Entry { entry } => { "entry " (entry) },
            Pointer::Entries { entries: [first, end] } => { "entries " (first) " to " (end.saturating_sub(1)) },
            Pointer::Digest { sha256 } => { "SHA-256 " code { (sha256) } },
        }
    }
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
