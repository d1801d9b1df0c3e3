"""Jobs: the labels by which a Job knows its own pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.hooks.contract import Hook

if TYPE_CHECKING:
    from plait.machine.api.hooks.contract import World
    from plait.machine.api.schema.fields import FieldError

Json = dict[str, Any]

UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"


class JobHook(Hook):
    """Unless the user chose the selector, it is the Job's uid, which no other object's pods have."""

    def prepare(self, world: World, obj: Json, old: Json | None) -> tuple[FieldError, ...]:  # noqa: ARG002
        """Labels, with the old names that scripts select by, and selector; kept on update."""
        spec, meta = obj.setdefault("spec", {}), obj["metadata"]
        if old is not None:
            if spec.get("selector") is None and (kept := old["spec"].get("selector")) is not None:
                spec["selector"] = kept
                labels = spec.setdefault("template", {}).setdefault("metadata", {}).setdefault("labels", {})
                labels.update({**_labels(meta), **labels})
            return ()
        if not spec.get("manualSelector"):
            template = spec.setdefault("template", {})
            template_meta = template["metadata"] = template.get("metadata") or {}
            template_meta["labels"] = {**(template_meta.get("labels") or {}), **_labels(meta)}
            spec["selector"] = {"matchLabels": {UID_LABEL: meta["uid"]}}
        return ()


def _labels(meta: Json) -> dict[str, str]:
    uid, name = meta["uid"], meta["name"]
    return {"controller-uid": uid, "job-name": name, UID_LABEL: uid, NAME_LABEL: name}
