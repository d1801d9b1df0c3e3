"""First words between a driver and the server. Pure but for the clock."""

from __future__ import annotations

from typing import Any

from sockshop.mongo import bson, message
from sockshop.mongo.values import DateTime

VERSION = (6, 0, 0, 0)
"""The MongoDB whose commands these are like."""

_WIRE_VERSION = 17
_BATCH_LIMIT = 100_000


def hello(_db: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the server is: a single one, writable, without sessions."""
    primary = "isWritablePrimary" if "hello" in body else "ismaster"
    return {
        **({"helloOk": True} if body.get("helloOk") else {}),
        primary: True,
        "maxBsonObjectSize": bson.SIZE_LIMIT,
        "maxMessageSizeBytes": message.LENGTH_LIMIT,
        "maxWriteBatchSize": _BATCH_LIMIT,
        "localTime": DateTime.now(),
        "connectionId": 1,
        "minWireVersion": 0,
        "maxWireVersion": _WIRE_VERSION,
        "readOnly": False,
        "ok": 1.0,
    }


def build_info(_db: str, _body: dict[str, Any]) -> dict[str, Any]:
    """The version that applications ask for."""
    return {
        "version": ".".join(map(str, VERSION[:3])),
        "versionArray": list(VERSION),
        "modules": [],
        "bits": 64,
        "debug": False,
        "maxBsonObjectSize": bson.SIZE_LIMIT,
        "storageEngines": ["sqlite"],
        "ok": 1.0,
    }
