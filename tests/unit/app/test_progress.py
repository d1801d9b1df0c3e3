"""Progress where there is no terminal: one plain line for each news."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from plait.app.readiness import Step
from plait.cli.progress import Progress


def test_words_of_envoy_are_printed_as_they_are() -> None:
    out = StringIO()
    with Progress(Console(file=out, highlight=False, soft_wrap=True)) as progress:
        progress(Step(name="EnvoyFilter t/bad", detail="must be in list [x-envoy-max-retries] :heart:", done=False))
    assert out.getvalue() == "· EnvoyFilter t/bad: must be in list [x-envoy-max-retries] :heart:\n"
