"""The node as its pods' gateway: packets for Service VIPs that no pod has translated are translated here."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from plait.kit.aio.programs import communicate
from plait.machine.settings import TOOLS

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_SYSCTL = Path("/proc/sys/net/ipv4")
#: Packets leave by the bridge they came from; the kernel must not tell pods to go straight to the VIP instead.
_SETTINGS = {"ip_forward": "1", "conf/all/send_redirects": "0", "conf/default/send_redirects": "0"}


class Gateway:
    """Holds the node's own rules. `everything` gives the text that takes the place of what is loaded."""

    def __init__(self, everything: Callable[[], str]) -> None:
        self._everything = everything

    async def open(self, bridge: str) -> None:
        """Forward between pods, and load everything. A machine that does not allow it only loses these packets."""
        for name, value in {**_SETTINGS, f"conf/{bridge}/send_redirects": "0"}.items():
            try:
                (_SYSCTL / name).write_text(value)
            except OSError as error:
                log.warning("calls that sidecars let through to Service addresses fail: %s: %s", name, error.strerror)
        await self._load(self._everything())

    async def change(self, rules: str) -> None:
        """Load a change; everything where it does not fit."""
        if not await self._load(rules):
            await self._load(self._everything())

    async def _load(self, rules: str) -> bool:
        process = await asyncio.create_subprocess_exec(
            "nft", "-f", "-", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"PATH": TOOLS}
        )
        _, errors = await communicate(process, rules.encode())
        if process.returncode != 0:
            log.warning("rules of the node: %s", errors.decode("utf-8", "replace").strip())
        return process.returncode == 0
