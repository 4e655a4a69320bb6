//! The log's own head.

use trail::checkpoint::Checkpoint;
use trail::note::Note;

use crate::Watch;
use crate::heads::{self, Step};
use crate::report::{Kind, Recorder};
use crate::source::{self, Fault};
use crate::state::{SeenHead, State};

/// The log's head, if it is one that may be followed; then it is also remembered.
pub fn look(watch: &Watch<'_>, state: &mut State, report: &mut Recorder) -> Option<Checkpoint> {
    match accept(watch, state, report) {
        Ok(head) => head,
        Err(fault) => {
            report.unreachable(&fault);
            None
        }
    }
}

fn accept(
    watch: &Watch<'_>,
    state: &mut State,
    report: &mut Recorder,
) -> Result<Option<Checkpoint>, Fault> {
    let text = source::text(watch.log, "checkpoint")?;
    let wrong = |why: String| Fault::new(format!("{}: {why}", watch.log.name("checkpoint")));
    let note = Note::parse(&text).map_err(|e| wrong(e.to_string()))?;
    let head = Checkpoint::parse(&note.text).map_err(|e| wrong(e.to_string()))?;

    let origin = &head.origin;
    let mut keys = watch.keys.iter().filter(|key| key.name() == origin);
    if !keys.any(|key| matches!(note.verify(key), Ok(Some(_)))) {
        let what = format!("the checkpoint of {origin} is not signed by a log key of your policy");
        report.finding(Kind::Unsigned, what, vec![("checkpoint", text.into_bytes())]);
        return Ok(None);
    }
    match state.head.as_ref().and_then(|last| Some((&last.note, last.checkpoint()?))) {
        None => report.change(format!("first look: the log {origin} has {} entries", head.size)),
        Some((_, last)) if last.origin != *origin => {
            let what = format!("the checkpoint is of {origin}; watched so far was {}", last.origin);
            report.finding(Kind::Unsigned, what, vec![("checkpoint", text.into_bytes())]);
            return Ok(None);
        }
        Some((note, last)) => {
            let step = heads::compare(&last, &head, watch.log)?;
            if let Some((kind, what)) = judge(step, &last, &head, report) {
                let earlier = ("earlier", note.clone().into_bytes());
                report.finding(kind, what, vec![earlier, ("later", text.into_bytes())]);
                return Ok(None);
            }
        }
    }
    state.head = Some(SeenHead { note: text, at: watch.now });
    Ok(Some(head))
}

/// What is wrong with a head after the last one, if anything is.
fn judge(
    step: Step,
    last: &Checkpoint,
    head: &Checkpoint,
    report: &mut Recorder,
) -> Option<(Kind, String)> {
    let (before, now) = (last.size, head.size);
    match step {
        Step::Same => None,
        Step::Grown => {
            report.change(format!("the log has grown from {before} to {now} entries"));
            None
        }
        Step::Shrunk => {
            Some((Kind::Rollback, format!("the log had {before} entries and now shows {now}")))
        }
        Step::Forked => Some((
            Kind::Fork,
            format!(
                "the log's head of {now} entries is no continuation of its head of {before} entries; \
                 both are signed with its key"
            ),
        )),
        Step::Unproven(reason) => Some((
            Kind::Unproven,
            format!(
                "that the head of {now} entries continues the one of {before} cannot be shown from \
                 the log's tiles: {reason}"
            ),
        )),
    }
}
