//! Tree heads: what is read is written again the same.

use trail::checkpoint::Checkpoint;
use trail::merkle::MAX_SIZE;

use crate::memory::bounded;
use crate::tree;

pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(head) = bounded(text.len(), 4, || Checkpoint::parse(text)) else { return };
    assert_eq!(head.to_string(), text, "one spelling only");
    assert!(head.size <= MAX_SIZE);
    assert!(head.size > 0 || head.root == tree::root(&[]), "the empty tree has one root");
    assert_eq!(text.matches('\n').count(), 3, "origin, size, root and nothing else");
}
