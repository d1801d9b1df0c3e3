"""Where the installed commands begin. Their first moments go into imports, and Ctrl-C in those is no fault either."""

from __future__ import annotations

import os

#: As shells count it: ended by signal 2. (`plait.cli.context` is among what is imported below.)
_INTERRUPTED = 130


def plait() -> None:
    """The command `plait`."""
    try:
        from plait.cli.main import main  # noqa: PLC0415
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    main()


def istioctl() -> None:
    """The command `istioctl`."""
    try:
        from plait.cli.istioctl import main  # noqa: PLC0415
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    main()
