"""Whether Envoy takes a bootstrap that users have patched, asked before a proxy starts with it."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from plait.kit.aio.programs import communicate
from plait.machine.node.security import Identity

#: Envoy needs a tenth of a second; on a machine under load some.
_SECONDS: Final = 20
_LONGEST: Final = 300
#: Time, thread, level, place, and what is said of every configuration.
_LOG_PREFIX: Final = re.compile(r"^(?:\[[^\]]*\] ?)+(?:error initializing configuration '': )?")


async def bootstrap_fault(envoy: str, text: str, who: Identity) -> str:
    """What Envoy has against a bootstrap; empty when nothing. `text` must hold no secret: it is an argument.

    It is asked with the rights of the proxy: to judge a bootstrap it opens the files that this names.
    """
    words = (envoy, "--mode", "validate", "--config-yaml", text, "--disable-hot-restart", "--log-level", "error")
    process = await asyncio.create_subprocess_exec(
        "setpriv",
        *who.setpriv(),
        "--",
        *words,
        "--allow-unknown-static-fields",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await communicate(process)
    except TimeoutError:
        return f"it did not answer within {_SECONDS} s"
    if process.returncode == 0:
        return ""
    lines = said.decode("utf-8", "replace").strip().splitlines() or [f"exit status {process.returncode}"]
    return _LOG_PREFIX.sub("", lines[-1])[:_LONGEST]
