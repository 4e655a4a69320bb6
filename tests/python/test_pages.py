"""The pages in `transparency/` name everything that there is, and lead nowhere that is not there."""

import re

import pytest

from formats import event
from vectors import FOLDER

PAGES = FOLDER.parent
TEXTS = {page.name: page.read_text() for page in PAGES.glob("*.md")}


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXTS[page]):
        path, _, heading = target.partition("#")
        assert (PAGES / (path or page)).exists(), target
        if heading:
            assert heading in anchors(TEXTS[path or page]), target


def anchors(text):
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_and_vector_is_in_the_index():
    for path in [*PAGES.glob("*.md"), *FOLDER.glob("*.json")]:
        assert path.name == "README.md" or f"{path.name}]" in TEXTS["README.md"], path.name


def test_every_type_claim_and_check_is_named(read_vectors):
    for kind in event.KNOWN_TYPES:
        assert f"`{kind}`" in TEXTS["event.md"], kind
    for case in read_vectors("evidence.json")["cases"]:
        for report in case["reports"].values():
            for check in report["checks"]:
                assert f"`{check}`" in TEXTS["report.md"], check
            for claim in known(report.get("claims", {})):
                assert f"`{re.sub('[0-9]+$', 'n', claim)}`" in TEXTS["card.md"], claim


def known(claims):
    """All but the producer's own."""
    return (claim for claim in claims if not claim.startswith("x.example."))
