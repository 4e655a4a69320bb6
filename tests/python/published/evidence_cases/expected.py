"""What is reported of evidence files, and their common parts."""

from formats import cbor, tree
from published.samples import (
    LOG,
    OTHER,
    REWARDS,
    SECOND,
    STRANGER,
    WITNESS,
    blind,
    chosen,
    head,
)


def opening(index, field, content):
    return {
        "r": blind(index, field),
        "field": field,
        "index": index,
        "content": cbor.encode(content),
    }


def whole(entries, made, as_of, key=LOG, **more):
    """Evidence with all entries, the head the card speaks of, and the newest."""
    leaves = [tree.leaf(entry) for entry in entries]
    return {
        "v": 1,
        "card": made,
        "keys": [str(key.vkey)],
        "heads": [
            {"note": head(entries[:as_of], key), "proof": []},
            {"note": head(entries, key), "proof": tree.consistency(as_of, leaves)},
        ],
        "anchors": [],
        "entries": {"all": entries},
        "openings": [opening(2, "reward", REWARDS[0])],
    } | more


def logged(entries):
    """All entries of a log and its head."""
    return {"heads": [{"note": head(entries), "proof": []}], "entries": {"all": entries}}


def proven(entries, indices):
    leaves = [tree.leaf(entry) for entry in entries]
    return {"some": [[i, entries[i], tree.inclusion(i, leaves)] for i in indices]}


PASSING = {
    "heads.form": "pass",
    "heads.signature": "pass",
    "heads.consistency": "pass",
    "entries.complete": "pass",
    "events.form": "pass",
    "events.sequence": "pass",
    "events.time": "pass",
    "card.logged": "pass",
    "card.head": "pass",
    "card.claims": "pass",
    "openings": "pass",
}


UNCHOSEN = {
    "policy.signer": "absent",
    "policy.witnesses": "absent",
    "anchors": "absent",
}


TEXTS = {
    "failed": "Failed: do not rely on this",
    "self-consistent": "Consistent with itself; signer unknown",
    "signed": "Signed by the key you chose; date not independently shown",
}


POLICIES = {
    "chosen": chosen(LOG),
    "all_entries": chosen(LOG, requirements={"v": 1, "complete": True}),
    "same_name": chosen(OTHER),
    "either": chosen(LOG, policy=f"log {LOG.vkey}\nlog {OTHER.vkey}\nquorum none\n"),
    "stranger": chosen(STRANGER),
    "witnessed": chosen(LOG, policy=f"log {LOG.vkey}\nwitness W {WITNESS.vkey}\nquorum W\n"),
}


BOTH = f"log {LOG.vkey}\nwitness second {SECOND.vkey}\nwitness W {WITNESS.vkey}\n"


HYBRID = {"v": 1, "hybrid": True}


POLICIES |= {
    "second": chosen(LOG, policy=f"{BOTH}quorum second\n"),
    "hybrid": chosen(LOG, policy=f"{BOTH}quorum second\n", requirements=HYBRID),
    "hybrid_all": chosen(
        LOG,
        policy=f"{BOTH}group all all second W\nquorum all\n",
        requirements=HYBRID | {"witnesses": True},
    ),
    "hybrid_any": chosen(
        LOG, policy=f"{BOTH}group any any second W\nquorum any\n", requirements=HYBRID
    ),
    "hybrid_unasked": chosen(LOG, policy=f"{BOTH}quorum W\n", requirements=HYBRID),
    "hybrid_witnessed": chosen(
        LOG, policy=f"{BOTH}quorum second\n", requirements=HYBRID | {"witnesses": True}
    ),
}


def report(verdict, meets_policy, checks, **more):
    return {
        "verdict": verdict,
        "verdict_text": TEXTS[verdict],
        "meets_policy": meets_policy,
        "checks": checks,
    } | more


def reports(checks, incomplete=False):
    """What good evidence gives: without a policy, and by each of the policies above."""
    checks = checks | UNCHOSEN
    by_key = checks | {"policy.signer": "pass"}
    complete = "fail" if incomplete else "pass"
    return {
        "none": report("self-consistent", None, checks),
        "chosen": report("signed", True, by_key),
        "all_entries": report(
            "failed" if incomplete else "signed",
            not incomplete,
            by_key | {"policy.complete": complete},
        ),
        "same_name": report("failed", False, checks | {"policy.signer": "fail"}),
        "either": report("signed", True, by_key),
        "stranger": report("self-consistent", False, checks),
        "witnessed": report("failed", False, by_key | {"policy.witnesses": "fail"}),
        # Where the second signature was stripped from every head, or never made.
        "second": report("failed", False, by_key | NO_SECOND | {"policy.hybrid": "absent"}),
        "hybrid": report("failed", False, by_key | NO_SECOND),
        "hybrid_any": report("failed", False, by_key | NO_SECOND),
    }


NO_SECOND = {"policy.witnesses": "fail", "policy.hybrid": "fail"}


# Nothing follows from entries that are not shown to be in the log.
UNPROVEN = {"card.logged": "absent", "card.claims": "absent", "openings": "fail"}


def broken(checks, **failing):
    """What evidence gives in which something is wrong, with the right key chosen."""
    failing = {name.replace("__", "."): result for name, result in failing.items()}
    return {
        "chosen": report("failed", False, checks | UNCHOSEN | {"policy.signer": "pass"} | failing)
    }


def by_check(results):
    return {name.replace(".", "__"): result for name, result in results.items()}
