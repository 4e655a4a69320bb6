//! `rlhf-audit show`

use std::collections::VecDeque;
use std::process::ExitCode;

use producer::LogReader;
use serde_json::{Value as Json, json};
use trail::{Event, EventType};

use crate::args::Show;
use crate::failure::{Done, Failure};
use crate::output::Output;

pub fn run(args: &Show, output: &Output) -> Done {
    let log = LogReader::open(&args.dir)?;
    let shown = match (&args.index, &args.event_type) {
        (Some(index), _) => one(&log, *index)?,
        (None, kind) => {
            let kind = EventType::from(kind.as_deref().unwrap_or_default());
            json!({"events": newest(&log, &kind, args.limit)?})
        }
    };
    output.result(&shown, format_args!("{shown:#}"));
    Ok(ExitCode::SUCCESS)
}

fn one(log: &LogReader, index: u64) -> Result<Json, Failure> {
    Ok(log.view(index)?)
}

fn newest(log: &LogReader, kind: &EventType, limit: usize) -> Result<Vec<Json>, Failure> {
    let mut found = VecDeque::new();
    for (index, entry) in (0..).zip(log.entries(0..log.size())) {
        let event = Event::decode(&entry?)
            .map_err(|e| Failure::input(format!("entry {index} of the log: {e}")))?;
        if event.kind == *kind {
            found.push_back(index);
            if found.len() > limit {
                found.pop_front();
            }
        }
    }
    found.into_iter().map(|index| one(log, index)).collect()
}
