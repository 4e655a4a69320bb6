//! What the events of each known type must hold, so that nothing downstream takes a malformed one for
//! something it is not. The specification is `transparency/event.md`.

use ciborium::Value;

use crate::card::PRIVATE_FIELDS;
use crate::cbor;
use crate::drift;
use crate::event::{Event, EventType};
use crate::handover::KeyChange;
use crate::released::{self, ItemRound};

/// Checks the particulars of an event of a known type; events of other types hold what they like.
///
/// # Errors
/// What is wrong, as a sentence about the event.
pub fn check(event: &Event) -> Result<(), &'static str> {
    sketches(event)?;
    match event.kind {
        EventType::Annotation => annotation(event),
        EventType::PolicyUpdate => update(event),
        EventType::PrivacyRound => privacy_round(event),
        EventType::Checkpoint if event.get("name").and_then(Value::as_text).is_none() => {
            Err("the checkpoint has no name")
        }
        EventType::Checkpoint => hash(event, "root", "the checkpoint has no weight root"),
        EventType::Card => hash(event, "sha256", "the card event holds no SHA-256"),
        EventType::Guideline => hash(event, "sha256", "the guideline event holds no SHA-256"),
        EventType::HeadPublished => published(event),
        EventType::KeyRotate | EventType::KeyRetire => KeyChange::read(event).map(drop),
        _ => Ok(()),
    }
}

/// Which fields an annotation commits to, by its kind; the first of a preference may be missing.
fn annotation(event: &Event) -> Result<(), &'static str> {
    let needed: &[&str] = match event.get("kind").and_then(Value::as_text) {
        Some("rating") => &["prompt", "response", "reward"],
        Some("preference") => &["response_a", "response_b", "preference"],
        _ => return Err("the annotation is neither a rating nor a preference"),
    };
    for field in PRIVATE_FIELDS {
        match event.get(field) {
            Some(value) if cbor::as_array::<32>(value).is_none() => {
                return Err("a private field of the annotation is not a commitment");
            }
            None if needed.contains(&field) => return Err("the annotation lacks a commitment"),
            _ => {}
        }
    }
    if let Some(judge) = event.get("judge") {
        let of_nobody = ["annotator", "released"].iter().all(|key| event.get(key).is_none());
        return match judge.as_text() {
            Some(_) if of_nobody => Ok(()),
            Some(_) => Err("the annotation is a program's and a person's at once"),
            None => Err("the annotation's judge is no text"),
        };
    }
    match event.get("annotator") {
        Some(pseudonym) if cbor::as_array::<16>(pseudonym).is_none() => {
            Err("the annotator is not a pseudonym of 16 bytes")
        }
        _ => released::check_value(event),
    }
}

/// Of weights, sketches where there are any, and the norm that they give.
fn sketches(event: &Event) -> Result<(), &'static str> {
    let mut held = drift::fields(&event.kind).iter().filter_map(|(key, _)| event.get(key));
    if !held.all(|sketch| drift::Logged::read(sketch).is_some()) {
        return Err("a sketch of weights is neither one nor a SHA-256");
    }
    match event.get("sketch_delta_l2").filter(|_| event.kind == EventType::PolicyUpdate) {
        Some(norm) if !norm.as_float().is_some_and(|norm| norm.is_finite() && norm >= 0.0) => {
            Err("the update's estimate of what changed is no finite norm")
        }
        _ => Ok(()),
    }
}

fn update(event: &Event) -> Result<(), &'static str> {
    hash(event, "root_before", "the update has no weight root before")?;
    hash(event, "root_after", "the update has no weight root after")?;
    for norm in ["delta_l2", "delta_linf"] {
        let norm = event.get(norm).and_then(Value::as_float);
        if !norm.is_some_and(|norm| norm.is_finite() && norm >= 0.0) {
            return Err("the update has no finite norm of what changed");
        }
    }
    let from = event.get("learned_from");
    let says = |key| from.and_then(|from| cbor::get(from, key)).and_then(cbor::as_u64).is_some();
    if ["first", "end", "annotations"].into_iter().all(says) {
        Ok(())
    } else {
        Err("the update does not say what it learned from")
    }
}

/// What was released, and that the cost is no less than what its noise comes to.
fn privacy_round(event: &Event) -> Result<(), &'static str> {
    let text = |key| event.get(key).and_then(Value::as_text);
    let number = |key| event.get(key).and_then(cbor::as_u64);
    let (Some(mechanism), Some(released)) = (text("mechanism"), text("released")) else {
        return Err("the round does not say what was released, and by which mechanism");
    };
    if !matches!((number("first"), number("end")), (Some(first), Some(end)) if first <= end) {
        return Err("the round does not say which ratings it is about");
    }
    let rho = event.get("rho").and_then(Value::as_float);
    let Some(rho) = rho.filter(|rho| rho.is_finite() && *rho >= 0.0) else {
        return Err("the round has no finite cost");
    };
    if released::is_of_items(event) {
        return ItemRound::read(event).map(drop);
    }
    if (mechanism, released) != ("discrete-gaussian", "sum") {
        return Ok(());
    }
    let steps =
        |key| event.get(key).and_then(Value::as_integer).and_then(|n| i64::try_from(n).ok());
    let (Some(low), Some(high), Some(_)) = (steps("low"), steps("high"), steps("sum")) else {
        return Err("the round lacks its bounds or its sum");
    };
    let positive = |key| number(key).filter(|n| *n > 0);
    let (Some(_), Some(_), Some(variance)) =
        (positive("count"), positive("steps_a_unit"), positive("variance"))
    else {
        return Err("the round lacks its count, its grid or its noise");
    };
    let cap = positive("cap").and_then(|cap| u32::try_from(cap).ok());
    let (Some(cap), true) = (cap, low < high) else {
        return Err("the round bounds nothing");
    };
    // All of one person's ratings are in one sum.
    let reach = (u128::from(cap) * u128::from(high.abs_diff(low))) as f64;
    if rho >= reach * reach / (2.0 * variance as f64) {
        Ok(())
    } else {
        Err("the round says that it cost less than its noise comes to")
    }
}

fn published(event: &Event) -> Result<(), &'static str> {
    let says = |key| event.get(key).and_then(cbor::as_u64).is_some();
    let place = |place: &Value| {
        cbor::get(place, "log_id").and_then(cbor::as_array::<32>).is_some()
            && cbor::get(place, "log").is_some_and(Value::is_text)
            && cbor::get(place, "index").and_then(cbor::as_u64).is_some()
    };
    hash(event, "root", "the publication has no root")?;
    let places = event.get("published").and_then(Value::as_array);
    if says("sequence")
        && says("size")
        && places.is_some_and(|p| !p.is_empty() && p.iter().all(place))
    {
        Ok(())
    } else {
        Err("the publication does not say which head is where")
    }
}

fn hash(event: &Event, field: &str, otherwise: &'static str) -> Result<(), &'static str> {
    match event.get(field).and_then(cbor::as_array::<32>) {
        Some(_) => Ok(()),
        None => Err(otherwise),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::run;

    fn event(kind: EventType, data: Vec<(&str, Value)>) -> Event {
        Event { time: 0, run: run(1), seq: 0, kind, data: cbor::map(data) }
    }

    fn committed() -> Value {
        Value::Bytes(vec![1; 32])
    }

    #[test]
    fn a_rating_in_the_clear_is_no_annotation() {
        let rating = |reward| {
            let fields = vec![
                ("kind", "rating".into()),
                ("prompt", committed()),
                ("response", committed()),
                ("reward", reward),
            ];
            check(&event(EventType::Annotation, fields))
        };
        assert_eq!(rating(committed()), Ok(()));
        assert!(rating(Value::Float(5.0)).is_err());
        assert!(rating(Value::Null).is_err());
    }

    #[test]
    fn a_judgement_is_a_programs_or_a_persons() {
        let rating = |more: Vec<(&'static str, Value)>| {
            let mut fields = vec![("kind", "rating".into())];
            fields.extend(["prompt", "response", "reward"].map(|field| (field, committed())));
            fields.extend(more);
            check(&event(EventType::Annotation, fields))
        };
        assert_eq!(rating(vec![("judge", "length".into())]), Ok(()));
        assert!(rating(vec![("judge", 1.into())]).is_err());
        let person = ("annotator", Value::Bytes(vec![1; 16]));
        assert!(rating(vec![("judge", "length".into()), person]).is_err());
    }

    #[test]
    fn a_publication_says_which_head_is_where() {
        let publication = |published: Vec<Value>| {
            let fields = vec![
                ("sequence", 0.into()),
                ("size", 7.into()),
                ("root", committed()),
                ("published", Value::Array(published)),
            ];
            check(&event(EventType::HeadPublished, fields))
        };
        let place = |index: Value| {
            cbor::map([("log_id", committed()), ("log", "rekor.example".into()), ("index", index)])
        };
        assert_eq!(publication(vec![place(3.into())]), Ok(()));
        assert!(publication(vec![]).is_err());
        assert!(publication(vec![place(3.into()), place("3".into())]).is_err());
        assert!(check(&event(EventType::HeadPublished, vec![])).is_err());
    }

    #[test]
    fn a_round_costs_what_its_noise_comes_to() {
        let round = |rho: f64, cap: u64| {
            let fields = vec![
                ("mechanism", "discrete-gaussian".into()),
                ("released", "sum".into()),
                ("first", 0.into()),
                ("end", 9.into()),
                ("count", 4.into()),
                ("sum", Value::from(-7)),
                ("low", Value::from(-10)),
                ("high", 30.into()),
                ("steps_a_unit", 10.into()),
                ("cap", cap.into()),
                ("variance", 800.into()),
                ("rho", Value::Float(rho)),
            ];
            check(&event(EventType::PrivacyRound, fields))
        };
        // (cap · 40)² / 1600
        assert_eq!((round(1.0, 1), round(4.0, 2)), (Ok(()), Ok(())));
        assert!(round(1.0_f64.next_down(), 1).is_err() && round(1.0, 2).is_err());
        assert!(round(f64::INFINITY, 1).is_err() && round(f64::NAN, 1).is_err());
        assert!(round(1.0, 0).is_err() && round(1e300, 1 << 32).is_err());
        assert!(check(&event(EventType::PrivacyRound, vec![])).is_err());
    }

    #[test]
    fn an_update_without_roots_or_norms_is_none() {
        let update = |norm: f64| {
            let fields = vec![
                ("root_before", committed()),
                ("root_after", committed()),
                ("delta_l2", Value::Float(norm)),
                ("delta_linf", Value::Float(0.5)),
                (
                    "learned_from",
                    cbor::map(["first", "end", "annotations"].map(|key| (key, 0.into()))),
                ),
            ];
            check(&event(EventType::PolicyUpdate, fields))
        };
        assert_eq!(update(1.0), Ok(()));
        assert!(
            update(-1.0).is_err() && update(f64::NAN).is_err() && update(f64::INFINITY).is_err()
        );
        assert!(check(&event(EventType::PolicyUpdate, vec![])).is_err());
        assert_eq!(check(&event("moon.phase".into(), vec![])), Ok(()));
    }
}
