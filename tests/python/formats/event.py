"""Events; see transparency/event.md."""

import math
import uuid
from datetime import datetime, timedelta

from . import cbor

FIELDS = {"v", "run", "seq", "data", "time", "type"}
KNOWN_TYPES = {
    "run.start",
    "guideline",
    "annotation",
    "privacy.round",
    "policy.update",
    "checkpoint",
    "metric",
    "evaluation",
    "card",
    "report",
    "auditor.grant",
    "auditor.revoke",
    "auditor.access",
    "erasure",
    "incident",
    "head.published",
    "key.rotate",
    "key.retire",
    "run.end",
}
# The commitments that an annotation must have, by its kind; and all that one can have.
COMMITTED = {
    "rating": {"prompt", "response", "reward"},
    "preference": {"response_a", "response_b", "preference"},
}
PRIVATE_FIELDS = COMMITTED["rating"] | COMMITTED["preference"]
# The mechanisms of values released one by one.
PER_ITEM = "discrete-gaussian+randomised-response"
NOISED = "released with noise; the rating itself is committed, see the hash"
TOLD = "released with randomised response; the vote itself is committed, see the hash"
# An event with an empty type, empty data and numbers below 24.
MIN_ENCODED = 48
MAX_ENCODED = 65_535
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def encode(time, run, seq, kind, data):
    """The entry as it is logged."""
    entry = cbor.encode({"v": 1, "time": time, "run": run, "seq": seq, "type": kind, "data": data})
    if len(entry) > MAX_ENCODED:
        raise cbor.Refused("too large")
    return entry


def decode(entry):
    """Reads an entry, refusing whatever is not exactly an event of version 1."""
    if len(entry) > MAX_ENCODED:
        raise cbor.Refused("too large")
    event = cbor.decode(entry)
    if not isinstance(event, dict) or set(event) != FIELDS:
        raise cbor.Refused("not the six fields")
    if not (is_unsigned(event["v"]) and event["v"] == 1):
        raise cbor.Refused("not version 1")
    if not (is_unsigned(event["time"]) and is_unsigned(event["seq"])):
        raise cbor.Refused("time or seq is not an unsigned integer")
    run = event["run"]
    if not isinstance(run, bytes) or len(run) != 16 or uuid.UUID(bytes=run).version != 7:
        raise cbor.Refused("run is not a UUID of version 7")
    if not isinstance(event["type"], str):
        raise cbor.Refused("type is not text")
    data = event["data"]
    if not isinstance(data, dict) or not has_text_keys(data):
        raise cbor.Refused("data is not a map with text keys, as are all maps in it")
    return event


def has_text_keys(value):
    if isinstance(value, dict):
        return all(isinstance(key, str) and has_text_keys(item) for key, item in value.items())
    return not isinstance(value, (list, tuple)) or all(map(has_text_keys, value))


def is_well_formed(event):
    """Whether the data holds what events of its type must hold."""
    from . import keys, sketch

    data = event["data"]
    fields = sketch.FIELDS.get(event["type"], {})
    if not all(sketch.logged(data[field]) for field in fields if field in data):
        return False
    estimate = data.get("sketch_delta_l2", 0.0)
    if event["type"] == "policy.update" and not (is_finite(estimate) and estimate >= 0):
        return False
    match event["type"]:
        case "annotation":
            needed = COMMITTED.get(data.get("kind"))
            return (
                needed is not None
                and needed <= data.keys()
                and all(is_bytes(data[key], 32) for key in PRIVATE_FIELDS & data.keys())
                and ("annotator" not in data or is_bytes(data["annotator"], 16))
                and ("released" not in data or is_release(data))
                and ("judge" not in data or is_judgement(data))
            )
        case "policy.update":
            roots = (data.get("root_before"), data.get("root_after"))
            norms = (data.get("delta_l2"), data.get("delta_linf"))
            learned_from = data.get("learned_from")
            return (
                all(is_bytes(root, 32) for root in roots)
                and all(is_finite(norm) and norm >= 0 for norm in norms)
                and isinstance(learned_from, dict)
                and all(
                    is_unsigned(learned_from.get(key)) for key in ("first", "end", "annotations")
                )
            )
        case "checkpoint":
            return isinstance(data.get("name"), str) and is_bytes(data.get("root"), 32)
        case "card" | "guideline":
            return is_bytes(data.get("sha256"), 32)
        case "head.published":
            places = data.get("published")
            return (
                all(is_unsigned(data.get(key)) for key in ("sequence", "size"))
                and is_bytes(data.get("root"), 32)
                and isinstance(places, list)
                and len(places) > 0
                and all(map(is_place, places))
            )
        case "privacy.round":
            return is_round(data)
        case "key.rotate":
            return keys.is_rotation(data)
        case "key.retire":
            return keys.is_retirement(data)
    return True


def is_judgement(data):
    """A program judged, and nobody else."""
    return isinstance(data["judge"], str) and not {"annotator", "released"} & data.keys()


def is_release(data):
    """What was released of an annotation fits its kind, and was charged to somebody."""
    value = data["released"]
    fits = is_finite(value) if data["kind"] == "rating" else value in ("a", "b")
    return fits and "annotator" in data


def is_round(data):
    """A release under the privacy budget, which costs no less than its noise comes to."""
    numbers = [data.get(key) for key in ("first", "end")]
    rho = data.get("rho")
    if not (
        all(isinstance(data.get(key), str) for key in ("mechanism", "released"))
        and all(map(is_unsigned, numbers))
        and numbers[0] <= numbers[1]
        and is_finite(rho)
        and rho >= 0
    ):
        return False
    if (data["mechanism"], data["released"]) == (PER_ITEM, "items"):
        return is_round_of_items(data)
    if (data["mechanism"], data["released"]) != ("discrete-gaussian", "sum"):
        return True
    positive = [data.get(key) for key in ("count", "steps_a_unit", "variance", "cap")]
    if not (
        all(is_signed(data.get(key)) for key in ("low", "high", "sum"))
        and all(is_unsigned(number) and number > 0 for number in positive)
        and data["cap"] < 2**32
        and data["low"] < data["high"]
    ):
        return False
    reach = float(data["cap"] * (data["high"] - data["low"]))
    return rho >= reach * reach / (2.0 * float(data["variance"]))


def is_round_of_items(data):
    """Values released one by one, right after the round that says what they cost."""
    counted = [data.get(key) for key in ("ratings", "preferences")]
    positive = [
        data.get(key) for key in ("most", "cap", "steps_a_unit", "variance", "truth", "truth_of")
    ]
    if not (
        is_bytes(data.get("charge"), 32)
        and all(map(is_unsigned, counted))
        and data["first"] + sum(counted) == data["end"] > data["first"]
        and all(is_unsigned(number) and number > 0 for number in positive)
        and data["most"] <= data["cap"]
        and all(is_signed(data.get(key)) for key in ("low", "high"))
        and data["low"] < data["high"]
        and data["truth"] < data["truth_of"] < 2 * data["truth"]
        and is_finite(data.get("rho_item"))
    ):
        return False
    item = data["rho_item"]
    span = float(data["high"] - data["low"])
    told = math.log(float(data["truth"]) / float(data["truth_of"] - data["truth"]))
    return (
        item >= span * span / (2.0 * float(data["variance"]))
        and item >= told * told / 2.0 * (1.0 - 1e-12)
        and data["rho"] >= float(data["most"]) * item
    )


def is_signed(value):
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_place(place):
    return (
        isinstance(place, dict)
        and is_bytes(place.get("log_id"), 32)
        and isinstance(place.get("log"), str)
        and is_unsigned(place.get("index"))
    )


def is_bytes(value, length):
    return isinstance(value, bytes) and len(value) == length


def is_finite(value):
    return isinstance(value, float) and math.isfinite(value)


def is_unsigned(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64


def rfc3339(micros):
    """The time in RFC 3339, UTC, with no more digits than it takes."""
    try:
        when = EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} µs"
    fraction = f".{when.microsecond:06}".rstrip("0") if when.microsecond else ""
    return when.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def view(index, event):
    """The JSON view of an event, without a proof."""
    data, kind = event["data"], event["type"]

    def shown(key):
        return cbor.to_json(data.get(key), hash_or_hex)

    return {
        "index": index,
        "run": str(uuid.UUID(bytes=event["run"])),
        "seq": event["seq"],
        "timestamp": rfc3339(event["time"]),
        "event_type": kind,
        "known_type": kind in KNOWN_TYPES,
        "event_data": annotation(shown, data)
        if kind == "annotation"
        else cbor.to_json(data, hash_or_hex),
        "policy_state": {
            "checkpoint": shown("name" if kind == "checkpoint" else "checkpoint"),
            "parameter_delta_norm": shown("delta_l2"),
            "gradient_stats": shown("gradient_stats"),
        },
        "merkle_proof": None,
        "signature": None,
    }


def annotation(shown, data):
    hashes = (
        ("response", "reward") if "response" in data else ("response_a", "response_b", "preference")
    )
    rated, released = "response" in data, shown("released")
    told = {} if rated or released is None else {"preference": released, "preference_reason": TOLD}
    return (
        told
        | {
            "kind": shown("kind"),
            "annotator_id": shown("annotator"),
            "prompt_hash": shown("prompt"),
            "reward": released if rated else None,
            "reward_reason": NOISED
            if rated and released is not None
            else "committed, not shown; see the hash",
            "privacy_noise": None,
            "privacy_noise_reason": "noise is never logged in the clear",
        }
        | {f"{field}_hash": shown(field) for field in hashes}
        | ({"judge": shown("judge")} if "judge" in data else {})
    )


def hash_or_hex(data):
    return f"sha256:{data.hex()}" if len(data) == 32 else data.hex()
