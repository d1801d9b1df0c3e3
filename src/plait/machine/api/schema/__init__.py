"""Pure parts of the API server: what its kinds are and what can be done with their objects.

Nothing here knows HTTP, storage or time. `load_schemas()` reads package data and gives one `Schemas`.
"""

from __future__ import annotations

from plait.machine.api.schema.apply import ApplyConflict, Conflict
from plait.machine.api.schema.decode import duplicate_keys
from plait.machine.api.schema.fields import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    NOT_SUPPORTED,
    REQUIRED,
    TYPE_INVALID,
    UNKNOWN,
    FieldError,
)
from plait.machine.api.schema.kinds import Column, GroupVersion, ServedKind, Subresource
from plait.machine.api.schema.normal import strip_nulls
from plait.machine.api.schema.openapi import Document
from plait.machine.api.schema.patches import PatchError, json_patch, merge_patch
from plait.machine.api.schema.protobuf import ProtobufError
from plait.machine.api.schema.schemas import Schemas, load_schemas

__all__ = [
    "DUPLICATE",
    "FORBIDDEN",
    "INVALID",
    "NOT_SUPPORTED",
    "REQUIRED",
    "TYPE_INVALID",
    "UNKNOWN",
    "ApplyConflict",
    "Column",
    "Conflict",
    "Document",
    "FieldError",
    "GroupVersion",
    "PatchError",
    "ProtobufError",
    "Schemas",
    "ServedKind",
    "Subresource",
    "duplicate_keys",
    "json_patch",
    "load_schemas",
    "merge_patch",
    "strip_nulls",
]
