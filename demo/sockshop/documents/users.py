"""What the user database holds at its first start: the original's three customers."""

from __future__ import annotations

from typing import Any

from sockshop.mongo.values import ObjectId

_PREFIX = "57a98d98e4b00679b4a"
_ORPHANS = "57a98ddce4b00679b4a"
_ROAD = ("246", "Whitelees Road", "Glasgow", "G67 3DL", "United Kingdom")
_HOUSE = ("4", "Maes-Y-Deri", "Aberdare", "CF44 6TF", "United Kingdom")

# The hashes are hex sha1(salt + password) of `password`, `eve` and `password`.
_CUSTOMERS = (
    ("830b2", "User", "Name", "user", "", "6c1c6176e8b455ef37da13d953df971c249d0d8e",
     "e2de7202bb2201842d041f6de201b10438369fb8", "830b0", "830b1"),
    ("830af", "Eve", "Berger", "Eve_Berger", "", "c748112bc027878aa62812ba1ae00e40ad46d497",
     "fec51acb3365747fc61247da5e249674cf8463c2", "830ad", "830ae"),
    ("830b5", "User1", "Name1", "user1", "", "bd832b0e10c6882deabc5e8e60a37689e2b708c2",
     "8f31df4dcc25694aeb0c212118ae37bbd6e47bcd", "830b3", "830b4"),
)  # fmt: skip
_ADDRESSES = (
    (_PREFIX + "830ad", *_ROAD),
    (_PREFIX + "830b0", *_ROAD),
    (_PREFIX + "830b3", *_HOUSE),
    (_ORPHANS + "830d1", "3", "my road", "London", "", "UK"),
)
_CARDS = (
    (_PREFIX + "830ae", "5953580604169678", "08/19", "678"),
    (_PREFIX + "830b1", "5544154011345918", "08/19", "958"),
    (_PREFIX + "830b4", "0908415193175205", "08/19", "280"),
    (_ORPHANS + "830d2", "5429804235432", "04/16", "432"),
)


def collections() -> dict[str, list[dict[str, Any]]]:
    """The documents of database `users` by collection."""
    customers = ("_id", "firstName", "lastName", "username", "email", "salt", "password", "addresses", "cards")
    addresses = ("_id", "number", "street", "city", "postcode", "country")
    cards = ("_id", "longNum", "expires", "ccv")
    owners: list[dict[str, Any]] = [dict(zip(customers, row, strict=True)) for row in _CUSTOMERS]
    for one in owners:
        one["_id"] = _id(_PREFIX + str(one["_id"]))
        for field in ("addresses", "cards"):
            one[field] = [_id(_PREFIX + str(one[field]))]
    return {
        "customers": owners,
        "addresses": [dict(zip(addresses, (_id(row[0]), *row[1:]), strict=True)) for row in _ADDRESSES],
        "cards": [dict(zip(cards, (_id(row[0]), *row[1:]), strict=True)) for row in _CARDS],
    }


def _id(text: str) -> ObjectId:
    return ObjectId(bytes.fromhex(text))
