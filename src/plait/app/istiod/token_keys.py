"""The keys of tokens in istiod: fetched, given to the core, told on the objects that want them."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from plait.api.durations import parse_duration
from plait.sources.key_fetching import KeyFetcher, Network
from plait.sources.keys import KeyKeeper, Rhythm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plait.delivery.builder import Builder
    from plait.delivery.token_keys import KeyFindings
    from plait.xds.engine import Engine

log = logging.getLogger(__name__)

#: Seconds that proxies are kept waiting for keys when istiod starts.
_PATIENCE: Final = 2.0
#: Istio's names.
BLOCKED: Final = "BLOCKED_CIDRS_IN_JWKS_URIS"
REFRESH: Final = "PILOT_JWT_PUB_KEY_REFRESH_INTERVAL"


class TokenKeys:
    """See the module; `run` keeps all of it until cancelled. `roots` answers the mesh's own authorities, as PEM."""

    def __init__(
        self,
        engine: Engine,
        builder: Builder,
        findings: KeyFindings,
        *,
        environment: Mapping[str, str],
        roots: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._findings = findings
        self._fetcher = KeyFetcher(roots=roots, blocked=blocked(environment.get(BLOCKED, "")))
        self._keeper = KeyKeeper(
            self._fetcher,
            came=builder.keys_came,
            gone=builder.keys_forgotten,
            news=lambda: findings.take(self._keeper.standing()),
            rhythm=rhythm(environment.get(REFRESH, "")),
        )

    async def run(self) -> None:
        """See the class."""
        async with self._fetcher.open():
            await self._keeper.run()

    def look(self) -> None:
        """Objects have changed: fetch what they want now."""
        self._keeper.want(self._engine.keys_wanted)

    async def begin(self) -> None:
        """Return when all keys that are wanted were looked for, or after a moment."""
        await self._keeper.looked(within=_PATIENCE)

    def shown(self) -> list[dict[str, Any]]:
        """What is known of each source; keys of issuers are public."""
        found = {each.source: state for each, state in self._keeper.standing()}
        return [
            {
                "url": source.url,
                "discovery": source.discovery,
                "keys": state.keys,
                "problem": state.problem,
                "wantedBy": sorted({str(each.key) for each, _ in self._keeper.standing() if each.source == source}),
            }
            for source, state in sorted(found.items())
        ]


def blocked(text: str) -> tuple[Network, ...]:
    """The networks of a list with commas. One that is none blocks nothing, and is told in the log."""
    found: list[Network] = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            log.error("%s: %r is no network, such as 10.0.0.0/8", BLOCKED, part)  # noqa: TRY400  (no fault of this code)
    return tuple(found)


def rhythm(text: str) -> Rhythm:
    """How often keys are fetched, by the environment's word for it (`20m0s`); Istio's where there is none."""
    if not text:
        return Rhythm()
    found = parse_duration(text)
    if found is None or not found:
        log.error("%s: %r is no duration, such as 20m", REFRESH, text)
        return Rhythm()
    return replace(Rhythm(), refresh=found.total_seconds(), least=min(Rhythm().least, found.total_seconds()))
