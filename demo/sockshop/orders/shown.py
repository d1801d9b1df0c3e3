"""What orders look like to callers. Pure."""

from __future__ import annotations

from typing import Any

from sockshop.mongo.values import DateTime
from sockshop.service.spring import Float

Document = dict[str, Any]


def plain(order: Document) -> Document:
    """An order as the answer to its placing has it."""
    return {"id": str(order["_id"]), **_fields(order)}


def linked(order: Document, host: str) -> Document:
    """An order as HAL has it: its id is only in its links, which name the host that was asked."""
    here = {"href": f"http://{host}/orders/{order['_id']}"}
    return {**_fields(order), "_links": {"self": here, "order": here}}


def found(orders: list[Document], host: str, target: str) -> Document:
    """The answer to a search; `target` is the request's path and query."""
    here = {"href": f"http://{host}{target}"}
    return {"_embedded": {"customerOrders": [linked(one, host) for one in orders]}, "_links": {"self": here}}


def page(orders: list[Document], host: str, *, number: int, size: int, total: int) -> Document:
    """One page of all orders."""
    pages = -(-total // size)
    base = f"http://{host}/orders"

    def link(page_number: int) -> Document:
        return {"href": f"{base}?page={page_number}&size={size}"}

    links: Document = {"first": link(0)} if pages > 1 else {}
    links |= {"prev": link(number - 1)} if number > 0 else {}
    links |= {"self": {"href": base}}
    links |= {"next": link(number + 1)} if number + 1 < pages else {}
    links |= {"last": link(pages - 1)} if pages > 1 else {}
    links |= {"profile": {"href": f"http://{host}/profile/orders"}, "search": {"href": f"{base}/search"}}
    return {
        "_embedded": {"customerOrders": [linked(one, host) for one in orders]},
        "_links": links,
        "page": {"size": size, "totalElements": total, "totalPages": pages, "number": number},
    }


def _fields(order: Document) -> Document:
    date, shipment = order.get("date"), order.get("shipment") or {}
    items = [
        {
            "id": None if item.get("_id") is None else str(item["_id"]),
            "itemId": item.get("itemId"),
            "quantity": item.get("quantity"),
            "unitPrice": Float(item.get("unitPrice") or 0.0),
        }
        for item in order.get("items") or ()
    ]
    return {
        "customerId": order.get("customerId"),
        "customer": {"id": None, **(order.get("customer") or {})},
        "address": {"id": None, **(order.get("address") or {})},
        "card": {"id": None, **(order.get("card") or {})},
        "items": items,
        "shipment": {"id": shipment.get("_id"), "name": shipment.get("name")},
        "date": date.text("+0000") if isinstance(date, DateTime) else None,
        "total": Float(order.get("total") or 0.0),
    }
