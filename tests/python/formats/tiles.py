"""The folder of a log, C2SP tlog-tiles; see transparency/log.md."""

from . import note, tree

WIDTH = 256


def path(level, index, width=WIDTH):
    """Where a tile lies; level None is an entry bundle."""
    groups = f"{index:03}" if index < 1000 else ""
    if not groups:
        digits = str(index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        groups = "/".join([*("x" + part for part in parts[:-1]), parts[-1]])
    partial = f".p/{width}" if width < WIDTH else ""
    return f"tile/{'entries' if level is None else level}/{groups}{partial}"


def spread(level, nodes):
    """The paths of the tiles over `nodes` hashes or entries, with their widths."""
    for index in range(-(-nodes // WIDTH)):
        width = min(WIDTH, nodes - index * WIDTH)
        yield path(level, index, width), width


def tiles_of(entries):
    """Every file of a log over these entries, but the checkpoint: path and bytes."""
    files = {}
    hashes, level = [tree.leaf(entry) for entry in entries], 0
    while hashes:
        for number, (where, width) in enumerate(spread(level, len(hashes))):
            files[where] = b"".join(hashes[number * WIDTH :][:width])
        hashes = [
            tree.root(hashes[i : i + WIDTH]) for i in range(0, len(hashes) - WIDTH + 1, WIDTH)
        ]
        level += 1
    for number, (where, width) in enumerate(spread(None, len(entries))):
        files[where] = bundle(entries[number * WIDTH :][:width])
    return files


def bundle(entries):
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def split_bundle(data, width):
    entries, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entry = data[at + 2 : at + 2 + length]
        if len(entry) != length:
            raise ValueError("a bundle breaks off")
        entries.append(entry)
        at += 2 + length
    if len(entries) != width:
        raise ValueError(f"{len(entries)} entries in a bundle of {width}")
    return entries


class Log:
    """A log folder as it stands, read through its checkpoint."""

    def __init__(self, folder):
        self.folder = folder
        self.note = (folder / "checkpoint").read_text()
        self.text, _ = note.split(self.note)
        self.origin, self.size, self.root = note.read_checkpoint(self.text)

    def entries(self):
        entries = []
        for where, width in spread(None, self.size):
            entries += split_bundle((self.folder / where).read_bytes(), width)
        return entries

    def paths(self):
        """The tiles and bundles that a log of this size consists of."""
        levels = [(level, self.size >> 8 * level) for level in range(8)]
        return [
            where
            for level, nodes in [*levels, (None, self.size)]
            for where, _ in spread(level, nodes)
        ]
