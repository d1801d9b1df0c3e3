"""A real API server of the machine, with nothing of the mesh in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.machine_api.conftest import ADMIN, pki, running, schemas

from plait.kube.access import Access
from plait.kube.client import Client

__all__ = ["pki", "schemas"]


@pytest.fixture
async def api(tmp_path, pki, schemas) -> AsyncIterator[Client]:
    async with running(tmp_path, pki, schemas) as cluster:
        access = Access(server=cluster.url, ca=(pki / "ca.crt").read_text(), token=ADMIN)
        async with Client(access) as client:
            yield client
