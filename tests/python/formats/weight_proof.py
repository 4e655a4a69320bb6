"""The proof of one tensor, or a piece of one; see transparency/weights.md."""

from . import cbor, tree, weights

MAX_BYTES = 1 << 20
MAX_LEAVES = 2**53 - 1
# Bits of an element, by type.
BITS = {
    4: "F4",
    6: "F6_E2M3 F6_E3M2",
    8: "BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
    16: "I16 U16 F16 BF16",
    32: "I32 U32 F32",
    64: "I64 U64 F64 C64",
}
WIDTH = {name: bits for bits, names in BITS.items() for name in names.split()}


def make(tensors, name, first=None, end=None):
    """Of the whole tensor, or of its leaves from `first` up to `end`."""
    ordered = sorted(tensors, key=lambda tensor: tensor.name.encode())
    index = [tensor.name for tensor in ordered].index(name)
    tensor = ordered[index]
    records = [tree.leaf(leaf) for leaf in weights.leaves(tensors)]
    proof = {
        "v": 1,
        "root": weights.root(tensors),
        "tensors": len(tensors),
        "index": index,
        "tensor": cbor.decode(tensor.leaf()),
        "path": path(index, index + 1, records),
    }
    if first is not None:
        proof["piece"] = [first, end, path(first, end, leaf_hashes(tensor.data))]
    return proof


def leaf_hashes(data):
    starts = range(0, len(data), weights.LEAF)
    return [tree.leaf(data[at : at + weights.LEAF]) for at in starts]


def path(first, end, leaves):
    """PATH of weights.md: the hashes beside the leaves from `first` up to `end`."""
    if first <= 0 and len(leaves) <= end:
        return []
    k = tree.split(len(leaves))
    left, right = leaves[:k], leaves[k:]
    if end <= k:
        return [*path(first, end, left), tree.root(right)]
    if first >= k:
        return [*path(first - k, end - k, right), tree.root(left)]
    return [*path(first, end, left), *path(first - k, end - k, right)]


def root(first, end, size, held, hashes):
    """The root of a tree of `size` leaves, from those held; takes what it uses from both lists."""
    if size == 1:
        return held.pop(0)
    k = tree.split(size)
    if end <= k:
        left = root(first, end, k, held, hashes)
        return tree.node(left, hashes.pop(0))
    if first >= k:
        right = root(first - k, end - k, size - k, held, hashes)
        return tree.node(hashes.pop(0), right)
    left = root(max(first, 0), k, k, held, hashes)
    return tree.node(left, root(0, end - k, size - k, held, hashes))


def to_bytes(proof):
    return cbor.encode(proof)


def parse(data):
    """Reads a proof, and refuses what is none or goes beyond its own bounds."""
    proof = cbor.decode(data)
    must(len(data) <= MAX_BYTES, "too long")
    must(isinstance(proof, dict) and proof.get("v") == 1, "not of this version")
    fields = {"v", "root", "tensors", "index", "tensor", "path"}
    must(set(proof) - {"piece"} == fields, "other fields")
    must(is_hash(proof["root"]), "no root")
    must(is_count(proof["tensors"]) and is_count(proof["index"]), "no place")
    must(proof["index"] < proof["tensors"] <= MAX_LEAVES, "a place outside")
    must(are_hashes(proof["path"]), "no path")
    must(isinstance(proof["tensor"], list) and len(proof["tensor"]) == 5, "no tensor")
    check_tensor(*proof["tensor"])
    must(len(proof["path"]) == path_length(proof["index"], proof["index"] + 1, proof["tensors"]))
    if "piece" in proof:
        must(isinstance(proof["piece"], list) and len(proof["piece"]) == 3, "no piece")
        check_piece(*proof["piece"], leaf_count(proof))
    return proof


def check_tensor(name, dtype, shape, length, tensor_root):
    must(isinstance(name, str) and isinstance(dtype, str) and dtype in WIDTH, "no tensor")
    must(isinstance(shape, list) and all(map(is_count, shape)), "no shape")
    must(is_count(length) and is_hash(tensor_root), "no length or root")
    bits = WIDTH[dtype]
    for side in shape:
        bits *= side
    must(bits == length * 8, "shape and type give another length")


def check_piece(first, end, hashes, leaves):
    must(is_count(first) and is_count(end) and are_hashes(hashes), "no piece")
    must(first < end <= leaves, "leaves outside the tensor")
    must((first, end) != (0, leaves), "all leaves")
    must(len(hashes) == path_length(first, end, leaves), "a path of another length")


def path_length(first, end, size):
    if first <= 0 and size <= end:
        return 0
    k = tree.split(size)
    if end <= k:
        return path_length(first, end, k) + 1
    if first >= k:
        return path_length(first - k, end - k, size - k) + 1
    return path_length(first, end, k) + path_length(first - k, end - k, size - k)


def leaf_count(proof):
    return -(-proof["tensor"][3] // weights.LEAF)


def bounds(proof):
    """The bytes of the tensor that the proof is about."""
    length = proof["tensor"][3]
    if "piece" not in proof:
        return 0, length
    first, end, _ = proof["piece"]
    return first * weights.LEAF, min(end * weights.LEAF, length)


def leads_to(proof, data):
    """The weight root that these bytes lead to; they are the proof's where it is `root`."""
    start, end = bounds(proof)
    must(len(data) == end - start, "another number of bytes")
    held = leaf_hashes(data)
    name, dtype, shape, length, _ = proof["tensor"]
    tensor_root = tree.root(held)
    if "piece" in proof:
        first, end, hashes = proof["piece"]
        tensor_root = root(first, end, leaf_count(proof), held, list(hashes))
    record = [tree.leaf(cbor.encode([name, dtype, shape, length, tensor_root]))]
    index = proof["index"]
    return root(index, index + 1, proof["tensors"], record, list(proof["path"]))


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64


def is_hash(value):
    return isinstance(value, bytes) and len(value) == 32


def are_hashes(value):
    return isinstance(value, list) and all(map(is_hash, value))


def must(holds, why="not a weight proof"):
    if not holds:
        raise cbor.Refused(why)
