"""What the documents say of the code is what the code says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.docs import SECTIONS, rewrite

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "helm/aftershock/README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_document_is_current(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert rewrite(text) == text, "run `make docs`"


def test_every_table_stands_in_some_document() -> None:
    together = "".join(p.read_text(encoding="utf-8") for p in DOCUMENTS)
    for name in SECTIONS:
        assert f"<!-- made from the code: {name} -->" in together


def test_a_marker_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="has no"):
        rewrite("<!-- made from the code: settings -->")
