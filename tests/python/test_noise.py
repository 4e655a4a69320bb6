"""Noise, against OpenDP's: a million draws of ours and a million of theirs look drawn from one distribution. OpenDP
takes about 20 microseconds for each, so other parameters than one of each mechanism are held against the formula."""

import functools
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import opendp.prelude as dp
import pytest
from scipy.stats import chi2_contingency, chisquare

ROOT = Path(__file__).parents[2]
DRAWS = 1_000_000
CHUNK = 50_000

dp.enable_features("contrib")


@functools.cache
def ours(*mechanism):
    """All on the grid: `int` takes nothing else."""
    program = ["cargo", "run", "--quiet", "-p", "privacy", "--example", "sample", "--"]
    command = [*program, *map(str, mechanism), str(DRAWS)]
    printed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    drawn = np.array(printed.split(), dtype=np.int64)
    assert len(drawn) == DRAWS
    return drawn


def theirs(make, metric, scale):
    noise = make(dp.vector_domain(dp.atom_domain(T=int)), metric, scale=scale)
    # It gives up the interpreter's lock.
    with ThreadPoolExecutor(2) as threads:
        drawn = threads.map(noise, [[0] * CHUNK] * (DRAWS // CHUNK))
    return np.concatenate(list(drawn))


@functools.cache
def their_gaussian(deviation):
    return theirs(dp.m.make_gaussian, dp.l2_distance(T=float), deviation)


@functools.cache
def their_laplace(scale):
    return theirs(dp.m.make_laplace, dp.l1_distance(T=int), scale)


def joined(counts, least):
    """Columns, of which neighbours are joined until the last row of each has so many."""
    bins, current = [], np.zeros(len(counts))
    for column in counts.T:
        current = current + column
        if current[-1] >= least:
            bins.append(current)
            current = np.zeros_like(current)
    bins[-1] = bins[-1] + current
    return np.array(bins).T


def probability(one, other):
    """Of samples as different as these, were they drawn from one distribution."""
    low = min(one.min(), other.min())
    high = max(one.max(), other.max())
    counts = [np.bincount(sample - low, minlength=high - low + 1) for sample in (one, other)]
    both = joined(np.array([*counts, counts[0] + counts[1]]), 100)
    return chi2_contingency(both[:2]).pvalue


def fit(sample, weight):
    """The probability of a sample as different as this from a distribution by its weights."""
    far = max(abs(sample.min()), sample.max())
    values = np.arange(-far, far + 1)
    weights = weight(values)
    expected = weights / weights.sum() * len(sample)
    counts = np.bincount(sample + far, minlength=len(values))
    observed, expected = joined(np.array([counts, expected]), 50)
    # What lies beyond the sample is less than a rounding.
    return chisquare(observed, expected * observed.sum() / expected.sum()).pvalue


def test_discrete_gaussian():
    assert probability(ours("gaussian", 2500), their_gaussian(50.0)) > 1e-6


def test_discrete_laplace():
    assert probability(ours("laplace", 40, 1), their_laplace(40.0)) > 1e-6


def test_randomised_response():
    bits = dp.bitvector_domain(max_weight=DRAWS)
    # Each bit is turned round with half this probability.
    respond = dp.m.make_randomized_response_bitvec(bits, dp.discrete_distance(), f=0.5)
    told = np.unpackbits(np.frombuffer(respond(b"\xff" * (DRAWS // 8)), dtype=np.uint8))
    assert len(told) == DRAWS
    assert probability(ours("response", 3, 4), told.astype(np.int64)) > 1e-6


@pytest.mark.parametrize("variance", [1, 2, 9, 10])
def test_small_discrete_gaussians(variance):
    assert fit(ours("gaussian", variance), lambda x: np.exp(-(x**2) / (2 * variance))) > 1e-6


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 2), (1, 1), (5, 2)])
def test_small_discrete_laplaces(numerator, denominator):
    drawn = ours("laplace", numerator, denominator)
    assert fit(drawn, lambda x: np.exp(-np.abs(x) * denominator / numerator)) > 1e-6


# Four in a hundred of the variance or of the scale, so that a true difference is missed once in many lifetimes: the
# statistic is then expected five of its own standard deviations above the bound, or more.
def test_noise_that_is_a_little_too_small_would_be_noticed():
    assert probability(ours("gaussian", 2400), their_gaussian(50.0)) < 1e-6
    assert probability(ours("laplace", 384, 10), their_laplace(40.0)) < 1e-6
    assert fit(ours("gaussian", 98), lambda x: np.exp(-(x**2) / (2 * 102))) < 1e-6
