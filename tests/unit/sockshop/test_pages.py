"""The pages: what they contain, and how files are served."""

import re
import struct
from pathlib import Path

import pytest

PUBLIC = Path(__file__).parents[3] / "demo" / "sockshop" / "front_end" / "public"
FRAME = {"topbar", "navbar", "footer"}
IDS = {
    "index.html": FRAME | {"hot-slider"},
    "category.html": FRAME | {"products", "totalProducts", "pagination", "filters"},
    "detail.html": FRAME | {"title", "price", "buttonCart", "user-message"},
    "basket.html": FRAME | {
        "cart-list", "cartTotal", "orderGrandTotal", "address-modal", "form-number", "form-street", "form-city",
        "form-post-code", "form-country", "card-modal", "form-card-number", "form-expires", "form-ccv", "orderButton",
        "user-message",
    },
    "customer-orders.html": FRAME | {"tableOrders", "user-message"},
    "customer-order.html": FRAME | {"order-items", "user-message"},
    "topbar.html": {
        "login", "register", "howdy", "logout", "login-modal", "username-modal", "password-modal", "register-modal",
        "register-username-modal", "register-first-modal", "register-last-modal", "register-email-modal",
        "register-password-modal",
    },
    "navbar.html": {"numItemsInCart"},
    "footer.html": set(),
}  # fmt: skip


@pytest.mark.parametrize("name", IDS)
async def test_pages_have_their_ids_and_are_served_without_a_session(shop, name):
    async with shop.send("GET", f"/{name}") as response:
        text = await response.text()
        assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=UTF-8")
        assert response.headers["Cache-Control"] == "public, max-age=0"
        assert "Set-Cookie" not in response.headers
    found = re.findall(r'\bid="([^"]+)"', text)
    assert IDS[name] <= set(found)
    assert len(found) == len(set(found))
    if IDS[name] >= FRAME:
        assert "<title>WeaveSocks</title>" in text


def test_texts_that_testers_look_for_are_there():
    for name, text in (
        ("topbar.html", ">Login</a>"),
        ("topbar.html", ">Log in</button>"),
        ("topbar.html", ">Register</button>"),
        ("navbar.html", ">0 items in cart<"),
        ("basket.html", ">Proceed to checkout</button>"),
        ("customer-orders.html", "<h1>My orders</h1>"),
        ("js/account.js", "`Logged in as ${"),
        ("js/cart.js", " item(s) in cart`"),
        ("js/product.js", '"Add to cart"'),
        ("js/basket.js", "Error placing order. "),
    ):
        assert text in (PUBLIC / name).read_text(), (name, text)


def test_everything_that_pages_name_is_there_and_nothing_comes_from_elsewhere():
    for path in PUBLIC.rglob("*.*"):
        if path.suffix not in {".html", ".js", ".css"}:
            continue
        text = path.read_text()
        assert not re.search(r"https?://(?!127)[a-z]", text), path
        for named in re.findall(r'(?:src|href)="((?:js|css|img)/[^"]+)"', text):
            assert (PUBLIC / named).is_file(), (path, named)
        for named in re.findall(r'(?:from|import) "\./([^"]+)"', text):
            assert (path.parent / named).is_file(), (path, named)
    for script in (PUBLIC / "js").glob("*.js"):
        known = set(re.findall(r"\bid=\"([^\"]+)\"", "".join(page.read_text() for page in PUBLIC.glob("*.html"))))
        assert set(re.findall(r'byId\("([^"]+)"\)', script.read_text())) <= known, script


async def test_the_root_is_the_home_page(shop):
    async with shop.send("GET", "/") as root, shop.send("GET", "/index.html") as page:
        assert await root.read() == await page.read()


async def test_the_versions_differ_in_their_logo_and_in_nothing_else(shops):
    first, second = await shops(version="v1"), await shops(version="v2")
    logos = []
    for shop in (first, second):
        async with shop.send("GET", "/img/logo.png") as response:
            body = await response.read()
            assert response.headers["Content-Type"] == "image/png"
            assert struct.unpack(">II", body[16:24]) == (248, 50)
            logos.append((response.headers["ETag"], len(body)))
    assert logos[0][0] != logos[1][0]
    assert logos[0][1] != logos[1][1]
    for name in IDS:
        async with first.send("GET", f"/{name}") as one, second.send("GET", f"/{name}") as other:
            assert one.headers["ETag"] == other.headers["ETag"]


async def test_an_unchanged_file_is_304(shop):
    async with shop.send("GET", "/css/shop.css") as response:
        tag, modified = response.headers["ETag"], response.headers["Last-Modified"]
        assert response.headers["Content-Type"] == "text/css; charset=UTF-8"
    for headers, status in (
        ({"If-None-Match": tag}, 304), ({"If-None-Match": f'"x", {tag}'}, 304), ({"If-None-Match": '"x"'}, 200),
        ({"If-Modified-Since": modified}, 304), ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "nonsense"}, 200), ({"If-None-Match": '"x"', "If-Modified-Since": modified}, 200),
    ):  # fmt: skip
        async with shop.send("GET", "/css/shop.css", headers=headers) as response:
            assert response.status == status, headers
            assert response.headers["ETag"] == tag


async def test_head_has_the_length_and_no_body(shop):
    async with shop.send("GET", "/index.html") as whole, shop.send("HEAD", "/index.html") as head:
        assert head.status == 200
        assert head.headers["Content-Length"] == str(len(await whole.read()))
        assert await head.read() == b""


@pytest.mark.parametrize(
    "path", ["/../settings.py", "/%2e%2e/settings.py", "/img", "/css/../../settings.py", "/health"]
)
async def test_what_is_not_a_page_is_expresss_404(shop, path):
    async with shop.send("GET", path) as response:
        assert response.status == 404
        assert (await response.text()).startswith("Cannot GET /")
