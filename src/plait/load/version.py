"""Which fortio this speaks like."""

from typing import Final

#: The version of fortio whose flags and outputs are kept; scripts read it in the banner and in the JSON.
FORTIO: Final = "1.75.2"
USER_AGENT: Final = f"fortio.org/fortio-{FORTIO}"
