"""What becomes of a pod in which something of ours fails."""

import asyncio
from types import SimpleNamespace

import pytest

from plait.machine.node.pod import Pod
from plait.machine.node.record import PodRecord

OBJECT = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "1"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
    "status": {"phase": "Succeeded"},
}


class Mute(Pod):
    """A pod whose status cannot be made."""

    def _status(self, *_):
        raise ZeroDivisionError


async def test_a_pod_whose_status_cannot_be_told_ends_so_that_it_is_begun_again(tmp_path):
    host = SimpleNamespace(
        client=None,
        folders=SimpleNamespace(pods=tmp_path),
        objects=SimpleNamespace(within=lambda _: None),
        refused=lambda: (),
        settings=SimpleNamespace(one_uid=False),
    )
    pod = Mute(host, OBJECT, PodRecord(uid="1", namespace="shop", name="web", created_at=0.0), {})
    pod.context.changed()
    async with asyncio.timeout(60):
        with pytest.raises(ExceptionGroup) as failure:
            await pod.run()
        await pod.announced()
    assert failure.group_contains(ZeroDivisionError)
