//! A policy small enough to train while you wait: the probability of each byte given the one before
//! it, 256 × 256 logits, trained on preference pairs by DPO (<https://arxiv.org/abs/2305.18290>) with
//! its gradient worked out by hand. The reference policy is the one training starts from.

use safetensors::tensor::{Dtype, SafeTensorError, TensorView, serialize};

/// Bytes.
const SYMBOLS: usize = 256;

/// What precedes the first byte of a response.
const START: u8 = b'\n';

/// How strongly the reference holds the policy back.
const BETA: f64 = 0.1;

/// Step length.
const RATE: f64 = 2.0;

/// Two responses to the same prompt, of which a person preferred the first.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The preferred response.
    pub chosen: Vec<u8>,
    /// The other one.
    pub rejected: Vec<u8>,
}

/// A response and what it is worth.
#[cfg(test)]
#[derive(Clone, Debug)]
pub struct Rated {
    /// The response.
    pub text: Vec<u8>,
    /// The reward.
    pub reward: f64,
}

/// The policy.
#[derive(Clone, Debug)]
pub struct Bigram {
    logits: Vec<f32>,
    reference: Vec<f32>,
}

/// What a pass over some pairs gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Mean DPO loss.
    pub loss: f64,
    /// Share of pairs for which the policy has moved towards the preferred response.
    pub accuracy: f64,
}

impl Bigram {
    /// Every byte equally likely.
    pub fn uniform() -> Self {
        let logits = vec![0.0; SYMBOLS * SYMBOLS];
        Self { reference: logits.clone(), logits }
    }

    /// One step of gradient descent on these pairs.
    pub fn step(&mut self, pairs: &[Pair]) -> Measured {
        let (now, before) = (log_softmax(&self.logits), log_softmax(&self.reference));
        let mut gradient = vec![0.0; SYMBOLS * SYMBOLS];
        for pair in pairs {
            let weight = BETA * (1.0 - sigmoid(margin(pair, &now, &before))) / pairs.len() as f64;
            add_gradient(&mut gradient, &pair.chosen, &now, weight);
            add_gradient(&mut gradient, &pair.rejected, &now, -weight);
        }
        for (logit, slope) in self.logits.iter_mut().zip(gradient) {
            *logit += (RATE * slope) as f32;
        }
        measure(pairs, &now, &before)
    }

    /// One step of policy gradient on these responses (REINFORCE, without a baseline).
    #[cfg(test)]
    pub fn reinforce(&mut self, rated: &[Rated]) {
        let now = log_softmax(&self.logits);
        let mut gradient = vec![0.0; SYMBOLS * SYMBOLS];
        for Rated { text, reward } in rated {
            add_gradient(&mut gradient, text, &now, reward / rated.len() as f64);
        }
        for (logit, slope) in self.logits.iter_mut().zip(gradient) {
            *logit += (RATE * slope) as f32;
        }
    }

    /// Loss and accuracy on these pairs.
    pub fn measure(&self, pairs: &[Pair]) -> Measured {
        measure(pairs, &log_softmax(&self.logits), &log_softmax(&self.reference))
    }

    /// The weights as a safetensors file.
    ///
    /// # Errors
    /// None in practice: the shape is fixed.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, SafeTensorError> {
        let bytes: Vec<u8> = self.logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![SYMBOLS, SYMBOLS], &bytes)?;
        serialize([("bigram.logits", view)], None)
    }
}

fn measure(pairs: &[Pair], now: &[f64], before: &[f64]) -> Measured {
    let margins: Vec<f64> = pairs.iter().map(|pair| margin(pair, now, before)).collect();
    let count = pairs.len().max(1) as f64;
    Measured {
        // −ln σ(m), written so that it does not overflow.
        loss: margins.iter().map(|m| (-m).exp().ln_1p()).sum::<f64>() / count,
        accuracy: margins.iter().filter(|m| **m > 0.0).count() as f64 / count,
    }
}

/// β times how much more the policy has moved towards the chosen response than towards the rejected.
fn margin(pair: &Pair, now: &[f64], before: &[f64]) -> f64 {
    let moved = |text: &[u8]| -> f64 {
        transitions(text).map(|(from, to)| now[at(from, to)] - before[at(from, to)]).sum()
    };
    BETA * (moved(&pair.chosen) - moved(&pair.rejected))
}

/// Adds `weight` times the gradient of the log-likelihood of `text`: for each transition, one for the
/// byte that came, less the probability of each that could have.
fn add_gradient(gradient: &mut [f64], text: &[u8], now: &[f64], weight: f64) {
    for (from, to) in transitions(text) {
        gradient[at(from, to)] += weight;
        let row = at(from, 0)..at(from, 0) + SYMBOLS;
        for (slope, log_probability) in gradient[row.clone()].iter_mut().zip(&now[row]) {
            *slope -= weight * log_probability.exp();
        }
    }
}

fn transitions(text: &[u8]) -> impl Iterator<Item = (u8, u8)> + '_ {
    std::iter::once(START).chain(text.iter().copied()).zip(text.iter().copied())
}

fn at(from: u8, to: u8) -> usize {
    usize::from(from) * SYMBOLS + usize::from(to)
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let rows = logits.chunks(SYMBOLS).flat_map(|row| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|logit| f64::from(logit - largest).exp()).sum();
        let norm = f64::from(largest) + sum.ln();
        row.iter().map(move |logit| f64::from(*logit) - norm)
    });
    rows.collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pairs() -> Vec<Pair> {
        let pair = |a: &str, b: &str| Pair { chosen: a.into(), rejected: b.into() };
        vec![pair("kind words", "HARSH WORDS"), pair("a clear answer", "NO ANSWER AT ALL")]
    }

    #[test]
    fn loss_falls_from_ln_2_and_the_preferred_responses_win() {
        let mut policy = Bigram::uniform();
        let first = policy.step(&pairs());
        assert!((first.loss - std::f64::consts::LN_2).abs() < 1e-12);
        let losses: Vec<f64> = (0..20).map(|_| policy.step(&pairs()).loss).collect();
        assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
        assert_eq!(policy.measure(&pairs()).accuracy, 1.0);
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let mut policy = Bigram::uniform();
        policy.step(&pairs());
        let now = log_softmax(&policy.logits);
        let before = log_softmax(&policy.reference);
        let mut gradient = vec![0.0; SYMBOLS * SYMBOLS];
        for pair in pairs() {
            let weight = BETA * (1.0 - sigmoid(margin(&pair, &now, &before))) / 2.0;
            add_gradient(&mut gradient, &pair.chosen, &now, weight);
            add_gradient(&mut gradient, &pair.rejected, &now, -weight);
        }
        for place in [at(b'k', b'i'), at(b'H', b'A'), at(b' ', b'a'), at(b'z', b'z')] {
            let h = 1e-3;
            let loss = |shift: f32| {
                let mut moved = policy.clone();
                moved.logits[place] += shift;
                moved.measure(&pairs()).loss
            };
            let slope = (loss(h) - loss(-h)) / (2.0 * f64::from(h));
            assert!((slope + gradient[place]).abs() < 1e-5, "{slope} and {}", gradient[place]);
        }
    }

    #[test]
    fn the_weights_are_a_quarter_of_a_megabyte() {
        assert!(Bigram::uniform().to_safetensors().unwrap().len() > SYMBOLS * SYMBOLS * 4);
    }
}
