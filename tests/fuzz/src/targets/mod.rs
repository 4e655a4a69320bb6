//! The targets by name.

mod card;
mod cbor;
mod checkpoint;
mod event;
mod evidence;
mod note;
mod proof;
mod safetensors;
mod sealed;
mod shards;
mod tile;
mod tlog_policy;
mod trust_policy;
mod verify;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics when what the parser makes of the bytes is not as it must be.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident),*) => {
        /// Every target.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $name::run },)*];
    };
}

targets![
    card,
    cbor,
    checkpoint,
    event,
    evidence,
    note,
    proof,
    safetensors,
    sealed,
    shards,
    tile,
    tlog_policy,
    trust_policy,
    verify
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
