"""The shop on other people's servers, set up as demo/sockshop/README.md says: Debian's RabbitMQ as its broker."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from .conftest import ROOT, Mesh, until
from .shopping import Customer

pytestmark = pytest.mark.system

SCRIPT = ROOT / "demo/sockshop/rabbitmq.sh"
BROKER = ("-n", "sock-shop", "deploy/rabbitmq", "-c", "rabbitmq")


@pytest.fixture(scope="module")
def shop(mesh: Mesh, lacking: Callable[[str], None]) -> Mesh:
    known = subprocess.run(["apt-cache", "show", "rabbitmq-server"], capture_output=True, check=False)
    if known.returncode:
        lacking("apt knows no package rabbitmq-server: run apt-get update")
    command = ("--", "sh", "-euc", SCRIPT.read_text())
    mesh.plait(
        "image", "add", "rabbitmq:*", "--package", "rabbitmq-server", "--persist", "/data", "--user", "10001", *command
    )
    mesh.plait("up", "--demo", "sock-shop", "--ports", "auto", "--timeout", "280")
    return mesh


TASKS = ("logs", "-n", "sock-shop", "deploy/queue-master", "-c", "queue-master")
CONTROL = ("env", "HOME=/data", "RABBITMQ_NODENAME=rabbit@localhost", "/usr/lib/rabbitmq/bin/rabbitmqctl", "-q")


def shipments(shop: Mesh) -> int:
    """How many shipments have been taken off the queue."""
    return shop.kubectl(*TASKS).stdout.count("Received shipment task: ")


def test_orders_are_shipped_through_a_real_rabbitmq(shop: Mesh) -> None:
    def queue() -> str:
        listing = ("exec", *BROKER, "--", *CONTROL, "list_queues", "name", "messages", "consumers")
        return " ".join(shop.kubectl(*listing, code=None).stdout.split())

    until("shipping's queue, and somebody who takes from it", lambda: queue().endswith("shipping-task 0 1"))
    customer = Customer(shop.url("/"))
    until("the customer", customer.log_in)
    before = shipments(shop)
    for _ in range(3):
        status, order = customer.buy()
        assert status == 201, order
    until("all shipments", lambda: shipments(shop) == before + 3)
    # Who has taken one says so before it acknowledges it.
    until("each is acknowledged", lambda: queue().endswith("shipping-task 0 1"))


def test_the_shop_finds_a_rabbitmq_that_was_away(shop: Mesh) -> None:
    customer = Customer(shop.url("/"))
    until("the customer", customer.log_in)
    shop.kubectl("delete", "pod", "-n", "sock-shop", "-l", "name=rabbitmq", "--wait=false")
    before = shipments(shop)

    def shipped() -> bool:
        assert customer.buy()[0] == 201, "an order does not depend on the broker"
        return shipments(shop) > before

    shop.kubectl("rollout", "status", "-n", "sock-shop", "deploy/rabbitmq", "--timeout=180s")
    until("a shipment", shipped)
