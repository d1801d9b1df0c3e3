"""The document store as MongoDB's own Python driver meets it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bson
import pymongo
import pytest
from pymongo.errors import DuplicateKeyError, OperationFailure


def serve(port: int, data: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "sockshop.documents",
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--data",
        str(data),
    ]
    return subprocess.Popen([*command, *more], stderr=subprocess.DEVNULL)


@pytest.fixture
def client(port: int, tmp_path: Path) -> Iterator[pymongo.MongoClient]:
    process = serve(port, tmp_path)
    try:
        with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=60_000) as made:
            yield made
    finally:
        process.terminate()
        process.wait(60)


def test_a_driver_finds_a_server_it_can_talk_to(client: pymongo.MongoClient) -> None:
    assert client.admin.command("ping")["ok"] == 1
    assert client.server_info()["version"]
    assert client.admin.command("hello")["maxWireVersion"] >= 6


def test_documents_are_written_found_changed_and_deleted(client: pymongo.MongoClient) -> None:
    carts = client.data.cart
    one = carts.insert_one({"customerId": "1", "items": []}).inserted_id
    assert isinstance(one, bson.ObjectId)
    carts.insert_many([{"customerId": str(number), "n": number} for number in range(2, 6)])
    assert carts.find_one({"_id": one}) == {"_id": one, "customerId": "1", "items": []}
    assert [d["n"] for d in carts.find({"n": {"$gte": 3}}, sort=[("n", -1)])] == [5, 4, 3]
    assert [d["n"] for d in carts.find({"n": {"$in": [2, 4]}}, {"_id": 0, "n": 1}).skip(1).limit(1)] == [4]
    changed = carts.update_one(
        {"_id": one}, {"$push": {"items": {"itemId": "a", "quantity": 1}}, "$set": {"seen": True}}
    )
    assert (changed.matched_count, changed.modified_count) == (1, 1)
    assert carts.find_one({"items.itemId": "a"})["seen"] is True
    upserted = carts.update_one({"customerId": "9"}, {"$inc": {"n": 2}}, upsert=True)
    assert upserted.upserted_id is not None
    assert carts.count_documents({}) == 6
    assert carts.estimated_document_count() == 6
    assert carts.delete_many({"n": {"$lt": 4}}).deleted_count == 3
    assert carts.find_one_and_update({"n": 4}, {"$set": {"n": 40}}, return_document=True)["n"] == 40
    assert client.data.list_collection_names() == ["cart"]
    carts.drop()
    assert client.data.list_collection_names() == []


def test_more_than_a_batch_comes_through_a_cursor(client: pymongo.MongoClient) -> None:
    many = client.data.many
    many.insert_many([{"n": number, "pad": "x" * 1000} for number in range(1000)])
    assert [d["n"] for d in many.find({}, batch_size=100).sort("n")] == list(range(1000))
    assert (
        next(iter(many.aggregate([{"$match": {"n": {"$lt": 10}}}, {"$group": {"_id": None, "n": {"$sum": 1}}}])))["n"]
        == 10
    )


def test_a_unique_index_refuses_what_is_there(client: pymongo.MongoClient) -> None:
    users = client.users.customers
    users.create_index("username", unique=True)
    users.insert_one({"username": "eve"})
    with pytest.raises(DuplicateKeyError, match="E11000"):
        users.insert_one({"username": "eve"})
    assert {index["name"] for index in users.list_indexes()} == {"_id_", "username_1"}


def test_what_it_does_not_know_is_refused_with_its_name(client: pymongo.MongoClient) -> None:
    with pytest.raises(OperationFailure, match="noSuchCommand"):
        client.admin.command("noSuchCommand")
    with pytest.raises(OperationFailure, match="frobnicate"):
        client.data.cart.find_one({"a": {"$frobnicate": 1}})


def test_documents_survive_a_restart(port: int, tmp_path: Path) -> None:
    for expected in (0, 1, 2):
        process = serve(port, tmp_path)
        try:
            with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=60_000) as client:
                assert client.data.cart.count_documents({}) == expected
                client.data.cart.insert_one({"n": expected})
        finally:
            process.kill()
            process.wait(60)


def test_the_shops_customers_are_there_from_the_beginning(port: int, tmp_path: Path) -> None:
    process = serve(port, tmp_path, "--seed", "users")
    try:
        with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=60_000) as client:
            assert {"user", "user1", "Eve_Berger"} <= {each["username"] for each in client.users.customers.find()}
    finally:
        process.terminate()
        process.wait(60)
