"""cbor.json: deterministic CBOR."""

from formats import cbor
from published.samples import spell


def vectors():
    floats = [0.0, -0.0, 1.0, 1.5, -4.1, 1.1, 65504.0, 65505.0, 100_000.0]
    floats += [5.960464477539063e-8, 3.4028234663852886e38, 1.0e300]
    floats += [float("inf"), float("-inf"), float("nan")]
    integers = [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53, 2**64 - 1]
    integers += [-1, -24, -25, -256, -257, -(2**63), -(2**64)]
    others = [None, False, True, "", "ü", "😀", b"", b"\1\2", [], [1, [2.0]], {}]
    others += [{"v": 1, "run": 2, "seq": 3, "data": 4, "time": 5, "type": 6}]
    others += [{"b": 1, "a": 2, "aa": 3, "": 4}]
    # The order of RFC 8949, section 4.2.1, which is not that of the older RFC 7049.
    others += [{10: 0, 100: 1, -1: 2, "z": 3, "aa": 4, False: 5}]
    others += [nested(cbor.MAX_DEPTH)]
    return {
        "about": "Deterministic CBOR; see ../event.md. `value` spells the value as README.md says.",
        "valid": [
            {"value": spell(value), "hex": cbor.encode(value).hex()}
            for value in floats + integers + others
        ],
        "same": [
            {
                "what": "a NaN of whatever sign and payload is written in one way",
                "float64": bits,
                "hex": "f97e00",
            }
            for bits in ("7ff8000000000000", "fff8000000000000", "7ff0000000000001")
        ],
        "refused": [
            {"what": what, "hex": data}
            for what, data in (
                ("23 in two bytes", "1817"),
                ("255 in three bytes", "1900ff"),
                ("1.0 as a double", "fb3ff0000000000000"),
                ("1.0 as a single", "fa3f800000"),
                ("a NaN with a payload", "f97e01"),
                ("a NaN as a double", "fb7ff8000000000000"),
                ("a length in a longer form", "5801ff"),
                ("an indefinite byte string", "5f4101ff"),
                ("an indefinite text", "7f6161ff"),
                ("an indefinite array", "9fff"),
                ("an indefinite map", "bfff"),
                ("map keys out of order", "a2616201616100"),
                ("map keys in the order of RFC 7049", "a2200018640a"),
                ("a map key twice", "a2616100616100"),
                ("undefined", "f7"),
                ("a simple value without meaning", "f0"),
                ("a tag", "c11a514b67b0"),
                ("a big integer", "c249010000000000000000"),
                ("text that is not UTF-8", "61ff"),
                ("trailing bytes", "0000"),
                ("nothing", ""),
                ("a truncated array", "8201"),
                ("33 arrays one in the other", "81" * 32 + "80"),
            )
        ],
    }


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value
