"""The regulatory report: what the log shows of a period, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from . import _engine
from ._inputs import as_list
from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any

_SUFFIXES = (".json", ".md")


@dataclass(frozen=True)
class RegulatoryReport:
    """A report on a period, derived from the log.

    Every statement is a claim as in the model card. It says which events it is about, of which kind it is, and where
    its evidence is; every section says what the log does not support.
    """

    content: bytes
    """The report as RFC 8785 JSON (``transparency/regulatory-report.md``); its SHA-256 is in the log."""
    markdown: str
    """The same for people."""
    entry: int
    """The entry of the log that holds the SHA-256."""

    def to_dict(self) -> dict[str, Any]:
        """The report: ``as_of``, ``period``, ``sections``, ``notes``."""
        return json.loads(self.content)

    @property
    def as_of(self) -> dict[str, Any]:
        """The head that the report speaks of: ``origin``, ``size``, ``root`` in hex."""
        return self.to_dict()["as_of"]

    @property
    def period(self) -> dict[str, Any]:
        """``from``, ``to``, both in it; ``entries``: how many; ``among``: the first and the one after the last;
        ``log``: the first and the last time in the log."""
        return self.to_dict()["period"]

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """By name: ``title``; ``statements``, each ``{id, title, value, kind, scope, eu, nist, evidence}``; and
        ``not_supported``, sentences."""
        return {section["name"]: section for section in self.to_dict()["sections"]}

    @property
    def sha256(self) -> str:
        """The digest that is in the log, hex."""
        import hashlib

        return hashlib.sha256(self.content).hexdigest()

    def statement(self, id: str, scope: str = "period") -> dict[str, Any]:
        """A statement by its claim's id.

        Args:
            id: for example ``"annotations.count"``.
            scope: ``"period"``: about what is in it; ``"until_end"``: about all up to its end.

        Raises:
            KeyError: there is no such statement in these sections.
        """
        for section in self.sections.values():
            for statement in section["statements"]:
                if (statement["id"], statement["scope"]) == (id, scope):
                    return statement
        raise KeyError(id)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report: the JSON whose digest is in the log to ``.json``, the Markdown to ``.md``.

        Raises:
            BadInput: the name ends with neither.
        """
        path = Path(path)
        if path.suffix not in _SUFFIXES:
            raise BadInput(f"a report is saved as .json or .md, not as {path.name!r}")
        path.write_bytes(self.content if path.suffix == ".json" else self.markdown.encode())


def period(start: Any, end: Any) -> tuple[int, int]:
    """Both ends in microseconds since 1970. A day that ends it is in it as a whole."""
    return _moment("start_date", start, False), _moment("end_date", end, True)


def names(sections: Any) -> list[str] | None:
    """The names of the sections that were asked for; None stands for all."""
    if sections is None:
        return None
    known = ", ".join(_engine.report_sections())
    sections = as_list("include_sections", sections)
    for at, name in enumerate(sections):
        if not isinstance(name, str):
            raise BadInput(f"include_sections[{at}] must be one of {known}")
    return sections


def _moment(name: str, value: Any, is_end: bool) -> int:
    from datetime import date, datetime, time, timedelta, timezone

    given = _read(value) if isinstance(value, str) else value
    if isinstance(given, datetime):
        # As in the log, a time is in UTC unless it says otherwise.
        moment = given if given.tzinfo else given.replace(tzinfo=timezone.utc)
    elif isinstance(given, date):
        moment = datetime.combine(given, time.max if is_end else time.min, timezone.utc)
    else:
        raise BadInput(
            f"{name} must be a date or a time, as date, datetime or ISO 8601 text like '2026-01-31', not {value!r}"
        )
    since = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    if since < 0:
        raise BadInput(f"{name} must not lie before 1970, as {value!r} does")
    return since


def _read(text: str) -> Any:
    from datetime import date, datetime

    # Python reads Z from 3.11 on.
    spelled = f"{text[:-1]}+00:00" if text.endswith(("Z", "z")) else text
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(spelled)
        except ValueError:
            continue
    return None
