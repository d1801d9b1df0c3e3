"""docs/reference says what the code does today."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "scripts" / "generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "kinds.md", "messages.md"])
def test_page_is_what_the_code_says(generator: ModuleType, name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text()
    assert written == generator.pages()[name], "run: .venv/bin/python scripts/generate_reference.py"


def test_every_page_is_checked(generator: ModuleType) -> None:
    assert sorted(path.name for path in (ROOT / "docs" / "reference").iterdir()) == sorted(generator.pages())


def test_pages_do_not_depend_on_the_terminal(generator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = generator.pages()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("PLAIT_NAME", "other")
    assert generator.pages() == before


def test_links_of_the_command_page_lead_to_its_headings(generator: ModuleType) -> None:
    page = generator.pages()["cli.md"]
    links = {line.split("](#")[1].rstrip(")") for line in page.splitlines() if line.startswith("- [")}
    headings = {line.removeprefix("## ").replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    assert links == headings
