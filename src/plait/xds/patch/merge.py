"""MERGE of an EnvoyFilter: protobuf's merge, with the exceptions that users rely on.

Messages are merged field by field and lists appended. Durations and wrapped values are replaced, since a merge could
never set them to zero or false; packed messages of one type (`typed_config`) are merged inside (Istio's rules). Entries
of a map are replaced.
"""

from __future__ import annotations

from typing import Any, Final

from plait.xds.encode import packed
from plait.xds.patch.values import unpacked

_ANY: Final = "google.protobuf.Any"
_WHOLE: Final = frozenset(
    {
        "google.protobuf.Duration",
        "google.protobuf.Timestamp",
        "google.protobuf.Value",
        *(
            f"google.protobuf.{name}Value"
            for name in ("Bool", "Int32", "Int64", "UInt32", "UInt64", "Float", "Double", "String", "Bytes")
        ),
    }
)


def merge(target: Any, value: Any, *, replace_lists: bool = False) -> None:
    """Merge `value` into `target`, messages of one type."""
    for field, item in value.ListFields():
        name = field.name
        if field.is_repeated:
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                _merge_map(getattr(target, name), item, field)
                continue
            if replace_lists:
                target.ClearField(name)
            getattr(target, name).extend(item)
        elif field.message_type is None:
            setattr(target, name, item)
        elif field.message_type.full_name in _WHOLE:
            getattr(target, name).CopyFrom(item)
        elif field.message_type.full_name == _ANY:
            _merge_packed(getattr(target, name), item, replace_lists=replace_lists)
        else:
            getattr(target, name).SetInParent()
            merge(getattr(target, name), item, replace_lists=replace_lists)


def _merge_map(target: Any, value: Any, field: Any) -> None:
    if field.message_type.fields_by_name["value"].message_type is None:
        target.update(value)
        return
    for key in value:
        target[key].CopyFrom(value[key])


def _merge_packed(target: Any, value: Any, *, replace_lists: bool) -> None:
    before = unpacked(target) if target.type_url == value.type_url else None
    more = unpacked(value) if before is not None else None
    if before is None or more is None:
        target.CopyFrom(value)
        return
    merge(before, more, replace_lists=replace_lists)
    target.CopyFrom(packed(before))
