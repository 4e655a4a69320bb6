//! Votes, learned by DPO.

use producer::{Annotation, PrivacySettings, ReleasedValue};

use super::{Numbers, PEOPLE, Run, agree, direction, moderate};
use crate::bigram::Pair;

/// Two texts, and whether the first of them is preferred, which only its annotator knows.
struct Vote {
    texts: [String; 2],
    first: bool,
}

fn votes() -> Vec<Vote> {
    let mut numbers = Numbers(7);
    let vote = |_| Vote { texts: [numbers.text(), numbers.text()], first: numbers.next() & 1 == 0 };
    (0..PEOPLE).map(vote).collect()
}

fn pair([one, other]: &[String; 2], first: bool) -> Pair {
    let (chosen, rejected) = if first { (one, other) } else { (other, one) };
    Pair { chosen: chosen.as_bytes().to_vec(), rejected: rejected.as_bytes().to_vec() }
}

/// Logs the votes and learns one step from them, from what was released where something is. Returns what it learned
/// from: of each pair, whether the first.
fn train(votes: &[Vote], privacy: Option<PrivacySettings>) -> (Run, Vec<bool>) {
    let mut run = Run::new(privacy);
    let given = votes.iter().zip(0..).map(|(vote, who)| {
        let Pair { chosen, rejected } = pair(&vote.texts, vote.first);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (chosen, rejected) = (text(chosen), text(rejected));
        Annotation::Preference { annotator: Some(format!("{who}")), prompt: None, chosen, rejected }
    });
    let released = run.annotate(given.collect());
    let as_given = |at: usize| match released.get(at).map(|released| released.value) {
        Some(ReleasedValue::Preference { as_given, .. }) => as_given,
        _ => true,
    };
    let learned: Vec<bool> =
        votes.iter().enumerate().map(|(at, vote)| vote.first == as_given(at)).collect();
    let pairs = votes.iter().zip(&learned).map(|(vote, first)| pair(&vote.texts, *first));
    let pairs: Vec<Pair> = pairs.collect();
    run.train(!released.is_empty(), |policy| {
        policy.step(&pairs);
    });
    (run, learned)
}

/// From the public log and the texts: of each pair, whether the first was preferred.
fn attack(run: &Run, votes: &[Vote]) -> Vec<bool> {
    let alone = votes.iter().map(|vote| {
        let pair = pair(&vote.texts, true);
        direction(|policy| {
            policy.step(&[pair]);
        })
    });
    // With the sign of its vote.
    let found = super::attack(&run.log(), &alone.collect::<Vec<_>>());
    found.into_iter().map(|vote| vote > 0.0).collect()
}

#[test]
fn one_update_gives_every_vote_away_unless_it_learned_from_what_was_released() {
    let votes = votes();
    let truth: Vec<bool> = votes.iter().map(|vote| vote.first).collect();

    let (mut run, _) = train(&votes, None);
    assert_eq!(attack(&run, &votes), truth, "the attack works");
    assert!(!run.says_harmless());

    let (mut run, released) = train(&votes, Some(moderate([0.0, 1.0])));
    let found = attack(&run, &votes);
    // It finds what the log says anyway, and of the votes what chance told of them: 55% are told truly, and six
    // standard deviations above that, 93%, are not all.
    assert_eq!(found, released, "no more than was released");
    assert!(agree(&found, &truth) <= PEOPLE * 93 / 100, "{}", agree(&found, &truth));
    assert!(run.says_harmless());
}
