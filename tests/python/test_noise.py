"""Noise, against OpenDP's: a million draws of ours and a million of theirs look drawn from one distribution."""

import math
import subprocess
from pathlib import Path

import numpy as np
import opendp.prelude as dp
import pytest
from scipy.stats import chi2_contingency

ROOT = Path(__file__).parents[2]
DRAWS = 1_000_000
CHUNK = 100_000

dp.enable_features("contrib")


def ours(*mechanism):
    """All on the grid: `int` takes nothing else."""
    program = ["cargo", "run", "--quiet", "-p", "privacy", "--example", "sample", "--"]
    command = [*program, *map(str, mechanism), str(DRAWS)]
    printed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    drawn = np.fromiter(map(int, printed.split()), dtype=np.int64)
    assert len(drawn) == DRAWS
    return drawn


def theirs(make, metric, scale):
    space = dp.vector_domain(dp.atom_domain(T=int)), metric
    noise = make(*space, scale=scale)
    return np.concatenate([noise([0] * CHUNK) for _ in range(DRAWS // CHUNK)])


def gaussian(variance):
    return theirs(dp.m.make_gaussian, dp.l2_distance(T=float), math.sqrt(variance))


def laplace(scale):
    return theirs(dp.m.make_laplace, dp.l1_distance(T=int), scale)


def bins(*samples):
    """Counts of each value in each sample; neighbours are joined until a bin has a hundred."""
    low = min(sample.min() for sample in samples)
    high = max(sample.max() for sample in samples)
    counts = np.array([np.bincount(s - low, minlength=high - low + 1) for s in samples])
    joined, current = [], np.zeros(len(samples), dtype=np.int64)
    for column in counts.T:
        current = current + column
        if current.sum() >= 100:
            joined.append(current)
            current = np.zeros_like(current)
    joined[-1] = joined[-1] + current
    return np.array(joined).T


def probability(one, other):
    return chi2_contingency(bins(one, other)).pvalue


# Whose root is a double, so that both mean the same.
@pytest.mark.parametrize("variance", [1, 4, 9, 2500])
def test_discrete_gaussian(variance):
    assert probability(ours("gaussian", variance), gaussian(variance)) > 1e-6


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 2), (1, 1), (5, 2), (40, 1)])
def test_discrete_laplace(numerator, denominator):
    assert (
        probability(ours("laplace", numerator, denominator), laplace(numerator / denominator))
        > 1e-6
    )


def test_randomised_response():
    respond = dp.m.make_randomized_response_bool(prob=0.75)
    told = np.fromiter((respond(True) for _ in range(DRAWS)), dtype=np.int64)
    assert probability(ours("response", 3, 4), told) > 1e-6


# Two in a hundred, so that a true difference is missed once in many lifetimes: the statistic
# is then expected about eight of its own standard deviations above the bound.
def test_noise_that_is_two_hundredths_too_small_would_be_noticed():
    assert probability(ours("gaussian", 98), gaussian(102)) < 1e-6
    assert probability(ours("laplace", 98, 10), laplace(10.2)) < 1e-6
