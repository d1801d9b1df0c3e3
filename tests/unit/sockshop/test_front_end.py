"""The front-end on the wire, before services that are real servers on loopback."""

import json

import pytest

from sockshop.front_end import cookie

LOGIN = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
FAULT = b"fault filter abort"


@pytest.fixture
async def customer(shop):
    async with shop.send("GET", "/login", headers=LOGIN) as response:
        assert response.status == 200
    return shop


async def test_the_catalogue_is_always_200_with_its_body_and_no_content_type(shop, backends):
    async with shop.send("GET", "/catalogue?size=5&tags=a%2Cb") as response:
        assert response.status == 200
        assert "Content-Type" not in response.headers
        assert json.loads(await response.read())[0]["name"] == "Holy"
    assert backends.calls[-1].path == "/catalogue?size=5&tags=a%2Cb"
    backends.say("GET", "/catalogue/s1", 500, FAULT, "text/plain")
    async with shop.send("GET", "/catalogue/s1") as response:
        assert (response.status, await response.read()) == (200, FAULT)


async def test_pictures_keep_status_and_headers(shop, backends):
    backends.say("GET", "/catalogue/images/x.jpeg", 200, b"\xff\xd8\xff", "image/jpeg")
    async with shop.send("GET", "/catalogue/images/x.jpeg") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "image/jpeg")
        assert await response.read() == b"\xff\xd8\xff"
    async with shop.send("GET", "/catalogue/images/none.jpeg") as response:
        assert response.status == 404


async def test_a_large_picture_is_passed_on_whole(shop, backends):
    big = bytes(range(256)) * 4000
    backends.say("GET", "/catalogue/images/big.jpeg", 200, big, "image/jpeg")
    async with shop.send("GET", "/catalogue/images/big.jpeg") as response:
        assert await response.read() == big
        assert "md.sid" in response.headers["Set-Cookie"]


TRACE = {
    "x-request-id": "r", "traceparent": "00-a-b-01", "tracestate": "t=1", "b3": "1-2-1",
    "x-b3-traceid": "1", "x-b3-spanid": "2", "x-b3-parentspanid": "3", "x-b3-sampled": "1", "x-b3-flags": "0",
    "baggage": "k=v",
}  # fmt: skip


async def test_trace_headers_and_nothing_else_of_the_browser_go_on_every_call(customer, backends):
    backends.calls.clear()
    headers = {**TRACE, "X-Private": "1", "User-Agent": "me"}
    for method, path, body in (
        ("GET", "/catalogue", None),
        ("GET", "/catalogue/images/x", None),
        ("GET", "/tags", None),
        ("POST", "/cart", {"id": "s1"}),
        ("POST", "/cart/update", {"id": "s1", "quantity": 1}),
        ("DELETE", "/cart", None),
        ("DELETE", "/cart/s1", None),
        ("GET", "/card", None),
        ("POST", "/orders", {}),
        ("GET", "/orders/1", None),
        ("DELETE", "/cards/1", None),
        ("GET", "/login", None),
        ("POST", "/register", {"username": "u"}),
    ):
        async with customer.send(method, path, json=body, headers=headers):
            pass
    assert len(backends.calls) >= 17
    for call in backends.calls:
        sent = {name.lower(): value for name, value in call.headers.items()}
        assert {name: sent.get(name) for name in TRACE} == TRACE, call.path
        assert set(sent) - set(TRACE) <= {"host", "accept", "content-type", "content-length"}, call.path


async def test_a_session_begins_at_the_first_api_call_and_only_there(shop):
    async with shop.send("GET", "/") as response:
        assert "Set-Cookie" not in response.headers
    async with shop.send("GET", "/catalogue") as response:
        line = response.headers["Set-Cookie"]
    assert line.startswith("md.sid=s%3A")
    assert line.endswith("; Path=/; HttpOnly")
    assert cookie.read(line.split("=")[1].split(";")[0]) is not None
    async with shop.send("GET", "/catalogue") as response:
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("path", ["/health", "/nope", "/orders", "/cart"])
async def test_failures_start_a_session_too(shops, path):
    shop = await shops(base="http://127.0.0.1:9")
    async with shop.send("GET", path) as response:
        assert response.status in {404, 500}
        assert "md.sid" in response.headers["Set-Cookie"]


async def test_an_anonymous_cart_belongs_to_the_session(shop, backends):
    async with shop.send("POST", "/cart", json={"id": "s1", "quantity": 5}) as response:
        assert (response.status, await response.read()) == (201, b"")
        session_id = cookie.read(response.headers["Set-Cookie"].split("=")[1].split(";")[0])
    call = backends.called("POST", f"/carts/{session_id}/items")
    assert json.loads(call.body) == {"itemId": "s1", "unitPrice": 99.99}
    assert call.headers["Content-Type"] == "application/json"
    async with shop.send("GET", "/cart") as response:
        assert response.status == 200
        assert json.loads(await response.read())[0]["itemId"] == "s1"


async def test_an_unknown_sock_becomes_an_empty_item(shop, backends):
    async with shop.send("POST", "/cart", json={"id": "nope"}) as response:
        assert response.status == 201
    assert backends.calls[-1].body == b"{}"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/cart", {}, "Must pass id of item to add"),
        ("/cart/update", {}, "Must pass id of item to update"),
        ("/cart/update", {"id": "s1"}, "Must pass quantity to update"),
    ],
)
async def test_incomplete_cart_calls_are_500_with_the_reason(shop, path, body, message):
    async with shop.send("POST", path, json=body) as response:
        assert (response.status, await response.json()) == (500, {"message": message, "error": {}})


@pytest.mark.parametrize(("quantity", "sent"), [(3, 3), ("4", 4), ("5 pairs", 5), (2.9, 2), ("many", None), ("-1", -1)])
async def test_the_quantity_is_read_as_parseint_reads_it(shop, backends, quantity, sent):
    async with shop.send("POST", "/cart/update", json={"id": "s1", "quantity": quantity}) as response:
        assert (response.status, await response.read()) == (202, b"")
    assert json.loads(backends.calls[-1].body) == {"itemId": "s1", "unitPrice": 99.99, "quantity": sent}
    assert backends.calls[-1].method == "PATCH"


async def test_the_carts_refusal_is_a_500_that_tells_its_status(shop, backends):
    async with shop.send("GET", "/catalogue"):
        pass
    session_id = next(cookie.read(c.value) for c in shop.session.cookie_jar if c.key == "md.sid")
    backends.say("POST", f"/carts/{session_id}/items", 503, b"no healthy upstream", "text/plain")
    async with shop.send("POST", "/cart", json={"id": "s1"}) as response:
        assert response.status == 500
        assert (await response.json())["message"] == "Unable to add to cart. Status code: 503"


@pytest.mark.parametrize("path", ["/cart", "/cart/s1"])
async def test_deleting_passes_the_carts_status(shop, path):
    async with shop.send("DELETE", path) as response:
        assert (response.status, await response.read()) == (202, b"")


async def test_login_sets_the_cookie_merges_the_cart_and_tells_who_it_is(shop, backends):
    async with shop.send("GET", "/login", headers=LOGIN) as response:
        assert (response.status, await response.text()) == (200, "Cookie is set")
        session_line, login_line = sorted(
            response.headers.getall("Set-Cookie"), key=lambda line: line.startswith("logged")
        )
    session_id = cookie.read(session_line.split("=")[1].split(";")[0])
    assert login_line.startswith(f"logged_in={session_id}; Max-Age=3600; Path=/")
    assert backends.called("GET", f"/carts/c1/merge?sessionId={session_id}")
    async with shop.send("GET", "/customers/whoever") as response:
        assert json.loads(await response.read())["firstName"] == "User"
    assert backends.calls[-1].path == "/user/customers/c1"


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, b"Unauthorized"), (500, FAULT), (200, FAULT), (200, b""), (200, b"{}"), (200, b"[]"), (200, b'{"user":{}}')],
)
async def test_a_login_that_is_not_confirmed_is_401_and_empty(shop, backends, status, body):
    backends.say("GET", "/user/login", status, body)
    async with shop.send("GET", "/login", headers=LOGIN) as response:
        assert (response.status, await response.read()) == (401, b"")


async def test_login_outlives_carts_that_are_down(shop, backends):
    backends.say("GET", "/user/login", 200, {"user": {"id": "gone"}})
    async with shop.send("GET", "/login", headers=LOGIN) as response:
        assert response.status == 200


async def test_registering_logs_in(shop, backends):
    fields = {"username": "u", "password": "p", "email": "", "firstName": "F", "lastName": "L"}
    async with shop.send("POST", "/register", json=fields) as response:
        assert (response.status, await response.json()) == (200, {"id": "c2"})
    assert json.loads(backends.called("POST", "/user/register").body) == fields
    backends.say("POST", "/user/register", 500, {"error": "E11000 duplicate key"})
    async with shop.send("POST", "/register", json=fields) as response:
        assert (response.status, await response.read()) == (500, b"")


async def test_card_and_address_show_the_first_of_the_customer(customer, backends):
    async with customer.send("GET", "/card") as response:
        assert (response.status, await response.read()) == (200, b'{"number":"5918"}')
    async with customer.send("GET", "/address") as response:
        assert json.loads(await response.read())["street"] == "Road"
    for status, body in ((500, {"status_code": 500}), (200, {"_embedded": {"card": []}}), (503, FAULT)):
        backends.say("GET", "/user/customers/c1/cards", status, body)
        async with customer.send("GET", "/card") as response:
            assert (response.status, await response.read()) == (200, b'{"status_code":500}')


async def test_new_addresses_belong_to_the_customer_and_deletions_answer_a_string(customer, backends):
    async with customer.send("POST", "/addresses", json={"street": "x"}) as response:
        assert (response.status, await response.read()) == (200, b'{"id":"c2"}')
    assert json.loads(backends.calls[-1].body) == {"street": "x", "userID": "c1"}
    backends.say("DELETE", "/user/cards/k1", 200, {"status": True})
    async with customer.send("DELETE", "/cards/k1") as response:
        assert (response.status, await response.read()) == (200, b'"{\\"status\\": true}"')


async def test_an_order_carries_four_links(customer, backends):
    async with customer.send("POST", "/orders", json={}) as response:
        assert (response.status, await response.read()) == (201, b'{"id":"o1"}')
    user = f"{backends.address}/user"
    assert json.loads(backends.called("POST", "/orders").body) == {
        "customer": f"{user}/customers/c1",
        "address": f"{user}/addresses/a1",
        "card": f"{user}/cards/k1",
        "items": f"{backends.address}/carts/c1/items",
    }
    backends.say("POST", "/orders", 406, {"status": 406, "message": "Payment declined: amount exceeds 100.00"})
    async with customer.send("POST", "/orders", json={}) as response:
        assert response.status == 406
        assert json.loads(await response.read())["message"].startswith("Payment declined")


async def test_orders_are_a_201_array(customer, backends):
    search = "/orders/search/customerId?sort=date&custId=c1"
    backends.say("GET", search, 200, {"_embedded": {"customerOrders": [{"total": 22.99}]}})
    async with customer.send("GET", "/orders") as response:
        assert (response.status, await response.read()) == (201, b'[{"total":22.99}]')
    backends.say("GET", search, 404, b"")
    async with customer.send("GET", "/orders") as response:
        assert (response.status, await response.read()) == (201, b"[]")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_orders_need_a_login(shop, method):
    async with shop.send(method, "/orders", json={}) as response:
        assert (response.status, await response.json()) == (500, {"message": "User not logged in.", "error": {}})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/cart"),
        ("POST", "/cart/update"),
        ("GET", "/orders"),
        ("POST", "/orders"),
        ("GET", "/card"),
        ("GET", "/address"),
    ],
)
async def test_plain_text_where_json_is_due_kills_nothing(shops, backends, method, path):
    shop = await shops()
    async with shop.send("GET", "/login", headers=LOGIN):
        pass
    backends.natural = lambda _request, _body: (503, b"upstream connect error", "text/plain")
    async with shop.send(method, path, json={"id": "s1", "quantity": 1}) as response:
        text = await response.text()
        assert (response.status, "upstream connect error" in text) in {(500, True), (200, False)}, text
    async with shop.send("GET", "/") as response:
        assert response.status == 200


async def test_a_login_of_another_replica_is_unknown_here(shops):
    here, there = await shops(), await shops()
    async with here.send("GET", "/login", headers=LOGIN):
        pass
    cookies = {jar.key: jar.value for jar in here.session.cookie_jar}
    there.session.cookie_jar.update_cookies(cookies)
    async with there.send("POST", "/orders", json={}) as response:
        assert response.status == 500
        assert "log in again" in (await response.json())["message"]
    async with here.send("POST", "/orders", json={}) as response:
        assert response.status == 201


async def test_a_backend_that_is_down_is_500_in_nodes_words(shops):
    shop = await shops(base="http://127.0.0.1:9")
    for path in ("/catalogue", "/tags", "/cart", "/cards", "/card", "/catalogue/images/x.jpeg"):
        async with shop.send("GET", path) as response:
            answer = await response.json()
            assert (response.status, answer["message"]) == (500, "connect ECONNREFUSED 127.0.0.1:9"), path
            assert answer["error"]["code"] == "ECONNREFUSED"


async def test_a_name_that_does_not_resolve_is_enotfound(shops):
    shop = await shops(base="http://carts.invalid")
    async with shop.send("GET", "/cart") as response:
        assert response.status == 500
        assert (await response.json())["message"] in {
            f"getaddrinfo {code} carts.invalid carts.invalid:80" for code in ("ENOTFOUND", "EAI_AGAIN")
        }


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"3", 400), (b"[" * 5000, 400), (b'"' + b"x" * 200_000, 413)]
)
async def test_a_body_that_cannot_be_read_is_refused(shop, body, status):
    async with shop.send("POST", "/cart", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == status
        assert "message" in await response.json()


async def test_slashes_at_the_end_lead_to_the_path_without(shop):
    async with shop.send("GET", "/basket.html/") as response:
        assert (response.status, response.headers["Location"]) == (301, "/basket.html")
    async with shop.send("GET", "//evil.example/") as response:
        assert response.status == 400


async def test_custid_chooses_the_customer_only_outside_production(shops, backends):
    for override, cart in ((False, None), (True, "/carts/c9/items")):
        shop = await shops(customer_override=override)
        async with shop.send("GET", "/cart?custId=c9"):
            pass
        assert (backends.calls[-1].path == "/carts/c9/items") is (cart is not None)


async def test_ids_cannot_lead_to_other_paths(shop, backends):
    async with shop.send("POST", "/cart", json={"id": "../user/login?x=#"}):
        pass
    assert backends.calls[0].path == "/catalogue/..%2Fuser%2Flogin%3Fx=%23"


async def test_metrics_count_by_raw_path_and_leave_themselves_out(shop):
    for _ in range(2):
        async with shop.send("GET", "/catalogue?size=1"):
            pass
    async with shop.send("GET", "/metrics"):
        pass
    async with shop.send("GET", "/metrics") as response:
        text = await response.text()
    series = 'service="front-end",method="GET",route="/catalogue",status_code="200"'
    assert f"request_duration_seconds_count{{{series}}} 2\n" in text
    assert 'route="/metrics"' not in text
