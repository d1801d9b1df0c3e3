"""The first lesson: the shop is installed, a person logs in, buys socks, and sees the order."""

from __future__ import annotations

import json
import subprocess

import pytest

from .browser import Browser, Page
from .conftest import Mesh, until

pytestmark = pytest.mark.system

DEPLOYMENTS = {
    "carts", "carts-db", "catalogue", "catalogue-db", "front-end-v1", "front-end-v2", "orders", "orders-db",
    "payment", "queue-master", "rabbitmq", "shipping", "user", "user-db",
}  # fmt: skip
HOLY = "03fef6ac-1896-4ce8-bd69-b798f85c6e0b"
COLOURFUL = "3395a43e-2d88-40de-b95f-e00e1502085b"


def log_in(page: Page) -> None:
    # A page that is still being put together may move what is clicked at.
    page.when("document.readyState === 'complete'")
    page.look("#hot-slider .product h3", "Holy")
    page.click("#login a", "Login")
    page.type("#username-modal", "user")
    page.type("#password-modal", "password")
    page.click("#login-form button", "Log in")
    page.look("#howdy", "Logged in as User Name")


def buy(page: Page, shop: Mesh, sock: str) -> None:
    """Empty the cart, which outlives a visit, and put one pair of socks in it, by the sock's own page."""
    page.ask("fetch('/cart', {method: 'DELETE'}).then((answer) => answer.status)")
    page.open(shop.url(f"/detail.html?id={sock}"))
    page.when("document.querySelector('#price')?.textContent.startsWith('$')")
    page.look("#numItemsInCart", "0 items in cart")
    page.click("#buttonCart")
    page.look("#numItemsInCart", "1 item(s) in cart")
    page.click("#basket-overview")
    page.look("#cart-list tr.item")


def test_all_pods_are_ready_with_their_sidecars(lesson: Mesh) -> None:
    rows = [
        line.split() for line in lesson.kubectl("get", "pods", "-n", "sock-shop", "--no-headers").stdout.splitlines()
    ]
    shop = {row[0].rsplit("-", 2)[0]: row[1:4] for row in rows}
    assert shop.keys() >= DEPLOYMENTS
    assert {name: shop[name] for name in DEPLOYMENTS} == {name: ["2/2", "Running", "0"] for name in DEPLOYMENTS}
    described = lesson.kubectl("describe", "pod", "-n", "sock-shop", "-l", "name=catalogue").stdout
    for words in ("istio-init", "istio-proxy", "15090/TCP"):
        assert words in described


def test_the_address_of_the_shop_is_that_of_its_gateway(lesson: Mesh) -> None:
    """As the demo finds it: INGRESS_HOST and INGRESS_PORT of the Service istio-ingressgateway."""
    service = ("get", "service", "-n", "istio-system", "istio-ingressgateway", "-o")
    host = lesson.kubectl(*service, "jsonpath={.status.loadBalancer.ingress[0].ip}").stdout
    port = lesson.kubectl(*service, 'jsonpath={.spec.ports[?(@.name=="http2")].port}').stdout
    page = subprocess.run(
        ["curl", "-sS", "--max-time", "60", f"http://{host}:{port}/index.html"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "<title>WeaveSocks</title>" in page.stdout


def test_a_person_buys_socks_and_sees_the_order(lesson: Mesh, browser: Browser) -> None:
    page = browser.page()
    page.open(lesson.url("/"))
    page.look("#hot-slider .product h3", "Holy")
    log_in(page)
    page.open(lesson.url("/customer-orders.html"))
    page.when("document.querySelectorAll('#tableOrders tbody tr').length")
    before = set(page.texts("#tableOrders tbody th"))
    tasks = ("logs", "-n", "sock-shop", "deploy/queue-master", "-c", "queue-master")
    shipped = lesson.kubectl(*tasks).stdout.count("Received shipment task")

    buy(page, lesson, COLOURFUL)
    page.look("#orderGrandTotal", "$22.99")
    page.click("#orderButton", "Proceed to checkout")

    page.look("h1", "My orders")
    page.when(f"document.querySelectorAll('#tableOrders tbody th').length === {len(before) + 1}")
    (number,) = set(page.texts("#tableOrders tbody th")) - before
    (row,) = [text for text in page.texts("#tableOrders tbody tr") if number in text]
    assert "$ 22.99" in row
    assert "Shipped" in row
    page.look("#numItemsInCart", "0 items in cart")
    page.ask(
        f"[...document.querySelectorAll('#tableOrders tbody tr')].at({len(before)}).querySelector('a').id = 'view'"
    )
    page.click("#view")
    page.when("document.querySelector('#order-items')?.innerText.includes('Colourful')")
    until("the shipment", lambda: lesson.kubectl(*tasks).stdout.count("Received shipment task") > shipped)
    assert browser.errors == []


def test_an_order_of_more_than_a_hundred_is_declined(lesson: Mesh, browser: Browser) -> None:
    page = browser.page()
    page.open(lesson.url("/"))
    log_in(page)
    buy(page, lesson, HOLY)
    page.look("#orderGrandTotal", "$104.98")
    page.click("#orderButton", "Proceed to checkout")
    said = page.look("#user-message .alert")
    assert said == "Error placing order. Payment declined: amount exceeds 100.00"
    order = "{method: 'POST', headers: {'content-type': 'application/json'}, body: '{}'}"
    answer = page.ask(f"fetch('/orders', {order}).then(async (a) => [a.status, await a.text()])")
    assert answer[0] == 406
    assert json.loads(answer[1])["message"] == "Payment declined: amount exceeds 100.00"
    assert page.look("#cart-list tr.item"), "the cart keeps what could not be paid"
