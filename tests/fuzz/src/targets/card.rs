//! Model cards: what is read is written again the same.

use serde_json::Value as Json;
use trail::card::{Card, known};

use crate::memory::bounded;

pub fn run(input: &[u8]) {
    // An object of one short member takes serde_json some 630 bytes for its 7.
    let Ok(card) = bounded(input.len(), 256, || Card::parse(input)) else { return };
    assert_eq!(card.to_bytes().unwrap(), input, "one spelling only");
    let json: Json = serde_json::from_slice(input).unwrap();
    let claims = json["claims"].as_array().unwrap();
    assert_eq!(claims.len(), card.claims.len());
    let ids: Vec<&str> = claims.iter().map(|claim| claim["id"].as_str().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes()), "each id once");
    assert_eq!(json["v"], 1);
    for id in ids {
        let title = known(id).map(|(_, title)| title);
        assert!(title != Some(""), "{id} without a title");
    }
}
