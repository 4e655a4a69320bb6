"""tiles.json: the folder of a log."""

from hashlib import sha256

from formats import tiles, tree
from published.samples import CT_ENTRIES, counted


def vectors():
    names = [(0, 0, 256), (0, 999, 256), (0, 1000, 256), (0, 1_234_067, 256)]
    names += [(1, 1, 17), (2, 0, 1), (0, 273, 112), (None, 0, 1), (None, 1000, 255)]
    names += [(5, 999_999_999, 256), (0, 1_000_000_000, 3)]
    return {
        "about": "C2SP tlog-tiles; see ../log.md. A null level is an entry bundle. Logs hold the "
        "entries 0, 1, 2, … as eight bytes, big-endian; of each, some files by their SHA-256.",
        "paths": [
            {
                "level": level,
                "index": index,
                "width": width,
                "path": tiles.path(level, index, width),
            }
            for level, index, width in names
        ],
        "bundle": {
            "entries": [entry.hex() for entry in CT_ENTRIES[:5]],
            "hex": tiles.bundle(CT_ENTRIES[:5]).hex(),
        },
        "bundles_refused": [
            {"what": "a length beyond the end", "width": 1, "hex": "000561"},
            {"what": "half a length", "width": 1, "hex": "00"},
            {"what": "an entry too many", "width": 1, "hex": "00000000"},
            {"what": "an entry too few", "width": 2, "hex": "0000"},
        ],
        "logs": [tiled(size) for size in (0, 1, 255, 256, 257, 65_535, 65_536, 70_000)],
    }


def tiled(size):
    entries = counted(size)
    every = tiles.tiles_of(entries)
    # The first and last full tile and the partial one of each level.
    shown = {}
    for path in every:
        shown.setdefault((path.split("/")[1], ".p/" in path), []).append(path)
    return {
        "size": size,
        "root": tree.root([tree.leaf(entry) for entry in entries]).hex(),
        "files": len(every),
        "sha256": {
            path: sha256(every[path]).hexdigest()
            for paths in shown.values()
            for path in dict.fromkeys((paths[0], paths[-1]))
        },
    }
