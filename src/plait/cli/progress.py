"""Live progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from plait.app.readiness import Step


class Progress:
    """Shows the steps in the order in which they were first reported, each with its seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: dict[str, Step] = {}
        self._begun: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._live = (
            Live(console=console, refresh_per_second=10, get_renderable=self._table) if console.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, step: Step) -> None:
        """Take note of where a step is."""
        now = time.monotonic()
        self._begun.setdefault(step.name, now)
        before = self._steps.get(step.name)
        self._steps[step.name] = step
        if step.done:
            self._took.setdefault(step.name, now - self._begun[step.name])
        if self._live is None and (before is None or step.done or before.detail != step.detail):
            seconds = f" ({self._took[step.name]:.1f} s)" if step.done else ""
            # Envoy's words have brackets and colons, which rich would take for its own.
            line = f"{'✓' if step.done else '·'} {step.name}: {step.detail}{seconds}"
            self._console.print(line, markup=False, emoji=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, step in self._steps.items():
            mark: Text | Spinner = Text("✓", style="green") if step.done else Spinner("dots", style="cyan")
            seconds = self._took.get(name, time.monotonic() - self._begun[name])
            table.add_row(mark, Text(name, style="bold"), Text(step.detail), Text(f"{seconds:.1f} s", style="dim"))
        return table
