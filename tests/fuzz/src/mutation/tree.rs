//! What every format's tree is changed by: a part of it goes, comes twice, or takes another's place.

use super::Change;

/// A node of a document.
pub trait Tree: Clone {
    /// What lies directly in it, in order.
    fn children(&mut self) -> Vec<&mut Self>;

    /// Takes out the child at this place.
    fn remove(&mut self, at: usize);

    /// Puts a child before this place.
    fn insert(&mut self, at: usize, child: Self, change: &mut Change<'_>);

    /// Changes what is the node's own: a value, or the name under which a child stands.
    fn own(&mut self, change: &mut Change<'_>, depth: usize);
}

/// Changes one node.
pub fn edit<T: Tree>(root: &mut T, change: &mut Change<'_>, depth: usize) {
    let count = count(root);
    let (at, from) = (change.dice.below(count), change.dice.below(count));
    let Some(donor) = nth(root, &mut { from }).cloned() else { return };
    let Some(node) = nth(root, &mut { at }) else { return };
    let children = node.children().len();
    match change.dice.below(8) {
        0 => *node = donor,
        1 => node.insert(change.dice.below(children + 1), donor, change),
        2 | 3 if children > 0 => node.remove(change.dice.below(children)),
        4 if children > 1 => {
            let (one, other) = (change.dice.below(children), change.dice.below(children));
            let moved = node.children().swap_remove(one).clone();
            let back = std::mem::replace(node.children().swap_remove(other), moved);
            *node.children().swap_remove(one) = back;
        }
        _ => node.own(change, depth),
    }
}

fn count<T: Tree>(node: &mut T) -> usize {
    1 + node.children().into_iter().map(count).sum::<usize>()
}

/// The node at this place, counted as they are written.
fn nth<'a, T: Tree>(node: &'a mut T, left: &mut usize) -> Option<&'a mut T> {
    if *left == 0 {
        return Some(node);
    }
    *left -= 1;
    node.children().into_iter().find_map(|child| nth(child, left))
}
