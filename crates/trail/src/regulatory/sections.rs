//! The sections of a report: which claims each one shows, and what no log of this kind can say on its subject.

use super::{ReportError, Scope, SectionReport, Statement};

/// A section of a report, by name.
#[derive(Clone, Copy, Debug)]
pub struct Section(&'static Subject);

/// What a section is about.
#[derive(Debug)]
struct Subject {
    name: &'static str,
    title: &'static str,
    /// Ids of claims; one that ends with a dot stands for all that begin with it.
    claims: &'static [&'static str],
    /// What is said where a claim is not there, or counts nothing.
    absent: &'static [(&'static str, &'static str)],
    /// What the log never holds.
    never: &'static [&'static str],
}

/// Claims about a state, which all events up to the period's end have made: the others count what is in the period.
const STATES: &[&str] = &[
    "model.name",
    "policy_updates.learned_from",
    "policy_updates.unbroken",
    "privacy.mode",
    "privacy.promise",
    "privacy.scope",
    "privacy.training",
    "run.",
];

/// Claims that are made of both.
const BOTH: &[&str] = &["privacy.spent"];

const SUBJECTS: &[Subject] = &[
    Subject {
        name: "records",
        title: "Records kept",
        claims: &[
            "events.count",
            "events.types",
            "model.name",
            "publication.heads",
            "run.",
            "runs.count",
        ],
        absent: &[(
            "publication.heads",
            "No publication of a tree head was logged in the period, so nothing here was shown to an independent clock then.",
        )],
        never: &[
            "The log cannot show that everything that happened was logged.",
            "Hyperparameters and library versions are in the entries that start the runs; this report does not repeat them.",
        ],
    },
    Subject {
        name: "provenance",
        title: "Human feedback",
        claims: &["annotations.", "guideline."],
        absent: &[
            ("annotations.count", "No judgement was logged in the period."),
            ("guideline.", "No instructions to annotators were logged in the period."),
        ],
        never: &[
            "How annotators were found, trained and paid is not in the log, unless instructions or incidents say so.",
            "What was written and how it was judged is committed to, not shown: it takes openings by the producer to read it.",
        ],
    },
    Subject {
        name: "privacy",
        title: "Privacy of annotators",
        claims: &["annotations.content", "erasures.count", "privacy."],
        absent: &[
            (
                "privacy.promise",
                "No privacy budget is promised, so nothing is noised and no cost is counted.",
            ),
            ("privacy.rounds", "No noised value was released in the period."),
            ("erasures.count", "No erasure was logged in the period."),
        ],
        never: &[
            "Whether the producer keeps copies of what was erased, or of ratings outside the vault, no log can show.",
            "What is public and follows from ratings, such as norms, losses and weights, can give them away.",
        ],
    },
    Subject {
        name: "training",
        title: "Training and weights",
        claims: &[
            "checkpoint.",
            "checkpoints.count",
            "metrics.",
            "policy_updates.",
            "weights.drift",
        ],
        absent: &[
            (
                "policy_updates.count",
                "No update with digested weights was logged in the period, so nothing says how weights moved.",
            ),
            ("checkpoints.count", "No checkpoint was logged in the period."),
            (
                "weights.drift",
                "No sketch of weights was logged in the period, so drift cannot be computed.",
            ),
        ],
        never: &[
            "That the logged weights came from the logged judgements by training, and not otherwise, is not shown.",
        ],
    },
    Subject {
        name: "evaluation",
        title: "Tests and measurements",
        claims: &["evaluation.", "metrics."],
        absent: &[
            ("evaluation.", "No evaluation was logged in the period."),
            ("metrics.", "No numbers were logged with a checkpoint in the period."),
        ],
        never: &[
            "How tests were made, and whether other tests gave other results, is the producer's word.",
        ],
    },
    Subject {
        name: "bias",
        title: "Bias",
        claims: &["annotations.annotators", "annotations.count", "evaluation.", "guideline."],
        absent: &[
            ("annotations.count", "No judgement was logged in the period."),
            (
                "evaluation.",
                "No evaluation was logged in the period, so no measurement of bias is on record.",
            ),
            ("guideline.", "No instructions to annotators were logged in the period."),
        ],
        never: &[
            "Who the annotators are is not in the log, so it does not show whom their judgements represent.",
            "How ratings differ between annotators or groups cannot be computed: ratings are committed to, not shown.",
            "The log does not mark which evaluations measure bias: all of the period are listed.",
        ],
    },
    Subject {
        name: "safety",
        title: "Safety",
        claims: &["evaluation.", "incident.", "incidents.count", "weights.drift"],
        absent: &[
            (
                "incidents.count",
                "No incident was logged in the period; whether there were others, the log cannot show.",
            ),
            (
                "evaluation.",
                "No evaluation was logged in the period, so no measurement of safety is on record.",
            ),
        ],
        never: &[
            "How the model behaves in use is not in the log, unless incidents or evaluations say so.",
            "The log does not mark which evaluations measure safety: all of the period are listed.",
        ],
    },
    Subject {
        name: "oversight",
        title: "Access by auditors",
        claims: &["auditors.grants", "publication.heads"],
        absent: &[
            ("auditors.grants", "No grant of access to an auditor was logged in the period."),
            ("publication.heads", "No publication of a tree head was logged in the period."),
        ],
        never: &[
            "Who oversees the training, and what they decided, is not in the log, unless incidents say so.",
        ],
    },
];

impl Section {
    /// All there are.
    pub fn all() -> Vec<Self> {
        SUBJECTS.iter().map(Self).collect()
    }

    /// The sections of these names, each once, in this order.
    ///
    /// # Errors
    /// There is none of a name.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>, ReportError> {
        let mut found: Vec<Self> = Vec::new();
        for name in names {
            let subject = SUBJECTS.iter().find(|subject| subject.name == name);
            let subject =
                subject.ok_or_else(|| ReportError::UnknownSection { name: name.to_owned() })?;
            if found.iter().all(|section| section.0.name != name) {
                found.push(Self(subject));
            }
        }
        Ok(found)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The names, for people.
    pub(super) fn list() -> String {
        SUBJECTS.iter().map(|subject| subject.name).collect::<Vec<_>>().join(", ")
    }

    /// What can be stated on its subject.
    pub(super) fn report(self, statements: &[Statement]) -> SectionReport {
        let Subject { name, title, claims, absent, never } = self.0;
        let ours = statements.iter().filter(|statement| is_among(&statement.id, claims));
        let ours: Vec<_> = ours.cloned().collect();
        let missing = absent.iter().filter(|(id, _)| !ours.iter().any(|s| shows(s, id)));
        let mut not_supported: Vec<String> =
            missing.map(|(_, sentence)| (*sentence).to_owned()).collect();
        not_supported.extend(never.iter().map(|sentence| (*sentence).to_owned()));
        SectionReport { name, title, statements: ours, not_supported }
    }
}

/// Whether a report states this claim with this scope.
pub(super) fn speaks_of(id: &str, scope: Scope) -> bool {
    is_among(id, BOTH) || (scope == Scope::UntilEnd) == is_among(id, STATES)
}

/// Whether it is such a claim, and tells of more than nothing.
fn shows(statement: &Statement, id: &str) -> bool {
    is_among(&statement.id, &[id]) && statement.value != 0
}

fn is_among(id: &str, ids: &[&str]) -> bool {
    ids.iter().any(|known| id == *known || (known.ends_with('.') && id.starts_with(known)))
}
