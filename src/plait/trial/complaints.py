"""What Envoy has against a bootstrap, without running it: `envoy --mode validate`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from plait.kit.aio.programs import communicate
from plait.proxy.envoy import find_envoy
from plait.proxy.words import reason

#: What stands before the words that matter: the place in Envoy's source, and the file's name.
_BEFORE: Final = re.compile(
    r"\A(?:.*\[[^\[\]]*source/[^\]]*\] )?(?:error initializing configuration '[^']*': )?", re.DOTALL
)


async def complaint(bootstrap: Mapping[str, Any]) -> str:
    """Envoy's words, empty where it has nothing against it. Raises OSError where there is no Envoy.

    Nothing is bound and nobody is called.
    """
    with TemporaryDirectory(prefix="plait-trial-") as folder:
        path = Path(folder) / "bootstrap.json"
        path.write_text(json.dumps(bootstrap), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            str(find_envoy()), "--mode", "validate", "-c", str(path), "--disable-hot-restart", "-l", "error",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await communicate(process)
    if process.returncode == 0:
        return ""
    text = said.decode("utf-8", errors="replace").strip()
    return reason(_BEFORE.sub("", text, count=1)).strip() or f"Envoy ended with {process.returncode}"
