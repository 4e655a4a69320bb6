"""The proofs in weights.json: one tensor, or a piece of one."""

import copy

from formats import weight_proof as proofs


def vectors(checkpoints):
    """Proofs out of checkpoints given as `{what: tensors}`."""
    various, edges = checkpoints["types, sizes and names"], checkpoints["at the edges of leaves"]
    one = checkpoints["one tensor"]
    return {
        "proofs": [
            valid("the only tensor", "one tensor", one, "lm_head.weight"),
            valid("one of seven", "types, sizes and names", various, "model.layers.9.weight"),
            valid("the last of seven", "types, sizes and names", various, "é"),
            valid("an empty tensor", "types, sizes and names", various, "empty"),
            valid("a name of no letters", "types, sizes and names", various, ""),
            valid("many leaves", "at the edges of leaves", edges, "of 12289 bytes"),
            *(
                valid(what, "at the edges of leaves", edges, "of 12289 bytes", first, end)
                for what, first, end in (
                    ("the first leaf", 0, 1),
                    ("a leaf between", 2, 3),
                    ("the last leaf, of one byte", 3, 4),
                    ("leaves on both sides", 1, 3),
                    ("all but the first", 1, 4),
                )
            ),
        ],
        "proofs_that_do_not_hold": [
            {"what": what, "proof": proofs.to_bytes(proof).hex(), "data": given.hex()}
            | {"leads_to": proofs.leads_to(proof, given).hex()}
            for what, proof, given in failing(various)
        ],
        "proofs_refused": [
            {"what": what, "proof": data.hex()} for what, data in refused(various, edges)
        ],
    }


def valid(what, checkpoint, tensors, name, first=None, end=None):
    proof = proofs.make(tensors, name, first, end)
    start, stop = proofs.bounds(proof)
    data = next(tensor.data for tensor in tensors if tensor.name == name)[start:stop]
    assert proofs.leads_to(proof, data) == proof["root"]
    return {
        "what": what,
        "checkpoint": checkpoint,
        "tensor": name,
        "leaves": None if first is None else [first, end],
        "bytes": [start, stop],
        "proof": proofs.to_bytes(proof).hex(),
    }


def failing(tensors):
    name = "model.layers.9.weight"
    good = proofs.make(tensors, name)
    data = next(tensor.data for tensor in tensors if tensor.name == name)
    yield "a bit changed", good, bytes([data[0] ^ 1]) + data[1:]
    for what, place, value in (
        ("another name", 0, "model.layers.8.weight"),
        ("another type of the same width", 1, "BF16"),
        ("another shape", 2, [1, 3]),
    ):
        other = copy.deepcopy(good)
        other["tensor"][place] = value
        yield what, other, data
    yield "another place", good | {"index": good["index"] ^ 1}, data
    yield "another root", good | {"root": bytes(32)}, data


def refused(tensors, large):
    good = proofs.make(tensors, "model.layers.9.weight")
    piece = proofs.make(large, "of 12289 bytes", 1, 3)
    yield "nothing", b""
    yield "text", b"c2sp.org/tlog-proof@v1\n"
    yield "cut short", proofs.to_bytes(good)[:-1]
    yield "a byte more", proofs.to_bytes(good) + b"\0"
    yield "another version", proofs.to_bytes(good | {"v": 2})
    yield "a field that no proof has", proofs.to_bytes(good | {"w": 1})
    yield "no root", proofs.to_bytes({key: good[key] for key in good if key != "root"})
    yield "a root of 31 bytes", proofs.to_bytes(good | {"root": bytes(31)})
    yield "a place outside", proofs.to_bytes(good | {"index": good["tensors"]})
    yield "a path too long", proofs.to_bytes(good | {"path": [*good["path"], bytes(32)]})
    yield "a path too short", proofs.to_bytes(good | {"path": good["path"][:-1]})
    yield "more tensors than any tree has", proofs.to_bytes(good | {"tensors": 2**64 - 1})
    name, dtype, shape, length, root = good["tensor"]
    for what, tensor in (
        ("an unknown type", [name, "F7", shape, length, root]),
        ("another length than shape and type give", [name, dtype, shape, length + 2, root]),
        ("a shape that overflows", [name, dtype, [2**63, 4], 0, root]),
        ("no tensor root", [name, dtype, shape, length]),
    ):
        yield what, proofs.to_bytes(good | {"tensor": tensor})
    first, end, path = piece["piece"]
    for what, changed in (
        ("no leaf", [first, first, path]),
        ("leaves beyond the end", [first, 5, path]),
        ("leaves backwards", [end, first, path]),
        ("all leaves", [0, 4, []]),
        ("the path of other leaves", [0, 1, path[:1]]),
    ):
        yield what, proofs.to_bytes(piece | {"piece": changed})
