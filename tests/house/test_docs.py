"""What the documentation says that the code knows too."""

import re
from pathlib import Path

import pytest

from sidecar.telemetry.metrics import METRICS
from tests.house.tree import ROOT, files

PAGES = [path for path in files() if path.endswith(".md")]
DECISIONS = sorted(path for path in PAGES if path.startswith("docs/decisions/"))
LINK = re.compile(r"\[[^\]]*\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Those that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target, anchor in LINK.findall(re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)):
        there = (ROOT / page).parent / target
        assert there.exists(), target
        assert not anchor or anchor[1:] in anchors(there), f"{target}{anchor}"


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    """To make it anew: print what is expected here."""
    expected = [f"| `{row.name}` | {row.type} | {', '.join(row.labels)} | {row.help} |" for row in METRICS]
    written = re.findall(
        r"^\| `(?:otlp|otelcol|spangate)_\w+` \| [a-z]+ \| .*$", text("docs/operations.md"), re.MULTILINE
    )
    assert written == expected


@pytest.mark.parametrize("page", DECISIONS)
def test_a_decision_has_context_decision_and_drawbacks(page: str) -> None:
    written = text(page)
    number = Path(page).name[:4]
    assert written.startswith(f"# {number}: ")
    assert re.findall(r"^\*\*(\w+)\.\*\*", written, re.MULTILINE) == ["Context", "Decision", "Drawbacks"]


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(Path(page).name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_table_of_faults_names_tests_that_there_are() -> None:
    named = set(re.findall(r"`(test_\w+)`", text("CONTRIBUTING.md")))
    there = {name for path in files() if path.endswith(".py") for name in re.findall(r"def (test_\w+)", text(path))}
    assert named
    assert named - there == set()


def test_no_page_names_a_place_of_the_machine_it_was_written_on() -> None:
    assert [page for page in PAGES if re.search(r"(?<![\w.])/(work|home|root|tmp)/", text(page))] == []
