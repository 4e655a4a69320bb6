//! The arguments.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, Subcommand, ValueEnum};

/// Verifiable provenance for models trained on human feedback.
#[derive(Debug, Parser)]
#[command(
    name = "rlhf-audit",
    version,
    about,
    after_help = "Exit status: 0 done, or verified and the policy met; \
1 verification failed or policy not met; 2 bad usage or unreadable input; 3 an outside service failed; \
4 consistent with itself, but no policy was given."
)]
pub struct Args {
    /// Print one JSON document on standard output, and nothing else.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make keys and an empty log; print the verifier key.
    Init(Init),
    /// Log annotations, a guideline, an evaluation or an incident.
    #[command(subcommand)]
    Log(Log),
    /// Start or end a training run.
    #[command(subcommand)]
    Run(Run),
    /// Show events as JSON.
    Show(Show),
    /// Digest weights, and compare them with others.
    Digest(Digest),
    /// Derive the model card from the log and log its digest.
    Card(Card),
    /// Write an evidence file.
    Evidence(Evidence),
    /// Open private fields for an auditor, in an evidence file, and log that you did.
    Disclose(Disclose),
    /// Destroy for good what opens somebody's entries; the log and every proof over it stay.
    Erase(Erase),
    /// Write all that one person gave to a file for that person, and log that somebody's records were asked for.
    Person(Person),
    /// Publish the newest tree head: in public transparency logs, with time stamps, and to witnesses.
    Publish(Publish),
    /// Verify an evidence file, a proof, a log's folder or a log's URL.
    Verify(Verify),
    /// Write the proof that one event is in the log.
    Prove(Prove),
    /// The keys of a log: list them, hand over to new ones, take old ones out of use.
    #[command(subcommand)]
    Keys(Keys),
    /// What was spent of a log's privacy budget; or, to plan a training, what differential privacy costs.
    Privacy(Privacy),
    /// Serve the verifier page and the log on loopback.
    Serve(Serve),
    /// Watch a log: that it only grows, and that nothing is published that it does not show.
    Monitor(Monitor),
    /// Verify Sigstore bundles as any client does.
    #[command(subcommand)]
    Sigstore(Sigstore),
    /// A whole run, from annotations to a verdict.
    Demo(Demo),
}

/// How the keys of a log are unlocked.
#[derive(Debug, clap::Args)]
pub struct Unlock {
    /// A file whose first line is the passphrase of the keys.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Init {
    /// The log's folder: new, or empty.
    pub dir: PathBuf,
    /// The name of the model that is trained.
    #[arg(long)]
    pub model: String,
    /// The log's unique name, like a URL without its scheme [default: a random one].
    #[arg(long)]
    pub origin: Option<String>,
    /// Sign every head with ML-DSA-44 as well, which is made to hold against quantum computers.
    #[arg(long)]
    pub hybrid: bool,
    /// What is released about ratings: nothing is noised; or, within a budget, each with noise, or noised sums only.
    #[arg(long, value_enum, default_value_t = PrivacyMode::Minimal)]
    pub privacy: PrivacyMode,
    /// The budget of each annotator, over everything that is ever released.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub epsilon: Option<f64>,
    /// How much of it one round, or one batch of annotations, may cost; the noise follows from it.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub epsilon_per_round: Option<f64>,
    /// The probability with which the budget may fail [default: 1e-5].
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub delta: Option<f64>,
    /// The lowest and the highest reward; others count as the nearer of them.
    #[arg(long, value_name = "LOW,HIGH", allow_hyphen_values = true, value_parser = parse_clip)]
    pub clip: Option<[f64; 2]>,
    /// Rewards are rounded to so many steps in a unit [default: 100].
    #[arg(long, value_name = "STEPS")]
    pub grid: Option<u32>,
    /// How many ratings of one annotator count in a round; with `moderate`, how many of one annotator a batch of
    /// annotations may have [default: 10].
    #[arg(long, value_name = "M")]
    pub cap: Option<u32>,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// What is released about ratings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrivacyMode {
    /// Noised sums over rounds, and no other value that depends on ratings; a fresh pseudonym every round.
    Strong,
    /// Each rating with noise, and each preference by randomised response, to train on; one pseudonym a run.
    Moderate,
    /// Nothing is noised. Ratings are committed to, not shown.
    Minimal,
}

fn parse_clip(text: &str) -> Result<[f64; 2], String> {
    let bounds = text.split_once(',').map(|(low, high)| (low.trim().parse(), high.trim().parse()));
    match bounds {
        Some((Ok(low), Ok(high))) => Ok([low, high]),
        _ => Err("give two numbers with a comma between them, for example 1,5".into()),
    }
}

#[derive(Debug, Subcommand)]
pub enum Log {
    /// Human judgements, one JSON object a line: prompt, response, annotator_id, reward; or
    /// [prompt,] chosen, rejected [, annotator_id].
    Annotations {
        /// The log's folder.
        dir: PathBuf,
        /// The annotations; `.gz` is unpacked.
        file: PathBuf,
        /// Import the sound lines of a file with broken ones, and list what was left out.
        #[arg(long)]
        keep_going: bool,
        /// A name for the batch, in a log made with `--privacy moderate`: asked for again by it, the values that were
        /// released are told again, and nothing is logged or charged.
        #[arg(long, value_name = "NAME")]
        batch: Option<String>,
        /// Where to write what to train on: the lines of FILE as they were released, with noise. It holds texts.
        #[arg(long, value_name = "FILE")]
        released: Option<PathBuf>,
        #[command(flatten)]
        unlock: Unlock,
    },
    /// The noised sum of the ratings since the last round, in a log made with `--privacy strong`.
    Round {
        /// The log's folder.
        dir: PathBuf,
        /// A name for the round: asked for again by it, the first answer is repeated.
        #[arg(long)]
        id: Option<String>,
        /// Of the ratings among the entries FIRST up to, and without, END [default: all since the last round].
        #[arg(long, value_name = "FIRST..END", value_parser = parse_range)]
        entries: Option<Range<u64>>,
        #[command(flatten)]
        unlock: Unlock,
    },
    /// The policy's weights before and after an update.
    Update(LogUpdate),
    /// A named checkpoint.
    Checkpoint(LogCheckpoint),
    /// What annotators were told to do: a JSON object.
    Guideline(LogDocument),
    /// A result of testing the model: a JSON object.
    Evaluation(LogDocument),
    /// Something that went wrong: a JSON object.
    Incident(LogDocument),
}

#[derive(Debug, clap::Args)]
pub struct LogUpdate {
    /// The log's folder.
    pub dir: PathBuf,
    /// The weights before: a .safetensors file or a checkpoint's folder.
    #[arg(long, value_name = "A")]
    pub base: PathBuf,
    /// The weights after.
    #[arg(long, value_name = "B")]
    pub next: PathBuf,
    /// The optimizer's step.
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
    /// The annotations it learned from: those among the entries FIRST up to, and without, END
    /// [default: all since the run's last update].
    #[arg(long, value_name = "FIRST..END", value_parser = parse_range)]
    pub learned_from: Option<Range<u64>>,
    /// A number measured, for example `loss=0.61`.
    #[arg(long = "metric", value_name = "NAME=NUMBER", value_parser = parse_metric)]
    pub metrics: Vec<(String, f64)>,
    /// Log the update even when tensors came, went or changed their shape.
    #[arg(long)]
    pub allow_structure_change: bool,
    /// Log the whole sketch of the weights after, 32 KiB, and not its digest alone.
    #[arg(long)]
    pub sketch: bool,
    /// Say that it learned from the released values of those annotations only.
    #[arg(long)]
    pub from_released: bool,
    /// What digests: the faster one here, this machine's processor, or a graphics card.
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    pub device: Device,
    #[command(flatten)]
    pub unlock: Unlock,
}

#[derive(Debug, clap::Args)]
pub struct LogCheckpoint {
    /// The log's folder.
    pub dir: PathBuf,
    /// The checkpoint's name.
    pub name: String,
    /// The weights: a .safetensors file or a checkpoint's folder.
    #[arg(long, value_name = "PATH")]
    pub weights: PathBuf,
    /// A number measured, for example `accuracy=0.9`.
    #[arg(long = "metric", value_name = "NAME=NUMBER", value_parser = parse_metric)]
    pub metrics: Vec<(String, f64)>,
    /// What digests: the faster one here, this machine's processor, or a graphics card.
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    pub device: Device,
    #[command(flatten)]
    pub unlock: Unlock,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    parsed.ok_or_else(|| "give the first and the one after the last, for example 1..37".to_owned())
}

fn parse_metric(text: &str) -> Result<(String, f64), String> {
    let parsed =
        text.split_once('=').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
    parsed
        .filter(|(name, _): &(String, f64)| !name.is_empty())
        .ok_or_else(|| "give a name and a number, for example loss=0.61".to_owned())
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").args(["against", "prove", "check"]))]
pub struct Digest {
    /// A .safetensors file or a checkpoint's folder; with --check also the bare bytes of the tensor, or of
    /// its piece.
    pub path: PathBuf,
    /// Compare with this one: how far PATH moved from it.
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,
    /// Compare even when tensors came, went or changed their shape.
    #[arg(long, requires = "against")]
    pub allow_structure_change: bool,
    /// What digests: the faster one here, this machine's processor, or a graphics card.
    #[arg(long, value_enum, default_value_t = Device::Auto, conflicts_with_all = ["prove", "check"])]
    pub device: Device,
    /// Write the proof that this tensor belongs to PATH, for someone who has only the tensor.
    #[arg(long, value_name = "TENSOR", requires = "output")]
    pub prove: Option<String>,
    /// Prove one chunk of the tensor alone: 4,096 bytes, counted from 0.
    #[arg(long, value_name = "N", requires = "prove", conflicts_with = "bytes")]
    pub chunk: Option<u64>,
    /// Prove these bytes of the tensor alone: from A up to, and without, B, and what fills their chunks.
    #[arg(long, value_name = "A..B", requires = "prove", value_parser = parse_range)]
    pub bytes: Option<Range<u64>>,
    /// The proof to write, NAME.weight-proof.
    #[arg(short, long, value_name = "FILE", requires = "prove")]
    pub output: Option<PathBuf>,
    /// Check that PATH holds what this .weight-proof is about.
    #[arg(long, value_name = "PROOF")]
    pub check: Option<PathBuf>,
}

/// What digests weights.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Device {
    /// The faster one: a card is tried on part of what is large enough.
    Auto,
    /// The processor.
    Cpu,
    /// A graphics card that speaks Vulkan, or what stands in for one.
    Gpu,
}

#[derive(Debug, clap::Args)]
pub struct LogDocument {
    /// The log's folder.
    pub dir: PathBuf,
    /// A JSON object.
    pub file: PathBuf,
    #[command(flatten)]
    pub unlock: Unlock,
}

#[derive(Debug, Subcommand)]
pub enum Run {
    /// Start a run. The first event of a log starts one by itself.
    Start {
        /// The log's folder.
        dir: PathBuf,
        #[command(flatten)]
        unlock: Unlock,
    },
    /// End the run that is open.
    End {
        /// The log's folder.
        dir: PathBuf,
        /// How it ended.
        #[arg(long, default_value = "completed")]
        outcome: String,
        #[command(flatten)]
        unlock: Unlock,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["index", "event_type"]))]
pub struct Show {
    /// The log's folder.
    pub dir: PathBuf,
    /// The index of one event, from 0.
    pub index: Option<u64>,
    /// All events of a type, for example `annotation`.
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// At most so many of them, the newest.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
}

/// The form of a model card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CardFormat {
    /// RFC 8785 JSON: the card itself.
    Json,
    /// A page for people, made from it.
    Html,
}

#[derive(Debug, clap::Args)]
pub struct Card {
    /// The log's folder.
    pub dir: PathBuf,
    /// The form.
    #[arg(long, value_enum, default_value = "json")]
    pub format: CardFormat,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub unlock: Unlock,
}

/// Which entries an evidence file carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EntryChoice {
    /// All: every number can be recomputed.
    All,
    /// All but annotations, each with its proof: small, and counts are not established.
    Claims,
}

#[derive(Debug, clap::Args)]
pub struct Evidence {
    /// The log's folder.
    pub dir: PathBuf,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Which entries to put in.
    #[arg(long, value_enum, default_value = "all")]
    pub entries: EntryChoice,
    /// Open a private field to everyone who gets the file: `INDEX:FIELD`, for example `12:reward`.
    #[arg(long, value_name = "INDEX:FIELD")]
    pub open: Vec<String>,
    /// Show that the log continues what was given away before: an evidence file, a `.tlog-proof` or a
    /// checkpoint, whose head then stands in the new file.
    #[arg(long, value_name = "EARLIER")]
    pub since: Vec<PathBuf>,
    #[command(flatten)]
    pub unlock: Unlock,
}

#[derive(Debug, clap::Args)]
pub struct Disclose {
    /// The log's folder.
    pub dir: PathBuf,
    /// The entries, by index: `12` or `12,17`.
    #[arg(long, value_name = "N[,M]", required = true, value_delimiter = ',')]
    pub event: Vec<u64>,
    /// The fields to open in each of them: prompt, response, response_a, response_b, preference, reward.
    #[arg(long, value_name = "FIELD[,FIELD]", required = true, value_delimiter = ',')]
    pub field: Vec<String>,
    /// For whom; the log will name them.
    #[arg(long, value_name = "AUDITOR")]
    pub to: String,
    /// The evidence file to write. Whoever gets it can read what is opened.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Which entries to put in.
    #[arg(long, value_enum, default_value = "all")]
    pub entries: EntryChoice,
    #[command(flatten)]
    pub unlock: Unlock,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("whose").required(true).args(["annotator", "prompt_hash"]))]
pub struct Erase {
    /// The log's folder.
    pub dir: PathBuf,
    /// All that this person gave, by their annotator_id; several, each with its own --annotator. `-` reads ids
    /// from standard input, one a line, so that none is left in the shell's history.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub annotator: Vec<String>,
    /// What anybody gave on this prompt: the SHA-256 of its text in UTF-8, as it was logged.
    #[arg(long, value_name = "sha256:HEX")]
    pub prompt_hash: Option<String>,
    #[command(flatten)]
    pub unlock: Unlock,
}

#[derive(Debug, clap::Args)]
pub struct Person {
    /// The log's folder.
    pub dir: PathBuf,
    /// The person, by their annotator_id. `-` reads it from standard input, so that it is not left in the shell's
    /// history.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub annotator: String,
    /// The file, in JSON; only its owner may read it.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub unlock: Unlock,
}

#[derive(Debug, clap::Args)]
pub struct Publish {
    /// The log's folder.
    pub dir: PathBuf,
    /// A Rekor log's URL, without `/api/…`; several enter each head in each of them.
    #[arg(long, value_name = "URL")]
    pub rekor: Vec<String>,
    /// The version of its interface.
    #[arg(long, value_name = "1|2", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub rekor_version: u8,
    /// A time-stamping authority's URL (RFC 3161); of several, the next is asked when one fails.
    #[arg(long, value_name = "URL")]
    pub tsa: Vec<String>,
    /// A Sigstore signing config (v0.2) that names logs and authorities; --rekor and --tsa come before it.
    #[arg(long, value_name = "FILE")]
    pub signing_config: Option<PathBuf>,
    /// The Sigstore trusted root with the keys of logs and authorities [default: policy/trusted_root.json in the
    /// log's folder, where it is copied to the first time].
    #[arg(long, value_name = "FILE")]
    pub trusted_root: Option<PathBuf>,
    /// The policy whose `witness NAME VKEY URL` lines say whom to ask and whom to believe [default:
    /// DIR/policy].
    #[arg(long, value_name = "DIR|FILE")]
    pub policy: Option<PathBuf>,
    /// Ask the witness at this URL, and not those at the policy's URLs.
    #[arg(long, value_name = "URL")]
    pub witness: Vec<String>,
    /// Go on, and publish the newest head every so often: 30s, 15m, 6h, 1d.
    #[arg(long, value_name = "TIME", value_parser = crate::commands::publish::parse_duration)]
    pub every: Option<Duration>,
    /// How long to try again while a service is down or busy.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::commands::publish::parse_duration)]
    pub timeout: Duration,
    /// Use http:// also beyond this machine.
    #[arg(long)]
    pub insecure_http: bool,
    #[command(flatten)]
    pub unlock: Unlock,
}

#[derive(Debug, clap::Args)]
pub struct Verify {
    /// An evidence file, a `.tlog-proof`, a log's folder or a log's URL.
    pub target: String,
    /// Your trust policy: a folder, a tlog-policy file or a file with one verifier key.
    #[arg(long, value_name = "DIR|FILE")]
    pub policy: Option<PathBuf>,
    /// A model you hold: a .safetensors file or a checkpoint's folder, to be found in the log, and its sketch
    /// computed again; several, each with its own --weights. Or a .weight-proof, where you hold one tensor of it.
    #[arg(long, value_name = "PATH")]
    pub weights: Vec<PathBuf>,
    /// What you were given of this log before: an evidence file, a `.tlog-proof` or a checkpoint. Is its log
    /// a prefix of this one?
    #[arg(long, value_name = "FILE")]
    pub earlier: Option<PathBuf>,
    /// The tensor that the .weight-proof is about: a .safetensors file, a checkpoint's folder, or the bare
    /// bytes of the tensor, or of its piece.
    #[arg(long, value_name = "PATH", requires = "weights")]
    pub tensor: Option<PathBuf>,
    /// What digests the model: the faster one here, this machine's processor, or a graphics card.
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    pub device: Device,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Each key with its role, fingerprint and state.
    List {
        /// The log's folder.
        dir: PathBuf,
    },
    /// Hand over to a new key: the log says so, and the old key signs the new.
    Rotate {
        /// The log's folder.
        dir: PathBuf,
        /// Which key; that of the log takes the ML-DSA-44 key of a hybrid log along.
        #[arg(long, value_enum, default_value = "log")]
        role: KeyRole,
        #[command(flatten)]
        unlock: Unlock,
    },
    /// Take a key out of use that has handed over: the log says why, and its secret half is destroyed.
    Retire {
        /// The log's folder.
        dir: PathBuf,
        /// The key: its id, its fingerprint or the whole public key.
        key: String,
        /// Why.
        #[arg(long, value_enum, default_value = "superseded")]
        reason: RetireReason,
        /// Of a compromised key: from when on it may have been in strangers' hands, YYYY-MM-DD or
        /// YYYY-MM-DDTHH:MM:SSZ.
        #[arg(long, value_name = "TIME", required_if_eq("reason", "compromised"))]
        since: Option<String>,
        #[command(flatten)]
        unlock: Unlock,
    },
}

/// Which key is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyRole {
    /// The one that signs tree heads.
    Log,
    /// The one that signs publications.
    Publisher,
}

/// Why a key is taken out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RetireReason {
    /// Another has taken over, as planned.
    Superseded,
    /// It may have been in strangers' hands.
    Compromised,
    /// Nobody has it any more.
    Lost,
}

#[derive(Debug, clap::Args)]
pub struct Prove {
    /// The log's folder.
    pub dir: PathBuf,
    /// The index of the event, from 0.
    pub index: u64,
    /// The file to write [default: INDEX.tlog-proof].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("noise").args(["noise_multiplier", "target_epsilon"])))]
pub struct Privacy {
    /// The log whose budget to report: what was spent, what is left, and what is not protected.
    #[arg(required_unless_present = "plan", conflicts_with = "plan")]
    pub dir: Option<PathBuf>,
    /// Compute what a training would cost; nothing is read or written.
    #[arg(long, requires = "noise")]
    pub plan: bool,
    /// The noise's standard deviation, in units of the clipping norm (the sensitivity).
    #[arg(long, value_name = "S", requires = "plan", allow_negative_numbers = true)]
    pub noise_multiplier: Option<f64>,
    /// Find the least noise multiplier that stays within this epsilon.
    #[arg(long, value_name = "E", requires = "plan", allow_negative_numbers = true)]
    pub target_epsilon: Option<f64>,
    /// The probability with which a record takes part in a step.
    #[arg(
        long,
        value_name = "Q",
        requires = "plan",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub rate: f64,
    /// The number of steps.
    #[arg(long, value_name = "T", requires = "plan", default_value_t = 1)]
    pub steps: u32,
    /// The probability with which the bound may fail.
    #[arg(
        long,
        value_name = "D",
        requires = "plan",
        default_value_t = 1e-5,
        allow_negative_numbers = true
    )]
    pub delta: f64,
}

#[derive(Debug, clap::Args)]
pub struct Serve {
    /// The log's folder.
    pub dir: PathBuf,
    /// The port on 127.0.0.1; 0 lets the system choose.
    #[arg(long, default_value_t = 8417)]
    pub port: u16,
    /// Serve this evidence file as well; the address that opens it is printed.
    #[arg(long, value_name = "FILE")]
    pub evidence: Vec<PathBuf>,
    /// Let everyone who reaches the server read the entries, and not only the tree.
    #[arg(long)]
    pub open_entries: bool,
}

#[derive(Debug, clap::Args)]
pub struct Monitor {
    /// A log's URL or folder.
    pub target: String,
    /// Your trust policy: a folder with the log's key, publisher.pub and trusted_root.json.
    #[arg(long, value_name = "DIR")]
    pub policy: PathBuf,
    /// Where to remember what was seen, and to keep evidence [default: a folder for this log in
    /// $XDG_STATE_HOME/rlhf-audit, else ~/.local/state/rlhf-audit].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Look once and end, as for cron.
    #[arg(long)]
    pub once: bool,
    /// How long to wait between two looks, for example 30s, 5m, 1h.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration, conflicts_with = "once")]
    pub every: Duration,
    /// Read a public log at this URL instead of the one in the trusted root; its checkpoint says which
    /// log it is.
    #[arg(long, value_name = "URL")]
    pub rekor: Vec<String>,
    /// Read public logs from their present end on, instead of from their first entry.
    #[arg(long)]
    pub from_now: bool,
    /// How long an entry under the publishing key may be in a public log before the log shows its anchor,
    /// counted from the first look that sees it. Keep the state from one look to the next.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub grace: Duration,
    /// Write the result for Prometheus (node_exporter's textfile collector) after each look.
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Post the report as JSON to this URL when something is wrong or cannot be reached.
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let parsed = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::from_secs(number.checked_mul(seconds)?))
    });
    parsed.ok_or_else(|| "give a number and s, m, h or d, for example 5m".to_owned())
}

#[derive(Debug, Subcommand)]
pub enum Sigstore {
    /// Verify a bundle and the file or digest it signs, by the command line of sigstore-conformance.
    VerifyBundle(VerifyBundle),
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("signer").required(true).args(["key", "certificate_identity"]))]
pub struct VerifyBundle {
    /// Trust Sigstore's staging instance instead of its public one.
    #[arg(long)]
    pub staging: bool,
    /// The bundle, JSON.
    #[arg(long, value_name = "FILE")]
    pub bundle: PathBuf,
    /// The signer's name in the certificate.
    #[arg(long, value_name = "IDENTITY", requires = "certificate_oidc_issuer")]
    pub certificate_identity: Option<String>,
    /// Who vouched for that name.
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    pub certificate_oidc_issuer: Option<String>,
    /// The signer's public key, PEM, instead of a certificate.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Whom to trust, a Sigstore `trusted_root.json` [default: the one of Sigstore's public instance that
    /// this program was released with].
    #[arg(long, value_name = "FILE", conflicts_with = "staging")]
    pub trusted_root: Option<PathBuf>,
    /// What was signed: a file, or `sha256:` and its digest in hexadecimal digits.
    #[arg(value_name = "FILE_OR_DIGEST")]
    pub artifact: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// The folder to work in: new, or empty [default: a new one among the temporary files].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Your own annotations in place of the example's.
    #[arg(long, value_name = "FILE")]
    pub annotations: Option<PathBuf>,
    /// Stop after the verdict.
    #[arg(long)]
    pub no_serve: bool,
    /// The port to serve on; 0 lets the system choose.
    #[arg(long, default_value_t = 8417)]
    pub port: u16,
}
