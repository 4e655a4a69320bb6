//! `rlhf-audit digest --prove` and `--check`: one tensor, or a piece of it, and the checkpoint it
//! belongs to.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value as Json, json};
use trail::merkle::Hash;
use trail::range::RangeError;
use trail::view::hex;
use weight_digest::checkpoint::Checkpoint;
use weight_digest::proof::{MAX_BYTES, WeightProof};
use weight_digest::prove::{self, Part, ProveError};

use crate::args::Digest;
use crate::failure::{Done, Failure};
use crate::output::{Output, printable, write_file};

/// Writes the proof for a tensor, or the part of it that was asked for.
pub fn prove(args: &Digest, tensor: &str, output: &Output) -> Done {
    let Some(file) = &args.output else { return Err(Failure::input("say where with -o FILE")) };
    let part = match (args.chunk, &args.bytes) {
        (Some(chunk), _) => Part::Leaf(chunk),
        (_, Some(bytes)) => Part::Bytes(bytes.clone()),
        _ => Part::Whole,
    };
    let checkpoint = Checkpoint::open(&args.path).map_err(Failure::input)?;
    let bar = output.progress(checkpoint.bytes(), "Digesting");
    let proved = prove::prove(&checkpoint, tensor, &part, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let (proof, digest) = proved.map_err(|e| match e {
        // It names the file itself.
        ProveError::Checkpoint(e) => Failure::input(e),
        e => of(&args.path, e),
    })?;
    write_file(file, &proof.to_bytes())?;
    let mut json = about(&proof);
    json["tensors"] = digest.tensors.len().into();
    json["bytes"] = digest.bytes.into();
    json["path"] = json!(file);
    output.result(
        &json,
        format_args!(
            "Proof that {} belongs to the weights with the root\n{}\nin {}",
            what(&proof),
            hex(&proof.root),
            file.display()
        ),
    );
    Ok(ExitCode::SUCCESS)
}

/// Checks that a file holds what a proof is about.
pub fn check(proof: &Path, held: &Path, output: &Output) -> Done {
    let shown = Shown::new(proof, Some(held))?;
    output.result(&shown.json(), shown.text());
    Ok(if shown.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a file is a proof, by how it begins.
pub fn is_one(path: &Path) -> Result<bool, Failure> {
    if path.is_dir() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(8).read_to_end(&mut start));
    read.map_err(|e| Failure::file(path, "read it", &e))?;
    Ok(WeightProof::is_one(&start) || path.extension().is_some_and(|e| e == "weight-proof"))
}

/// A proof held against what the person has.
pub struct Shown {
    proof: WeightProof,
    /// The weight root that what is held leads to.
    pub leads_to: Hash,
    bytes_checked: bool,
}

impl Shown {
    /// Holds a proof against a tensor, or its own entry for it where none is given.
    pub fn new(path: &Path, held: Option<&Path>) -> Result<Self, Failure> {
        let proof = read(path)?;
        let leads_to = match held {
            Some(held) if is_checkpoint(held) => from_checkpoint(&proof, held)?,
            Some(held) => from_bytes(&proof, held)?,
            None if proof.piece.is_some() => {
                return Err(of(
                    path,
                    "it is about a piece of a tensor; bring that with --tensor PATH",
                ));
            }
            None => proof.record_leads_to().map_err(|e| of(path, e))?,
        };
        Ok(Self { proof, leads_to, bytes_checked: held.is_some() })
    }

    /// Whether what is held belongs to the weights that the proof names.
    pub fn holds(&self) -> bool {
        self.leads_to == self.proof.root
    }

    /// For programs.
    pub fn json(&self) -> Json {
        let mut json = about(&self.proof);
        json["holds"] = self.holds().into();
        json["bytes_checked"] = self.bytes_checked.into();
        json["leads_to"] = hex(&self.leads_to).into();
        json
    }

    /// For people.
    pub fn text(&self) -> String {
        let (what, root) = (what(&self.proof), hex(&self.proof.root));
        match (self.holds(), self.bytes_checked) {
            (true, true) => {
                format!("You hold {what}, which belongs to the weights with the root\n{root}")
            }
            (true, false) => format!(
                "The proof shows that {what}, whose own root is {}, belongs to the weights with the root\n{root}\n\
                 Its bytes were not checked: --tensor PATH does that.",
                hex(&self.proof.tensor.root)
            ),
            (false, _) => format!(
                "FAILED: what you hold is not {what} of the weights with the root\n{root}\n\
                 By this proof it would belong to weights with the root\n{}",
                hex(&self.leads_to)
            ),
        }
    }
}

fn read(path: &Path) -> Result<WeightProof, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        // One more than allowed, which is then refused.
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|e| Failure::file(path, "read it", &e))?;
    WeightProof::parse(&bytes).map_err(|e| of(path, e))
}

fn is_checkpoint(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|extension| extension == "safetensors")
}

fn from_checkpoint(proof: &WeightProof, path: &Path) -> Result<Hash, Failure> {
    let checkpoint = Checkpoint::open(path).map_err(Failure::input)?;
    let (_, located) = prove::find(&checkpoint, &proof.tensor.name).map_err(|e| of(path, e))?;
    if located.tensor.length != proof.tensor.length {
        return Err(of(
            path,
            format!(
                "its tensor `{}` has {} bytes, and that of the proof {}",
                proof.tensor.name, located.tensor.length, proof.tensor.length
            ),
        ));
    }
    let root = prove::leads_to(proof, &checkpoint, located).map_err(|e| match e {
        // It names the file itself.
        RangeError::Leaf(e) => Failure::input(e),
        e => of(path, e),
    })?;
    checkpoint.check_unchanged().map_err(Failure::input)?;
    Ok(root)
}

/// From a file with the bytes of the tensor, or of its piece, and nothing else.
fn from_bytes(proof: &WeightProof, path: &Path) -> Result<Hash, Failure> {
    let failed = |e: &io::Error| Failure::file(path, "read it", e);
    let file = File::open(path).map_err(|e| failed(&e))?;
    let (wanted, length) = (proof.bytes(), file.metadata().map_err(|e| failed(&e))?.len());
    if length != wanted.end - wanted.start {
        return Err(of(
            path,
            format!(
                "it has {length} bytes; bring the {} bytes from {} on of the tensor `{}`, or a .safetensors file with \
             the tensor",
                wanted.end - wanted.start,
                wanted.start,
                proof.tensor.name
            ),
        ));
    }
    let root = proof.leads_to(proof.tensor.dtype, &proof.tensor.shape, |bytes| {
        // At most a leaf.
        let mut leaf = vec![0; (bytes.end - bytes.start) as usize];
        file.read_exact_at(&mut leaf, bytes.start - wanted.start).map(|()| leaf)
    });
    root.map_err(|e| match e {
        RangeError::Leaf(e) => failed(&e),
        e => of(path, e),
    })
}

/// What a proof is about, for programs.
fn about(proof: &WeightProof) -> Json {
    let bytes = proof.bytes();
    json!({
        "root": hex(&proof.root),
        "tensor": proof.tensor.name,
        "dtype": proof.tensor.dtype.name(),
        "shape": proof.tensor.shape,
        "tensor_root": hex(&proof.tensor.root),
        "index": proof.index,
        "tensors": proof.tensors,
        "first_byte": bytes.start,
        "end_byte": bytes.end,
    })
}

/// The same for people.
fn what(proof: &WeightProof) -> String {
    let tensor = &proof.tensor;
    let sides: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
    let name: String = tensor.name.chars().take(200).collect();
    let named = format!(
        "the tensor `{}` ({} [{}])",
        printable(&name),
        tensor.dtype.name(),
        sides.join(", ")
    );
    match &proof.piece {
        None => named,
        Some(_) => {
            let bytes = proof.bytes();
            format!("bytes {} to {} (of {}) of {named}", bytes.start, bytes.end - 1, tensor.length)
        }
    }
}

fn of(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::input(format!("{}: {why}", path.display()))
}
