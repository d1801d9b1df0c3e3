"""The pages that list things list all of them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "plait"


def test_every_folder_is_in_the_architecture() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", (DOCS / "architecture.md").read_text(), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    folders = {
        str(path.parent.relative_to(SOURCE)) for path in SOURCE.rglob("*") if path.suffix in {".py", ".json", ".gz"}
    }
    assert folders - {"."} <= listed


@pytest.mark.parametrize("folder", ["features", "decisions"])
def test_every_page_is_in_its_index(folder: str) -> None:
    index, prefix = (DOCS / "README.md", "features/") if folder == "features" else (DOCS / folder / "README.md", "")
    linked = set(re.findall(r"\]\(([^)#]+)\)", index.read_text()))
    assert {f"{prefix}{page.name}" for page in (DOCS / folder).iterdir()} - {"README.md"} <= linked
