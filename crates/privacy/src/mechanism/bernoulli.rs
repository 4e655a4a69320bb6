//! Coins of rational and of exponential bias (Canonne, Kamath and Steinke 2020, Algorithm 1).

use super::generator::Generator;

impl Generator {
    /// True with probability n/d.
    pub fn chance(&mut self, n: u128, d: u128) -> bool {
        self.below(d) < n
    }

    /// True with probability exp(−n/d).
    pub fn chance_exp(&mut self, n: u128, d: u128) -> bool {
        for _ in 0..n / d {
            if !self.chance_exp_within_one(1, 1) {
                return false;
            }
        }
        self.chance_exp_within_one(n % d, d)
    }

    /// The same for n ≤ d. The paper tosses a coin of bias γ/K; two coins of bias γ and 1/K are that coin, and need
    /// no product that could overflow.
    fn chance_exp_within_one(&mut self, n: u128, d: u128) -> bool {
        let mut k: u128 = 1;
        while self.chance(n, d) && self.chance(1, k) {
            k += 1;
        }
        k % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::chi_squared::assert_fits;
    use super::*;

    #[test]
    fn coins_fall_as_often_as_they_should() {
        let mut generator = Generator::repeating(2);
        let huge = u128::MAX / 3;
        for (n, d) in [(1, 2), (1, 1), (2, 7), (5, 2), (9, 2), (huge / 2, huge)] {
            let tosses: Vec<_> =
                (0..200_000).map(|_| i64::from(generator.chance_exp(n, d))).collect();
            let bias = (-(n as f64) / d as f64).exp();
            assert_fits(&tosses, 0, &[1.0 - bias, bias]);
        }
        assert!((0..1000).all(|_| generator.chance_exp(0, 5)));
        assert!((0..1000).all(|_| !generator.chance_exp(u128::MAX, 1)));
    }
}
