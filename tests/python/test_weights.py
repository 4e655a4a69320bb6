"""Checkpoints that the reference implementation of safetensors writes: the program's digest is the one
that weights.md gives, and its norms are NumPy's."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors import deserialize
from safetensors.numpy import save_file

from formats import cbor, weight_proof, weights
from grown import Program

TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I8": np.int8,
}
# Empty, scalar, within a leaf, over its edge, and over that of a mebibyte, the unit of parallel work.
SHAPES = ((0,), (3, 0, 2), (), (7,), (64, 65), (515, 2048))


def model(seed):
    """Tensors of every type and shape, by name."""
    random = np.random.default_rng(seed)
    return {
        f"{dtype}.{'x'.join(map(str, shape)) or 'scalar'}": np.asarray(
            random.normal(0, 20, shape)
        ).astype(kind)
        for dtype, kind in TYPES.items()
        for shape in SHAPES
    }


@pytest.fixture(scope="module")
def program():
    return Program()


@pytest.fixture(scope="module", params=["one file", "shards"])
def saved(request, tmp_path_factory):
    """Two versions of a model and where they lie; the second in one file, whatever the first is."""
    folder = tmp_path_factory.mktemp("weights")
    before, after = model(1), model(2)
    # Where elements stay as they are, they count as unchanged.
    for name in before:
        if before[name].ndim == 2:
            after[name][::2] = before[name][::2]
    save_file(after, folder / "after.safetensors")
    if request.param == "one file":
        save_file(before, folder / "before.safetensors")
        return before, folder / "before.safetensors", after, folder / "after.safetensors"
    save_shards(before, folder / "before")
    return before, folder / "before", after, folder / "after.safetensors"


def save_shards(tensors, folder):
    """As `save_pretrained` does it: numbered files and an index."""
    folder.mkdir()
    weight_map = {}
    for number in range(3):
        shard = f"model-{number + 1:05}-of-00003.safetensors"
        held = dict(list(tensors.items())[number::3])
        save_file(held, folder / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(held, shard)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def tensors_of(arrays):
    return [
        weights.Tensor(name, name.split(".")[0], array.shape, array.tobytes())
        for name, array in arrays.items()
    ]


def test_the_root_is_that_of_the_specification(program, saved):
    before, path, *_ = saved
    answer = program("digest", path)
    assert answer["root"] == weights.root(tensors_of(before)).hex()
    assert answer["tensors"] == len(before)
    assert answer["bytes"] == sum(array.nbytes for array in before.values())


def test_the_reference_implementation_reads_the_same_bytes(saved):
    *_, after, path = saved
    read = [
        weights.Tensor(name, held["dtype"], tuple(held["shape"]), bytes(held["data"]))
        for name, held in deserialize(path.read_bytes())
    ]
    assert weights.root(read) == weights.root(tensors_of(after))


def test_norms_are_those_of_numpy(program, saved):
    before, old, after, new = saved
    delta = program("digest", new, "--against", old)["delta"]
    moved = {name: wide(after[name]) - wide(before[name]) for name in before}
    assert set(delta["tensors"]) == set(moved)
    for name, difference in moved.items():
        given = delta["tensors"][name]
        assert given["l2"] == near(np.linalg.norm(difference.ravel())), name
        assert given["linf"] == np.max(np.abs(difference), initial=0.0), name
        assert given["changed"] == count_changed(before[name], after[name]), name
    every = np.concatenate([difference.ravel() for difference in moved.values()])
    assert delta["l2"] == near(np.linalg.norm(every))
    assert delta["linf"] == np.max(np.abs(every))
    assert delta["elements"] == every.size
    assert delta["changed"] == sum(given["changed"] for given in delta["tensors"].values())
    assert delta["not_finite"] == 0


def wide(array):
    return array.astype(np.float64)


def near(norm):
    return pytest.approx(float(norm), rel=1e-9, abs=0)


def count_changed(old, new):
    """How many elements have other bits: 0.0 and -0.0 are equal numbers and differ here."""
    bits = [np.frombuffer(array.tobytes(), f"V{array.itemsize}") for array in (old, new)]
    return int(np.sum(bits[0] != bits[1]))


def test_what_is_not_finite_is_counted_and_left_out(program, tmp_path):
    save_file({"a": np.array([np.nan, 1, 2, np.inf], np.float16)}, tmp_path / "old.safetensors")
    save_file({"a": np.array([1, np.inf, 5, np.inf], np.float16)}, tmp_path / "new.safetensors")
    arguments = ("digest", tmp_path / "new.safetensors", "--against", tmp_path / "old.safetensors")
    delta = program(*arguments)["delta"]
    assert (delta["l2"], delta["changed"], delta["not_finite"]) == (3.0, 3, 2)


def test_proofs_are_those_of_the_specification(program, saved, tmp_path):
    before, path, *_ = saved
    tensors, file = tensors_of(before), tmp_path / "tensor.weight-proof"
    for tensor in tensors:
        program("digest", path, "--prove", tensor.name, "-o", file)
        assert file.read_bytes() == weight_proof.to_bytes(weight_proof.make(tensors, tensor.name))
        data = before[tensor.name].tobytes()
        proof = weight_proof.parse(file.read_bytes())
        assert weight_proof.leads_to(proof, data) == weights.root(tensors)
        if data:
            other = bytes([data[0] ^ 1]) + data[1:]
            assert weight_proof.leads_to(proof, other) != proof["root"]


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (4095, 4097), (2**20 - 1, 2**20 + 1), (5000, 2**22)]
)
def test_proofs_of_pieces_are_those_of_the_specification(program, saved, tmp_path, start, end):
    before, path, *_ = saved
    name, file = "F32.515x2048", tmp_path / "piece.weight-proof"
    program("digest", path, "--prove", name, "--bytes", f"{start}..{end}", "-o", file)
    proof = weight_proof.make(tensors_of(before), name, start // 4096, -(-end // 4096))
    assert file.read_bytes() == weight_proof.to_bytes(proof)
    first, stop = weight_proof.bounds(proof)
    held = tmp_path / "piece.bin"
    held.write_bytes(before[name].tobytes()[first:stop])
    assert program("digest", held, "--check", file)["holds"]
    assert (
        weight_proof.leads_to(weight_proof.parse(file.read_bytes()), held.read_bytes())
        == proof["root"]
    )


def test_what_the_vectors_say_of_proofs_holds_here_too(read_vectors):
    vectors = read_vectors("weights.json")
    for case in vectors["proofs_that_do_not_hold"]:
        proof = weight_proof.parse(bytes.fromhex(case["proof"]))
        root = weight_proof.leads_to(proof, bytes.fromhex(case["data"]))
        assert root.hex() == case["leads_to"] != proof["root"].hex(), case["what"]
    for case in vectors["proofs_refused"]:
        with pytest.raises(cbor.Refused):
            weight_proof.parse(bytes.fromhex(case["proof"]))
