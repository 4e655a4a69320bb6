//! What the tests of survival share: worlds whose processes are ended everywhere, and what anybody heard in them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::path::PathBuf;

use crate::error::Result;
use crate::snapshot::Snapshot;

/// What anybody may have seen of each answer of a world, by its name.
pub struct Seen<A>(RefCell<HashMap<PathBuf, BTreeMap<String, A>>>);

impl<A> Default for Seen<A> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<A: Clone + Debug + PartialEq> Seen<A> {
    /// An answer is heard, and must be the one that was heard before.
    pub fn hear(&self, world: &Snapshot, name: &str, answer: A) {
        let mut worlds = self.0.borrow_mut();
        let heard = worlds.entry(world.log.clone()).or_default();
        let first = heard.entry(name.into()).or_insert_with(|| answer.clone());
        assert_eq!(*first, answer, "two answers for `{name}`");
    }

    /// All that was heard in a world.
    pub fn of(&self, world: &Snapshot) -> BTreeMap<String, A> {
        self.0.borrow().get(&world.log).cloned().unwrap_or_default()
    }
}

/// A life of a process.
pub type Life<A> = fn(&Snapshot, &Seen<A>) -> Result<()>;

/// Ends the first life and the second at every step, or at some of each, and examines what is left. Returns how often.
pub fn kill_everywhere<A>(
    world: &Snapshot,
    stride: u64,
    [first, second]: [Life<A>; 2],
    examine: fn(&Snapshot, &Seen<A>, &str),
) -> u64 {
    let (seen, kills) = (Seen::default(), Cell::new(0));
    world.die_twice(
        stride,
        |world| first(world, &seen),
        |world| second(world, &seen),
        |world, what| {
            kills.set(kills.get() + 1);
            examine(world, &seen, what);
        },
    );
    eprintln!("ended {} times", kills.get());
    kills.get()
}
