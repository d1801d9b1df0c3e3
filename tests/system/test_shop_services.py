"""Every service of the shop answers as the original does, asked from inside the mesh."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Mesh, until

pytestmark = pytest.mark.system

#: Asks each row's URL from the front end's container and prints status, body and selected headers as JSON.
ASKER = """
import json, sys, urllib.request, urllib.error
class Plain(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *a): return None
opener = urllib.request.build_opener(Plain)
def ask(method, url, body=None, headers={}):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **headers}, method=method)
    try: answer = opener.open(request, timeout=60)
    except urllib.error.HTTPError as error: answer = error
    text = answer.read().decode()
    try: return answer.status, json.loads(text)
    except ValueError: return answer.status, text
print(json.dumps([ask(*row) for row in json.load(sys.stdin)]))
"""
BASIC = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
WRONG = {"Authorization": "Basic dXNlcjp3cm9uZw=="}
STRANGER = {"Authorization": "Basic bm9ib2R5Om5vYm9keQ=="}
USER = "57a98d98e4b00679b4a830b2"
HOLY = "03fef6ac-1896-4ce8-bd69-b798f85c6e0b"


def ask(mesh: Mesh, *rows: tuple[Any, ...]) -> list[tuple[int, Any]]:
    target = ("exec", "-i", "-n", "sock-shop", "deploy/front-end-v1", "-c", "front-end", "--", "python3", "-c", ASKER)
    return [tuple(each) for each in json.loads(mesh.kubectl(*target, given=json.dumps(rows)).stdout)]


def test_customers(lesson: Mesh) -> None:
    login, wrong, stranger, none, customer, absent, addresses, cards = ask(
        lesson,
        ("GET", "http://user/login", None, BASIC),
        ("GET", "http://user/login", None, WRONG),
        ("GET", "http://user/login", None, STRANGER),
        ("GET", "http://user/login"),
        ("GET", f"http://user/customers/{USER}"),
        ("GET", "http://user/customers/nonsense"),
        ("GET", f"http://user/customers/{USER}/addresses"),
        ("GET", f"http://user/customers/{USER}/cards"),
    )
    assert login[0] == 200
    assert login[1]["user"]["id"] == USER
    assert "password" not in json.dumps(login[1]).replace("Password", "")
    assert (wrong[0], none[0]) == (401, 401)
    assert (stranger[0], stranger[1]["status_code"]) == (500, 500)
    assert customer[1]["_links"]["addresses"]["href"] == f"http://user/customers/{USER}/addresses"
    assert (absent[0], absent[1]["error"]) == (500, "Invalid Id Hex")
    assert addresses[1]["_embedded"]["address"][0]["street"] == "Whitelees Road"
    assert cards[1]["_embedded"]["card"][0]["longNum"] == "5544154011345918"


def test_registering_twice_is_refused(lesson: Mesh) -> None:
    body = {"username": "mira", "password": "secret", "email": "m@example.com", "firstName": "M", "lastName": "N"}
    first, second = ask(lesson, ("POST", "http://user/register", body), ("POST", "http://user/register", body))
    assert first[0] == 200
    assert len(first[1]["id"]) == 24
    assert second[0] == 500
    (gone,) = ask(lesson, ("DELETE", f"http://user/customers/{first[1]['id']}"))
    assert gone == (200, {"status": True})


def test_carts(lesson: Mesh) -> None:
    cart = "http://carts/carts/someone"
    item = {"itemId": HOLY, "unitPrice": 99.99}
    answers = ask(
        lesson,
        ("DELETE", cart),
        ("GET", cart),
        ("GET", f"{cart}/items"),
        ("POST", f"{cart}/items", item),
        ("POST", f"{cart}/items", {**item, "quantity": 7}),
        ("GET", f"{cart}/items/{HOLY}"),
        ("PATCH", f"{cart}/items", {**item, "quantity": 5}),
        ("GET", f"{cart}/items"),
        ("PATCH", f"{cart}/items", {**item, "itemId": "absent", "quantity": 5}),
        ("POST", "http://carts/carts/visitor/items", {"itemId": "a", "unitPrice": 1, "quantity": 3}),
        ("GET", f"{cart}/merge?sessionId=visitor"),
        ("GET", f"{cart}/items"),
        ("GET", f"{cart}/merge"),
        ("DELETE", f"{cart}/items/{HOLY}"),
        ("GET", f"{cart}/items/{HOLY}"),
        ("DELETE", cart),
    )
    codes = [code for code, _ in answers]
    assert codes == [202, 200, 200, 201, 201, 200, 202, 200, 500, 201, 202, 200, 400, 202, 500, 202]
    assert answers[1][1] == {"customerId": "someone"}
    assert answers[2][1] == []
    assert answers[5][1]["quantity"] == 2, "a second one adds one, whatever it says"
    assert [each["quantity"] for each in answers[7][1]] == [5]
    assert [(each["itemId"], each["quantity"]) for each in answers[11][1]] == [(HOLY, 5), ("a", 3)]


def test_orders_payment_and_shipping(lesson: Mesh) -> None:
    cart = f"http://carts/carts/{USER}"
    order = {
        "customer": f"http://user/customers/{USER}",
        "address": "http://user/addresses/57a98d98e4b00679b4a830b0",
        "card": "http://user/cards/57a98d98e4b00679b4a830b1",
        "items": f"{cart}/items",
    }
    answers = ask(
        lesson,
        ("DELETE", cart),
        ("POST", f"{cart}/items", {"itemId": "x", "unitPrice": 18}),
        ("POST", "http://orders/orders", order),
        ("POST", "http://orders/orders", {"customer": order["customer"]}),
        ("GET", f"http://orders/orders/search/customerId?custId={USER}&sort=date"),
        ("GET", "http://orders/orders/nothing"),
        ("POST", "http://payment/paymentAuth", {"amount": 40}),
        ("POST", "http://payment/paymentAuth", {"amount": 400}),
        ("POST", "http://shipping/shipping", {"id": "1", "name": "n"}),
        ("DELETE", cart),
    )
    made, lacking, found, absent, paid, declined, shipped = (answers[n] for n in (2, 3, 4, 5, 6, 7, 8))
    assert made[0] == 201
    assert made[1]["total"] == pytest.approx(22.99)
    assert lacking[0] == 406
    assert "Invalid order request. Order requires customer, address, card and items." in json.dumps(lacking[1])
    orders = found[1]["_embedded"]["customerOrders"]
    assert made[1]["id"] in {each["_links"]["self"]["href"].rpartition("/")[2] for each in orders}
    assert absent[0] == 404
    assert paid[1]["authorised"] is True
    assert declined[1]["authorised"] is False
    assert shipped[0] == 201


def test_every_service_says_how_it_is_and_what_it_counts(lesson: Mesh) -> None:
    services = ("catalogue", "user", "carts", "orders", "payment", "shipping", "queue-master")
    health = ask(lesson, *(("GET", f"http://{name}/health") for name in services))
    for name, (code, body) in zip(services, health, strict=True):
        assert code == 200, name
        assert {each["status"] for each in body["health"]} == {"OK"}, (name, body)
    # As in the original, and as the annotations of its Service say.
    paths = {"queue-master": "prometheus"}
    metrics = ask(lesson, *(("GET", f"http://{name}/{paths.get(name, 'metrics')}") for name in services))
    for name, (code, text) in zip(services, metrics, strict=True):
        assert code == 200, name
        assert "# TYPE" in text, name


def test_trace_headers_go_on(lesson: Mesh) -> None:
    """What came with one request goes out with those it causes: one trace, not many."""
    traces = {"catalogue": "4bf92f3577b34da6", "user": "a3ce929d0e0e4736"}
    order = {"customer": f"http://user/customers/{USER}", "address": "", "card": "", "items": ""}
    ask(
        lesson,
        ("GET", "http://front-end/catalogue/size", None, {"x-request-id": traces["catalogue"]}),
        ("POST", "http://orders/orders", {**order, **dict.fromkeys(("address", "card", "items"), order["customer"])},
         {"x-request-id": traces["user"]}),
    )  # fmt: skip
    for name, trace in traces.items():
        log = ("logs", "-n", "sock-shop", f"deploy/{name}", "-c", "istio-proxy", "--tail=400")
        until(f"{name}'s sidecar sees it", lambda log=log, trace=trace: trace in lesson.kubectl(*log).stdout)
