"""The sketch: the program's is the one that sketch.md gives, to the bit, and its estimates err by no more than
that page says."""

import json
from itertools import pairwise

import numpy as np
import pytest
from safetensors import deserialize
from safetensors.numpy import load_file, save_file

from formats import card, evidence, sketch, weights
from grown import Program
from test_weights import model, save_shards, tensors_of

# The page's: at most so much for 95 of 100.
NORM, COSINE = 0.03, 0.05
TRIALS = 200


@pytest.fixture(scope="module")
def program():
    return Program()


def test_the_programs_sketch_is_the_one_of_the_specification(program, tmp_path):
    before, after = model(1), model(2)
    save_shards(before, tmp_path / "before")
    save_file(after, tmp_path / "after.safetensors")
    arguments = ("digest", tmp_path / "after.safetensors", "--against", tmp_path / "before")
    answer = program(*arguments)
    ours = [sketch.sketch(tensors_of(version)) for version in (before, after)]
    assert answer["sketch"]["sha256"] == ours[1].digest().hex()
    assert answer["against"]["sketch"]["sha256"] == ours[0].digest().hex()
    for name in ("elements", "nan", "infinite", "out_of_range", "packed"):
        assert answer["sketch"][name] == getattr(ours[1], name)
    estimate = sketch.l2(ours[1].buckets - ours[0].buckets)
    assert answer["sketch_delta_l2"] == pytest.approx(estimate, rel=1e-9)
    assert estimate == pytest.approx(answer["delta"]["l2"], rel=0.05)


def test_the_log_holds_sketches_and_the_card_says_how_far_they_are_apart(program, tmp_path):
    """More of them than are compared: the first stays, and the newest."""
    log, weights_of = tmp_path / "log", lambda n: tmp_path / f"{n}.safetensors"
    program("init", log, "--model", "tiny")
    for n in range(19):
        save_file({"w": np.full(10, n / 8, "<f4")}, weights_of(n))
        program("log", "checkpoint", log, f"c{n}", "--weights", weights_of(n))
    moved = program(
        "log", "update", log, "--base", weights_of(3), "--next", weights_of(7), "--sketch"
    )
    assert moved["sketch_delta_l2"] == pytest.approx(
        sketch.l2(held(weights_of(7)) - held(weights_of(3))), rel=1e-9
    )
    program("evidence", log, "-o", tmp_path / "e.evidence")
    read = evidence.parse((tmp_path / "e.evidence").read_bytes())
    made = json.loads(read["card"])
    as_of = made["as_of"]
    ours = card.card(
        read["entries"]["all"][: as_of["size"]], as_of["origin"], bytes.fromhex(as_of["root"])
    )
    assert card.to_bytes(ours) == read["card"]
    [claim] = [claim for claim in made["claims"] if claim["id"] == "weights.drift"]
    assert claim["value"]["sketches"] == 20
    states = claim["value"]["states"]
    assert [state["name"] for state in states] == ["c0", *(f"c{n}" for n in range(5, 19)), None]
    assert states[-1]["from"][3] == 0, "the update left the weights of c7"
    assert states[-2]["from"][0] == pytest.approx(18 / 8 * 10**0.5, rel=0.5)


def held(path):
    return sketch.sketch(floats_of(load_file(path))).buckets


@pytest.fixture(scope="module")
def trained(program, tmp_path_factory):
    """How the weights that the demo trains move, step by step."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    program("demo", "--dir", folder, "--no-serve")
    files = sorted((folder / "weights").glob("*.safetensors"))
    assert len(files) >= 3
    steps = [
        np.concatenate(
            [
                np.frombuffer(bytes(held["data"]), "<f4")
                for _, held in deserialize(file.read_bytes())
            ]
        )
        for file in files
    ]
    return [after - before for before, after in pairwise(steps)]


def layouts():
    """Where a difference can hide, in the order of a tensor's bytes."""
    random = np.random.default_rng(5)
    columns = {"row of 4096": 4096, "row of 1000": 1000}
    yield "normal", random.normal(0, 1e-3, 100_000)
    yield "heavy tails", random.standard_t(2, 100_000) * 1e-4
    for what, length in columns.items():
        matrix = np.zeros((64, length))
        matrix[:, 7] = random.normal(0, 1e-3, 64)
        yield f"one column, {what}", matrix.flatten()
        matrix[:] = 0
        matrix[7] = random.normal(0, 1e-3, length)
        yield f"one row, {what}", matrix.flatten()
    alike = np.zeros((128, 4096))
    alike[:, 7] = 1e-3
    yield "one column, all alike", alike.ravel()
    two = np.zeros(100_000)
    two[[5, 70_000]] = 1e-3
    yield "two elements", two
    low_rank = np.outer(random.normal(0, 1, 200), random.normal(0, 1, 500)) * 1e-4
    yield "rank one", low_rank.ravel()
    yield "all alike", np.full(50_000, 1e-4)
    weights = random.normal(0, 0.02, 100_000).astype("<f4")
    moved = (weights + np.float32(1e-8)).astype("<f4")
    yield "floats moved by 1e-8", (moved.astype(float) - weights).astype(float)


def estimates(difference):
    """The difference's norm as sketched under many names, in units of the true one."""
    units = sketch.fixed(np.asarray(difference, "<f8"))
    true = np.linalg.norm(np.asarray(difference, np.float64))
    return np.array(
        [sketch.l2(sketch.fold(units, sketch.key(f"layer.{n}"))) / true for n in range(TRIALS)]
    )


def within(errors, limit):
    """At most one in twenty is beyond."""
    return np.quantile(np.abs(errors), 0.95) <= limit


@pytest.mark.parametrize(
    ("what", "difference"), [pytest.param(*case, id=case[0]) for case in layouts()]
)
def test_norms_of_adversarial_layouts(what, difference):
    errors = estimates(difference) - 1
    print(f"{what}: {np.quantile(np.abs(errors), 0.95):.4f}")
    assert within(errors, NORM), what


def test_norms_of_trained_weights(trained):
    for difference in (trained[0], trained[-1], sum(trained)):
        errors = estimates(difference) - 1
        print(f"trained: {np.quantile(np.abs(errors), 0.95):.4f}")
        assert within(errors, NORM)


def test_few_elements_alike():
    """The worst there is: some thirty elements that moved alike, each in another block. One in nine names lets two
    of them meet, and those err by a little more than 3%."""
    errors = []
    for n in range(5 * TRIALS):
        key = sketch.key(f"layer.{n}")
        sums = sketch.zeros()
        blocks = np.arange(32)
        np.add.at(sums, 7 ^ sketch.masks(key, blocks), sketch.signs(key, blocks)[:, 7])
        errors.append(np.sqrt(sums @ sums / 32) - 1)
    beyond = np.mean(np.abs(errors) > NORM)
    print(
        f"32 alike: {beyond:.3f} beyond 3%, largest at 99 of 100 {np.quantile(np.abs(errors), 0.99):.4f}"
    )
    assert beyond < 0.16
    assert np.quantile(np.abs(errors), 0.99) < 0.07


def test_one_element_is_exact():
    one = np.zeros(100_000)
    one[31_415] = 2.0**-20
    assert np.all(estimates(one) == 1)


def test_one_tensor_of_many():
    """What did not move cancels exactly, however large it is."""
    random = np.random.default_rng(6)
    tensors = {f"t{n}": random.normal(0, 1, 5000).astype("<f4") for n in range(30)}
    moved = dict(tensors)
    moved["t7"] = tensors["t7"] + np.float32(1e-3)
    sums = [sketch.sketch(floats_of(version)).buckets for version in (tensors, moved)]
    alone = [
        sketch.sketch(floats_of({"t7": version["t7"]})).buckets for version in (tensors, moved)
    ]
    assert np.array_equal(sums[1] - sums[0], alone[1] - alone[0])
    errors = []
    for n in range(TRIALS):
        # As the others cancel, that one alone.
        name, after = f"layer.{n}", tensors["t7"] + random.normal(0, 1e-3, 5000).astype("<f4")
        sums = [
            sketch.sketch(floats_of({name: version})).buckets for version in (tensors["t7"], after)
        ]
        true = np.linalg.norm(after.astype(float) - tensors["t7"])
        errors.append(sketch.l2(sums[1] - sums[0]) / true - 1)
    print(f"one tensor: {np.quantile(np.abs(errors), 0.95):.4f}")
    assert within(errors, NORM)


def test_floats_that_moved_by_1e_8():
    """Both sides rounded to 2^-40, as they are in sketches, and not the difference alone."""
    random = np.random.default_rng(9)
    before = random.normal(0, 0.02, 20_000).astype("<f4")
    after = (before + np.float32(1e-8)).astype("<f4")
    true = np.linalg.norm(after.astype(float) - before)
    assert np.count_nonzero(after != before) > 10_000
    errors = []
    for n in range(TRIALS):
        sums = [
            sketch.sketch(floats_of({f"layer.{n}": version})).buckets for version in (before, after)
        ]
        errors.append(sketch.l2(sums[1] - sums[0]) / true - 1)
    print(f"moved by 1e-8: {np.quantile(np.abs(errors), 0.95):.4f}")
    assert within(errors, NORM)


def floats_of(arrays):
    return [
        weights.Tensor(name, "F32", array.shape, array.tobytes()) for name, array in arrays.items()
    ]


def test_directions_of_successive_differences(trained):
    random = np.random.default_rng(7)
    first = random.normal(0, 1e-3, 50_000)
    pairs = [
        (first, first * share + random.normal(0, 1e-3, 50_000)) for share in (-2, -0.5, 0, 1, 3)
    ]
    pairs += list(pairwise(trained))[:3]
    for one, other in pairs:
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        true = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
        errors = []
        for n in range(TRIALS):
            key = sketch.key(f"layer.{n}")
            errors.append(
                sketch.cosine(*(sketch.fold(sketch.fixed(d), key) for d in (one, other))) - true
            )
        print(f"cosine {true:.3f}: {np.quantile(np.abs(errors), 0.95):.4f}")
        assert within(errors, COSINE)


def test_other_sizes_and_no_mask():
    """What sketch.md says of them: a quarter of the buckets errs twice as much, and without the mask a column
    is one bucket."""
    units = sketch.fixed(np.random.default_rng(8).normal(0, 1e-3, 60_000))
    true = np.linalg.norm(units.astype(float)) * 2.0**-40
    errors = []
    for n in range(TRIALS):
        sums = sketch.fold(units, sketch.key(f"layer.{n}")).reshape(4, 1024).sum(axis=0)
        errors.append(sketch.l2(sums) / true - 1)
    print(f"1,024 buckets: {np.quantile(np.abs(errors), 0.95):.4f}")
    assert not within(errors, NORM)
    unmasked = []
    for n in range(TRIALS):
        key = sketch.key(f"layer.{n}")
        # One element a block, all alike, at one position.
        unmasked.append(abs(np.sum(sketch.signs(key, np.arange(64))[:, 7])) / 8 - 1)
    print(f"no mask: {np.quantile(np.abs(unmasked), 0.95):.4f}")
    assert np.quantile(np.abs(unmasked), 0.95) > 0.5
