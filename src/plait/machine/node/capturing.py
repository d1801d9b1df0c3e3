"""Which pods have their traffic taken by a sidecar, and with which rules every pod's network begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from plait.inject import AnnotationError, capture_rules, closed_ipv6

if TYPE_CHECKING:
    from plait.machine.images.table import Images
    from plait.machine.node.events import Events


class Capturing:
    """See the module. `by` is how a sidecar is told from the application; `plain` gives what pods without one have."""

    def __init__(
        self,
        images: Images,
        events: Events,
        *,
        by: Literal["uid", "mark"],
        plain: Callable[[Mapping[str, Any]], str] | None,
    ) -> None:
        self._images = images
        self._events = events
        self._by: Literal["uid", "mark"] = by
        self._plain = plain or (lambda _: closed_ipv6())

    def captured(self, pod: Mapping[str, Any]) -> bool:
        """Whether an init container of the pod loads the rules of capture; its sidecar then translates VIPs for it."""
        containers = pod["spec"].get("initContainers") or ()
        return any(self._images.role(container) == "proxy-init" for container in containers)

    def rules(self, pod: Mapping[str, Any]) -> str:
        """The text for nft of a new pod."""
        if not self.captured(pod):
            return self._plain(pod)
        try:
            return capture_rules(pod, by=self._by)
        except AnnotationError as error:
            self._events.pod(pod, "InvalidAnnotation", str(error), kind="Warning")
            return capture_rules({**pod, "metadata": {**pod["metadata"], "annotations": {}}}, by=self._by)
