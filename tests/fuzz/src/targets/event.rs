//! Events: what is read is written again the same, and everything made from it can be made.

use ciborium::Value;
use trail::card::{AsOf, CardBuilder};
use trail::event::{Event, MAX_ENCODED, MIN_ENCODED};
use trail::weights::WeightsEvent;
use trail::{cbor, schema, view};

use crate::memory::bounded;

pub fn run(input: &[u8]) {
    let Ok(event) = bounded(input.len(), 160, || Event::decode(input)) else { return };
    assert!((MIN_ENCODED..=MAX_ENCODED).contains(&input.len()), "a size that events have");
    assert_eq!(event.encode().unwrap(), input, "one spelling only");
    assert_fields(input, &event);
    assert_no_other_fields(input);
    bounded(input.len(), 160, || {
        let _ = schema::check(&event);
        view::entry(7, &event, None).to_string();
        let _ = WeightsEvent::read(7, &event);
    });
    let mut builder = CardBuilder::default();
    builder.add(7, &event);
    let as_of = AsOf { origin: "log.example".into(), size: 8, root: "00".repeat(32) };
    let card = builder.finish(as_of).to_bytes().expect("a card of it");
    trail::card::Card::parse(&card).expect("a card that is read again");
}

/// What `transparency/event.md` says, looked up in what another reader of CBOR makes of the bytes.
fn assert_fields(input: &[u8], event: &Event) {
    let value: Value = ciborium::from_reader(input).unwrap();
    let fields = value.as_map().unwrap();
    let names: Vec<&str> = fields.iter().map(|(key, _)| key.as_text().unwrap()).collect();
    assert_eq!(names, ["v", "run", "seq", "data", "time", "type"]);
    let number = |n: usize| u64::try_from(fields[n].1.as_integer().unwrap()).unwrap();
    assert_eq!((number(0), number(2), number(4)), (1, event.seq, event.time));
    let run = fields[1].1.as_bytes().unwrap();
    assert_eq!(run.as_slice(), event.run.as_bytes());
    assert_eq!((run[6] >> 4, run[8] >> 6), (7, 2), "RFC 9562: version 7, variant 10");
    assert_eq!(fields[5].1.as_text().unwrap(), event.kind.as_str());
    let text_key = |(key, _): &(Value, Value)| key.is_text();
    assert!(fields[3].1.as_map().unwrap().iter().all(text_key));
}

/// With a field more or less, or one of another kind, it is no event.
fn assert_no_other_fields(input: &[u8]) {
    let value: Value = ciborium::from_reader(input).unwrap();
    let fields = value.as_map().unwrap();
    let mut more = fields.clone();
    more.push(("note".into(), Value::Null));
    assert_refused(more);
    for n in 0..fields.len() {
        let mut less = fields.clone();
        less.remove(n);
        assert_refused(less);
        let mut other = fields.clone();
        other[n].1 = Value::Float(0.5);
        assert_refused(other);
    }
}

fn assert_refused(fields: Vec<(Value, Value)>) {
    if let Ok(bytes) = cbor::encode(&Value::Map(fields)) {
        assert!(Event::decode(&bytes).is_err(), "{}", hex::encode(bytes));
    }
}
