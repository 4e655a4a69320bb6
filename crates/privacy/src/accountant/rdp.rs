//! Rényi differential privacy of the sampled Gaussian mechanism.
//!
//! Mironov, Talwar and Zhang 2019 (<https://arxiv.org/abs/1908.10530>): at order α a step costs ln A(α) / (α − 1),
//! where A is a sum of binomial terms (section 3.3), finite for whole α and a series otherwise. Costs add up over
//! steps; the conversion to (ε, δ) is Balle et al. 2020, Theorem 21 (<https://arxiv.org/abs/1905.09982>).

use std::f64::consts::{LN_2, SQRT_2};

use super::log_math::{ln_add, ln_erfc, ln_sub};
use super::{Delta, Steps};

/// The least ε over all orders tried.
pub fn epsilon(steps: &Steps, delta: Delta) -> f64 {
    let steps = std::slice::from_ref(steps);
    orders().map(|order| at_order(steps, order, delta)).fold(f64::INFINITY, f64::min).max(0.0)
}

/// So many orders are passed over where the least ε is looked for.
const STRIDE: usize = 8;

/// The same of steps of several kinds, whatever the order they were made in: over some of the orders, and all those near
/// the best of them, since every kind takes its time.
pub fn epsilon_of_all(steps: &[Steps], delta: Delta) -> f64 {
    let orders: Vec<f64> = orders().collect();
    let at = |index: usize| at_order(steps, orders[index], delta);
    let coarse = (0..orders.len()).step_by(STRIDE).map(|index| (index, at(index)));
    let (best, least) =
        coarse.min_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap_or((0, f64::INFINITY));
    let near = best.saturating_sub(STRIDE - 1)..(best + STRIDE).min(orders.len());
    near.filter(|index| *index != best).map(at).fold(least, f64::min).max(0.0)
}

/// ε by one order.
fn at_order(steps: &[Steps], order: f64, delta: Delta) -> f64 {
    let cost = |steps: &Steps| f64::from(steps.count) * step_cost(steps, order);
    let cost: f64 = steps.iter().map(cost).sum();
    cost + (-1.0 / order).ln_1p() - (delta.get() * order).ln() / (order - 1.0)
}

/// From 1.003 to 1,001, whole ones from 20 on, where they are close enough.
fn orders() -> impl Iterator<Item = f64> {
    (-100..=120).map(|k| {
        let order = 1.0 + 10f64.powf(f64::from(k) / 40.0);
        if order < 20.0 { order } else { order.round() }
    })
}

/// What one step costs at an order.
fn step_cost(steps: &Steps, order: f64) -> f64 {
    let noise = steps.noise_multiplier;
    if steps.everybody() {
        return order / (2.0 * noise * noise);
    }
    let ln_a =
        if order.fract() == 0.0 { ln_a_whole(steps, order) } else { ln_a_fraction(steps, order) };
    // A is an expectation of at least 1; rounding can put it below.
    ln_a.max(0.0) / (order - 1.0)
}

fn ln_a_whole(steps: &Steps, order: f64) -> f64 {
    let (ln_rate, ln_rest) = (steps.rate.ln(), (-steps.rate).ln_1p());
    let variance = steps.noise_multiplier * steps.noise_multiplier;
    let (mut sum, mut ln_binomial, mut k) = (f64::NEG_INFINITY, 0.0, 0.0);
    while k <= order {
        let term =
            ln_binomial + k * ln_rate + (order - k) * ln_rest + (k * k - k) / (2.0 * variance);
        sum = ln_add(sum, term);
        ln_binomial += ((order - k) / (k + 1.0)).ln();
        k += 1.0;
    }
    sum
}

fn ln_a_fraction(steps: &Steps, order: f64) -> f64 {
    let (ln_rate, ln_rest) = (steps.rate.ln(), (-steps.rate).ln_1p());
    let noise = steps.noise_multiplier;
    let variance = noise * noise;
    // Where the two parts of the mixture are equally likely; the series on either side of it converges.
    let middle = variance * (ln_rest - ln_rate) + 0.5;
    let half_tail = |distance: f64| ln_erfc(distance / (SQRT_2 * noise)) - LN_2;
    let (mut plus, mut minus) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let (mut ln_binomial, mut positive, mut i) = (0.0, true, 0.0);
    loop {
        let j = order - i;
        let below = ln_binomial + i * ln_rate + j * ln_rest + (i * i - i) / (2.0 * variance);
        let above = ln_binomial + j * ln_rate + i * ln_rest + (j * j - j) / (2.0 * variance);
        let term = ln_add(below + half_tail(i - middle), above + half_tail(middle - j));
        let side = if positive { &mut plus } else { &mut minus };
        *side = ln_add(*side, term);
        if i > order && term < plus - 40.0 {
            return ln_sub(plus, minus);
        }
        // A binomial of a fraction changes its sign at each step past it.
        let factor = (order - i) / (i + 1.0);
        ln_binomial += factor.abs().ln();
        positive ^= factor < 0.0;
        i += 1.0;
    }
}
