//! How the accountants stand to each other; what others say is asked in tests/python/test_privacy.py.
#![allow(clippy::unwrap_used)]

use privacy::accountant::{
    Accountant, Delta, Rho, Steps, StepsError, noise_for, rdp_of_all, stated,
};
use proptest::prelude::*;

fn steps(noise: f64, rate: f64, count: u32) -> Steps {
    Steps::new(noise, rate, count).unwrap()
}

fn delta(delta: f64) -> Delta {
    Delta::new(delta).unwrap()
}

/// Balle and Wang's curve, term by term, at the ε that is claimed for it.
#[test]
fn the_exact_curve_meets_its_delta() {
    for (noise, count) in [(0.5, 1), (1.0, 1), (3.0, 10), (20.0, 100)] {
        let epsilon = stated(&steps(noise, 1.0, count), delta(1e-5)).1;
        let mu = f64::from(count).sqrt() / noise;
        let normal = |x: f64| libm::erfc(-x / 2f64.sqrt()) / 2.0;
        let met =
            normal(mu / 2.0 - epsilon / mu) - epsilon.exp() * normal(-mu / 2.0 - epsilon / mu);
        assert!((met / 1e-5 - 1.0).abs() < 1e-6, "{noise} {count}: {met}");
    }
}

#[test]
fn steps_of_several_kinds_cost_what_the_same_steps_of_one_kind_do() {
    for (noise, rate, count, failure) in
        [(1.1, 0.25, 40, 1e-5), (0.7, 1.0, 3, 1e-9), (4.0, 0.01, 9_000, 1e-7)]
    {
        let delta = delta(failure);
        let together = Accountant::Rdp.epsilon(&steps(noise, rate, count), delta).unwrap();
        let apart = [count / 3, count - count / 3].map(|count| steps(noise, rate, count));
        let apart = rdp_of_all(&apart, delta);
        assert!((apart / together - 1.0).abs() < 1e-9, "{apart} {together}");
        // More of anything costs more.
        let more = rdp_of_all(&[steps(noise, rate, count), steps(2.0 * noise, rate, 1)], delta);
        let most = Accountant::Rdp.epsilon(&steps(noise, rate, count + 1), delta).unwrap();
        assert!(together < more && more < most, "{together} {more} {most}");
    }
    assert_eq!(rdp_of_all(&[], delta(1e-5)), 0.0);
}

#[test]
fn sampling_almost_everybody_costs_almost_as_much_as_everybody() {
    // Where one record less is no less to add noise to: the two differ by the change in adjacency alone.
    for count in [1, 100] {
        let all = stated(&steps(2.0, 1.0, count), delta(1e-5)).1;
        let most = Accountant::Pld.epsilon(&steps(2.0, 1.0 - 1e-9, count), delta(1e-5)).unwrap();
        assert!((most / all - 1.0).abs() < 1e-3, "{count}: {most} {all}");
    }
}

#[test]
fn many_steps_and_small_deltas() {
    for (noise, rate, count, failure) in
        [(0.8, 1e-3, 1_000_000, 1e-6), (1.0, 1e-4, 10_000_000, 1e-6), (4.0, 0.5, 1_000, 1e-10)]
    {
        let steps = steps(noise, rate, count);
        let pld = Accountant::Pld.epsilon(&steps, delta(failure)).unwrap();
        let rdp = Accountant::Rdp.epsilon(&steps, delta(failure)).unwrap();
        assert!(pld > 0.5 * rdp && pld < rdp, "{steps:?}: {pld} {rdp}");
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    assert_eq!(Steps::new(0.0, 1.0, 1), Err(StepsError::NoiseMultiplier(0.0)));
    assert!(Steps::new(f64::NAN, 1.0, 1).is_err());
    assert_eq!(Steps::new(1.0, 0.0, 1), Err(StepsError::Rate(0.0)));
    assert_eq!(Steps::new(1.0, 1.5, 1), Err(StepsError::Rate(1.5)));
    assert_eq!(Steps::new(1.0, 1.0, 0), Err(StepsError::Count(0)));
    for refused in [0.0, 1.0, -1e-5, 1e-11, f64::NAN] {
        assert!(Delta::new(refused).is_err(), "{refused}");
    }
    for refused in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        assert!(noise_for(refused, 1.0, 1, delta(1e-5)).is_err(), "{refused}");
    }
    assert_eq!(noise_for(1e-9, 1.0, 1_000_000, delta(1e-10)), Err(StepsError::OutOfReach(1e6)));
    assert_eq!(Rho::new(-1.0), None);
    assert_eq!(Rho::new(f64::NAN), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_looser_bound_is_looser(
        noise in 0.3..30.0, rate in 0.001..1.0, count in 1..3000u32, exponent in -9.0..-2.0,
    ) {
        let delta = delta(10f64.powf(exponent));
        let sampled = steps(noise, rate, count);
        let (pld, rdp) =
            (Accountant::Pld.epsilon(&sampled, delta).unwrap(), Accountant::Rdp.epsilon(&sampled, delta).unwrap());
        prop_assert!(pld <= rdp + 1e-6, "pld {pld} rdp {rdp}");
        let all = steps(noise, 1.0, count);
        let exact = Accountant::Gaussian.epsilon(&all, delta).unwrap();
        let zcdp = Accountant::Zcdp.epsilon(&all, delta).unwrap();
        let rdp = Accountant::Rdp.epsilon(&all, delta).unwrap();
        prop_assert!(exact <= zcdp && zcdp <= rdp * (1.0 + 1e-9), "exact {exact} zcdp {zcdp} rdp {rdp}");
        prop_assert!(pld <= exact * (1.0 + 1e-3) + 1e-6, "sampled {pld} everybody {exact}");
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_noise_found_is_enough_and_hardly_more(
        target in 0.01..50.0, rate in 0.001..=1.0, count in 1..3000u32,
    ) {
        let delta = delta(1e-5);
        let noise = noise_for(target, rate, count, delta).unwrap();
        prop_assert!(stated(&steps(noise, rate, count), delta).1 <= target);
        if noise > 0.0502 {
            prop_assert!(stated(&steps(noise * 0.999, rate, count), delta).1 > target);
        }
    }

    #[test]
    fn a_budget_is_the_most_that_certifies_it(epsilon in 0.01..100.0, exponent in -9.0..-2.0) {
        let delta = delta(10f64.powf(exponent));
        let rho = Rho::within(epsilon, delta);
        prop_assert!(rho.epsilon(delta) <= epsilon);
        prop_assert!(Rho::new(rho.get() * 1.000_01).unwrap().epsilon(delta) > epsilon);
    }
}
