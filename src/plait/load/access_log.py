"""One line for each call, as JSON or in InfluxDB's line protocol."""

from __future__ import annotations

from typing import TextIO

from plait.load.answer import good


class FileAccessLog:
    """Writes to a file that somebody else closes."""

    def __init__(self, file: TextIO, path: str, form: str) -> None:
        self._file, self._influx = file, form == "influx"
        #: What the results say of it.
        self.info = f"mode {form} to {path}"

    def report(self, thread: int, call: int, began: int, latency: float, code: int) -> None:
        """`began` in Unix nanoseconds, `latency` in seconds."""
        ok = "true" if good(code) else "false"
        if self._influx:
            self._file.write(f'latency,thread={thread},ok={ok} value={latency:f},details="{code}" {began}\n')
        else:
            self._file.write(
                f'{{"latency":{latency:f},"timestamp":{began},"thread":{thread},"iter":{call},"ok":{ok},'
                f'"details":"{code}"}}\n'
            )
