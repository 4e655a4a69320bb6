//! Errors as exceptions of the package, which `rlhf_audit_trail/errors.py` defines.

use std::fmt;

use producer::Error;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Which exception, and its message.
#[derive(Debug)]
pub struct Failure {
    class: &'static str,
    message: String,
}

/// The result of what the package calls.
pub type Done<T> = Result<T, Failure>;

impl Failure {
    fn new(class: &'static str, message: impl fmt::Display) -> Self {
        Self { class, message: message.to_string() }
    }

    /// What the caller gave cannot be used.
    pub fn input(message: impl fmt::Display) -> Self {
        Self::new("BadInput", message)
    }

    /// Nothing more can be recorded.
    pub fn recording(message: impl fmt::Display) -> Self {
        Self::new("RecordingFailed", message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let class = match &error {
            Error::BatchBudget { .. } | Error::Budget { .. } => "PrivacyBudgetExceeded",
            Error::Locked { .. } => "LogInUse",
            Error::Annotation(_)
            | Error::CheckpointName
            | Error::Event(_)
            | Error::Held(_)
            | Error::Model
            | Error::NotEmpty(_)
            | Error::PassphraseNeeded(_)
            | Error::PassphraseWrong(_)
            | Error::PrivacySettings(_)
            | Error::Report(_)
            | Error::Round(_)
            | Error::Weights(_) => "BadInput",
            Error::Contradicted { .. }
            | Error::Damaged { .. }
            | Error::KeyMode { .. }
            | Error::Missing(_)
            | Error::NotALog(_)
            | Error::RolledBack { .. } => "LogDamaged",
            _ => "RecordingFailed",
        };
        Self::new(class, error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| {
            let class = py
                .import("rlhf_audit_trail.errors")
                .and_then(|errors| errors.getattr(failure.class))
                .and_then(|class| Ok(class.cast_into::<PyType>()?));
            match class {
                Ok(class) => PyErr::from_type(class, failure.message),
                Err(error) => error,
            }
        })
    }
}
