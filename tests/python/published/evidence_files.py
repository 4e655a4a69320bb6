"""evidence.json and evidence/: whole files, and what is reported of them."""

from formats import evidence
from published.evidence_cases.bad import bad_cases, unreadable
from published.evidence_cases.expected import POLICIES
from published.evidence_cases.good import good_cases


def vectors():
    cases, binaries = [], {}

    def case(name, what, content, expected):
        path = f"evidence/{name}.evidence"
        binaries[path] = evidence.to_bytes(content)
        cases.append({"file": path, "what": what, "reports": expected})

    good_cases(case)
    bad_cases(case)
    good = binaries["evidence/whole.evidence"]
    return {
        "about": "Evidence files; see ../evidence.md and ../report.md. `reports` names a policy, or "
        "`none`, and gives an excerpt of the report: `checks` are name and result, `claims` id and "
        "status, `eu` and `nist` id and who asks for it, all else as in the report.",
        "policies": POLICIES,
        "cases": cases,
        "unreadable": unreadable(good),
    }, binaries
