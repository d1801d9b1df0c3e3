"""Which pods belong on the one node: all that do not ask for another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plait.kube.errors import ApiError, Conflict, NotFound
from plait.kube.kinds import POD
from plait.machine.node.host import NODE_NAME
from plait.machine.node.registration import node_labels
from plait.machine.node.status import unscheduled_status

if TYPE_CHECKING:
    from plait.kube.client import Client
    from plait.machine.node.events import Events

log = logging.getLogger(__name__)

_RETRY = 1.0
_OPERATORS: dict[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _number(value) > _number(values[0]),
    "Lt": lambda value, values: _number(value) < _number(values[0]),
}


class Scheduler:
    """Decides on pods that have no node yet."""

    def __init__(self, client: Client, events: Events) -> None:
        self._client = client
        self._events = events

    async def schedule(self, obj: dict[str, Any]) -> None:
        """Give a pod this node, or say why not; tried until the API takes it."""
        name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
        while True:
            try:
                await self._decide(obj, name, namespace)
            except (NotFound, Conflict):
                return  # it is gone or another one by now: the watch brings what is to be done
            except ApiError as error:
                log.warning("cannot schedule pod %s/%s: %s", namespace, name, error)
                await asyncio.sleep(_RETRY)
            else:
                return

    async def _decide(self, obj: dict[str, Any], name: str, namespace: str) -> None:
        if (why := refusal(obj["spec"], node_labels(), name=NODE_NAME)) is not None:
            status = unscheduled_status(obj, why, time.time())
            if (obj.get("status") or {}).get("conditions") != status["conditions"]:
                await self._client.patch(POD, name, namespace, {"status": status}, subresource="status")
                self._events.pod(obj, "FailedScheduling", why, kind="Warning", component="default-scheduler")
            return
        body = {"metadata": {"uid": obj["metadata"]["uid"]}, "spec": {"nodeName": NODE_NAME}}
        await self._client.patch(POD, name, namespace, body)
        text = f"Successfully assigned {namespace}/{name} to {NODE_NAME}"
        self._events.pod(obj, "Scheduled", text, component="default-scheduler")


def refusal(spec: Mapping[str, Any], labels: Mapping[str, str], *, name: str) -> str | None:
    """Why a pod cannot run on the node, in the scheduler's words; None where it can."""
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    selector = spec.get("nodeSelector") or {}
    terms = affinity.get("nodeSelectorTerms") or ()
    fits = all(labels.get(key) == value for key, value in selector.items())
    if fits and (not terms or any(_matches(term, labels, name) for term in terms)):
        return None
    return "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."


def _matches(term: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    by_label = (_fits(rule, labels.get(rule["key"])) for rule in term.get("matchExpressions") or ())
    by_field = (_fits(rule, name) for rule in term.get("matchFields") or ())
    return all(by_label) and all(by_field)


def _fits(rule: Mapping[str, Any], value: str | None) -> bool:
    operator = _OPERATORS.get(rule.get("operator", ""))
    return bool(operator and operator(value, rule.get("values") or [""]))


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
