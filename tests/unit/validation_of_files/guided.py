"""`python -m tests.unit.validation_of_files.guided [RUNS]`: a search led by coverage, with atheris if it is installed.

libFuzzer grows texts from the nastiest ones, keeps those that reach code which none before had reached, and stops at
the first exception or at a text that takes too long; the text is then in `crash-…` or `timeout-…`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

RUNS = 50_000
LONGEST = 4096
#: Seconds of one text: a bound against hanging (instrumented code is several times slower).
HANGING = 20


def main() -> int:
    """Search; the exit code is libFuzzer's."""
    try:
        import atheris  # noqa: PLC0415
    except ImportError:
        sys.stdout.write("atheris is not installed (pip install atheris): no search led by coverage\n")
        return 0
    with atheris.instrument_imports(
        include=["plait.api", "plait.app.objects.validate", "plait.snapshot", "plait.analyze"]
    ):
        from plait.app.objects.validate import findings_of_text, validator  # noqa: PLC0415

        from .test_nasty import CASES  # noqa: PLC0415
    checker = validator()

    def one(data: bytes) -> None:
        for finding in findings_of_text(checker, data.decode(errors="replace"), file="f"):
            str(finding)

    runs = sys.argv[1] if len(sys.argv) > 1 else str(RUNS)
    with tempfile.TemporaryDirectory(prefix="plait-fuzz-") as folder:
        for number, (text, _) in enumerate(CASES.values()):
            (Path(folder) / str(number)).write_text(text, errors="replace")
        options = [
            f"-runs={runs}",
            f"-max_len={LONGEST}",
            f"-timeout={HANGING}",
            f"-report_slow_units={HANGING}",
            "-rss_limit_mb=2048",
        ]
        atheris.Setup([sys.argv[0], *options, folder], one)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
