"""The weight tree; see transparency/weights.md."""

from dataclasses import dataclass
from hashlib import sha256

from . import cbor, tree

LEAF = 4096


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple
    data: bytes

    @property
    def root(self):
        starts = range(0, len(self.data), LEAF)
        return tree.root([tree.leaf(self.data[at : at + LEAF]) for at in starts])

    def leaf(self):
        return cbor.encode([self.name, self.dtype, self.shape, len(self.data), self.root])


def leaves(tensors):
    """One leaf for each tensor, in the order of the names' bytes."""
    return [tensor.leaf() for tensor in sorted(tensors, key=lambda tensor: tensor.name.encode())]


def root(tensors):
    return tree.root([tree.leaf(leaf) for leaf in leaves(tensors)])


def table(tensors):
    """What is kept beside the log: the leaves one after the other."""
    return b"".join(leaves(tensors))


def table_digest(tensors):
    return sha256(table(tensors)).digest()
