//! Ratings from 1 to 5, learned by a step of policy gradient.

use producer::{Annotation, PrivacySettings, ReleasedValue};

use super::{Numbers, PEOPLE, Run, agree, direction, moderate};
use crate::bigram::Rated;

/// A text and its rating, which only its annotator knows.
fn ratings() -> Vec<Rated> {
    let mut numbers = Numbers(11);
    let rated =
        |_| Rated { text: numbers.text().into_bytes(), reward: (1 + numbers.next() % 5) as f64 };
    (0..PEOPLE).map(rated).collect()
}

/// Logs the ratings and learns one step from them, from what was released where something is. Returns what it learned
/// from.
fn train(ratings: &[Rated], privacy: Option<PrivacySettings>) -> (Run, Vec<f64>) {
    let mut run = Run::new(privacy);
    let given = ratings.iter().zip(0..).map(|(Rated { text, reward }, who)| Annotation::Rating {
        annotator: format!("{who}"),
        prompt: String::new(),
        response: String::from_utf8(text.clone()).unwrap(),
        reward: *reward,
    });
    let released = run.annotate(given.collect());
    let rewards = ratings.iter().enumerate().map(|(at, rated)| {
        match released.get(at).map(|released| released.value) {
            Some(ReleasedValue::Reward(reward)) => reward,
            _ => rated.reward,
        }
    });
    let rewards: Vec<f64> = rewards.collect();
    let learned = ratings.iter().zip(&rewards);
    let learned = learned.map(|(rated, reward)| Rated { reward: *reward, ..rated.clone() });
    let learned: Vec<Rated> = learned.collect();
    run.train(!released.is_empty(), |policy| policy.reinforce(&learned));
    (run, rewards)
}

/// From the public log and the texts: the rewards that the model learned from.
fn attack(run: &Run, ratings: &[Rated]) -> Vec<f64> {
    let alone = ratings.iter().map(|rated| {
        let rated = Rated { reward: 1.0, ..rated.clone() };
        direction(|policy| policy.reinforce(&[rated]))
    });
    let found = super::attack(&run.log(), &alone.collect::<Vec<_>>());
    // A step is the mean of what each would have done.
    found.into_iter().map(|reward| reward * PEOPLE as f64).collect()
}

/// The ratings that these rewards are nearest to.
fn nearest(rewards: &[f64]) -> Vec<f64> {
    rewards.iter().map(|reward| reward.round().clamp(1.0, 5.0)).collect()
}

#[test]
fn one_update_gives_every_rating_away_unless_it_learned_from_what_was_released() {
    let ratings = ratings();
    let truth: Vec<f64> = ratings.iter().map(|rated| rated.reward).collect();

    // Where sums are released it works as well: the model has not learned from them.
    let strong = PrivacySettings { mode: producer::PrivacyMode::Strong, ..moderate([1.0, 5.0]) };
    for privacy in [None, Some(strong)] {
        let (mut run, _) = train(&ratings, privacy.clone());
        assert_eq!(nearest(&attack(&run, &ratings)), truth, "the attack works");
        if privacy.is_some() {
            run.audit.release_round(&Default::default()).unwrap();
            assert!(run.says("privacy.scope"), "privacy covers the sum only");
        }
        assert!(!run.says_harmless());
    }

    let (mut run, released) = train(&ratings, Some(moderate([1.0, 5.0])));
    let found = attack(&run, &ratings);
    for (found, released) in found.iter().zip(&released) {
        assert!((found - released).abs() < 0.01, "no more than was released");
    }
    // The noise has a standard deviation of 16: of sixty ratings about thirteen are guessed by chance, and six
    // standard deviations above that is 33.
    let agree = agree(&nearest(&found), &truth);
    assert!(agree <= 33, "{agree}");
    assert!(run.says_harmless());
}
