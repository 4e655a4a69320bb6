//! The extension behind the Python package `rlhf_audit_trail`: it drives the audit engine. What people call, and
//! its documentation, is in the package's Python part; nothing here is called by anybody else.
//!
//! | module | subject |
//! |---|---|
//! | `recorder` | a log that training writes to |
//! | `open_log` | what is committed when |
//! | `outbox` | what is in no commit yet |
//! | `worker` | the thread that does what training need not wait for |
//! | `reads` | what the worker has yet to read |
//! | `place` | which annotations an update learned from |
//! | `cards` | weights in the memory of cards that CUDA drives |
//! | `tensors` | weights where they are, in the memory of PyTorch |
//! | `reading` | a log's folder, read without its keys |
//! | `report` | the regulatory report |
//! | `failure` | errors as exceptions of the package |
//!
//! The interpreter's lock is given up before anything is written, hashed or waited for.

mod cards;
mod failure;
mod open_log;
mod outbox;
mod place;
mod reading;
mod reads;
mod recorder;
mod report;
mod tensors;
mod worker;

use pyo3::prelude::*;

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<recorder::Recorder>()?;
    module.add_function(wrap_pyfunction!(cards::open_card, module)?)?;
    module.add_function(wrap_pyfunction!(reading::verify_log, module)?)?;
    module.add_function(wrap_pyfunction!(reading::read_events, module)?)?;
    module.add_function(wrap_pyfunction!(reading::privacy_report, module)?)?;
    module.add_function(wrap_pyfunction!(reading::privacy_plan, module)?)?;
    module.add_function(wrap_pyfunction!(reading::round_epsilon, module)?)?;
    module.add_function(wrap_pyfunction!(reading::weigh_saved, module)?)?;
    module.add_function(wrap_pyfunction!(report::report_sections, module)?)
}
