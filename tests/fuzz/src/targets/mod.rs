//! The targets by name.

mod anchor;
mod card;
mod cbor;
mod checkpoint;
mod derived;
mod earlier;
mod event;
mod evidence;
mod history;
mod note;
mod proof;
mod rekor;
mod safetensors;
mod sealed;
mod shards;
mod signing_config;
mod stamp;
mod statement;
mod tile;
mod tlog_policy;
mod trust_policy;
mod trusted_root;
mod verify;
mod watch;
mod weight_proof;
mod witness;

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
    anchor,
    card,
    cbor,
    checkpoint,
    derived,
    earlier,
    event,
    evidence,
    history,
    note,
    proof,
    rekor,
    safetensors,
    sealed,
    shards,
    signing_config,
    stamp,
    statement,
    tile,
    tlog_policy,
    trust_policy,
    trusted_root,
    verify,
    watch,
    weight_proof,
    witness
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
