"""merkle.json: RFC 6962 roots and proofs."""

from formats import tree
from published.samples import CT_ENTRIES, counted, hexes


def vectors():
    small = [tree.leaf(entry) for entry in CT_ENTRIES]
    large = [tree.leaf(entry) for entry in counted(70_000)]
    return {
        "about": "RFC 6962 trees; see ../log.md. `ct` are the entries given, `counted` the entries "
        "0, 1, 2, … as eight bytes, big-endian.",
        "entries": [entry.hex() for entry in CT_ENTRIES],
        "leaves": hexes(small),
        "node": {
            "left": small[0].hex(),
            "right": small[1].hex(),
            "hash": tree.node(*small[:2]).hex(),
        },
        "roots": [
            {"of": name, "size": size, "root": tree.root(leaves[:size]).hex()}
            for name, leaves, sizes in (
                ("ct", small, range(9)),
                ("counted", large, (1, 255, 256, 257, 65_535, 65_536, 70_000)),
            )
            for size in sizes
        ],
        "inclusion": [
            inclusion(name, leaves, size, index)
            for name, leaves, pairs in (
                ("ct", small, ((1, 0), (2, 1), (3, 2), (5, 0), (7, 6), (8, 0), (8, 7))),
                ("counted", large, ((255, 254), (256, 128), (257, 255), (257, 256))),
                ("counted", large, ((65_535, 65_534), (65_536, 256), (70_000, 0))),
                ("counted", large, ((70_000, 65_535), (70_000, 65_536), (70_000, 69_999))),
            )
            for size, index in pairs
        ],
        "consistency": [
            consistency(name, leaves, old, new)
            for name, leaves, pairs in (
                ("ct", small, ((0, 8), (1, 1), (1, 8), (3, 7), (4, 7), (6, 8), (8, 8))),
                ("counted", large, ((1, 255), (255, 256), (256, 257), (128, 257), (255, 257))),
                ("counted", large, ((257, 65_535), (65_535, 65_536), (1, 70_000), (256, 70_000))),
                ("counted", large, ((257, 70_000), (65_535, 70_000), (65_536, 70_000))),
            )
            for old, new in pairs
        ],
        "refused": refused_proofs(small),
    }


def inclusion(name, leaves, size, index):
    path = tree.inclusion(index, leaves[:size])
    root = tree.root(leaves[:size]).hex()
    return {"of": name, "size": size, "index": index, "root": root, "path": hexes(path)}


def consistency(name, leaves, old, new):
    path = tree.consistency(old, leaves[:new]) if old else []
    return {"of": name} | between(leaves, old, new) | {"path": hexes(path)}


def between(leaves, old, new):
    roots = {"old_root": tree.root(leaves[:old]).hex(), "new_root": tree.root(leaves[:new]).hex()}
    return {"old": old, "new": new} | roots


def refused_proofs(leaves):
    """Wrong proofs over the eight leaves."""
    path, steps = tree.inclusion(2, leaves), tree.consistency(3, leaves[:7])
    return {
        "inclusion": [
            {
                "what": what,
                "of": "ct",
                "size": size,
                "index": index,
                "root": tree.root(leaves[:size]).hex(),
                "path": hexes(given),
            }
            for what, size, index, given in (
                ("another index", 8, 3, path),
                ("an index that is the size", 8, 8, path),
                ("a hash too few", 8, 2, path[:-1]),
                ("a hash too many", 8, 2, [*path, path[0]]),
                ("hashes in the other order", 8, 2, path[::-1]),
                ("a changed hash", 8, 2, [bytes(32), *path[1:]]),
                ("another size", 7, 2, path),
                ("a proof where none is due", 1, 0, path[:1]),
            )
        ],
        "consistency": [
            {"what": what} | between(leaves, old, new) | {"path": hexes(given)}
            for what, old, new, given in (
                ("an older tree that is newer", 7, 3, steps),
                ("another older tree", 2, 7, steps),
                ("a hash too few", 3, 7, steps[:-1]),
                ("a hash too many", 3, 7, [*steps, steps[0]]),
                ("hashes in the other order", 3, 7, steps[::-1]),
                ("hashes from nothing", 0, 7, steps[:1]),
                ("hashes between equal trees", 7, 7, steps[:1]),
            )
        ],
    }
