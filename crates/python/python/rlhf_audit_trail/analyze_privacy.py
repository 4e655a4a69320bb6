"""``python -m rlhf_audit_trail.analyze_privacy``: a log's privacy budget, or what a training would cost.

::

    python -m rlhf_audit_trail.analyze_privacy audit/dpo-1
    python -m rlhf_audit_trail.analyze_privacy --plan --noise-multiplier 1.1 --rate 0.01 --steps 10000

It gives what ``rlhf-audit privacy`` gives, without that program. Exit status: 0 done, 2 bad usage or unreadable input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import _engine
from .errors import AuditError

_PLANNED = ("noise_multiplier", "target_epsilon", "rate", "steps", "delta")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report, and returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    _check(parser, given)
    try:
        json, text = _plan(given) if given.plan else _engine.privacy_report(given.dir)
    except AuditError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json if given.json else text.rstrip())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rlhf_audit_trail.analyze_privacy",
        description="What was spent of a log's privacy budget; or, to plan a training, what differential privacy costs.",
        # A misspelt option must not be taken for another.
        allow_abbrev=False,
    )
    parser.add_argument("dir", nargs="?", help="the log's folder")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    plan = parser.add_argument_group("planning")
    plan.add_argument("--plan", action="store_true", help="compute; nothing is read or written")
    noise = plan.add_mutually_exclusive_group()
    noise.add_argument(
        "--noise-multiplier",
        type=float,
        metavar="S",
        help="the noise's standard deviation, in units of the clipping norm (the sensitivity)",
    )
    noise.add_argument(
        "--target-epsilon",
        type=float,
        metavar="E",
        help="find the least noise multiplier that stays within this epsilon",
    )
    plan.add_argument(
        "--rate",
        type=float,
        metavar="Q",
        help="the probability with which a record takes part in a step (default: 1)",
    )
    plan.add_argument("--steps", type=_count, metavar="T", help="the number of steps (default: 1)")
    plan.add_argument(
        "--delta",
        type=float,
        metavar="D",
        help="the probability with which the bound may fail (default: 1e-5)",
    )
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number < 1 << 32:
        raise ValueError
    return number


def _check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """The options that go together."""
    if given.plan == (given.dir is not None):
        parser.error("give the log's folder, or --plan")
    if given.plan and given.noise_multiplier is None and given.target_epsilon is None:
        parser.error("--plan needs --noise-multiplier or --target-epsilon")
    if not given.plan and any(getattr(given, name) is not None for name in _PLANNED):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in _PLANNED)
        parser.error(f"{names} go with --plan")


def _plan(given: argparse.Namespace) -> tuple[str, str]:
    return _engine.privacy_plan(
        given.noise_multiplier,
        given.target_epsilon,
        1.0 if given.rate is None else given.rate,
        1 if given.steps is None else given.steps,
        1e-5 if given.delta is None else given.delta,
    )


if __name__ == "__main__":
    sys.exit(main())
