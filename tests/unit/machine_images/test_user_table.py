"""Editing the users' image table."""

import threading

import pytest

from plait.machine.images.table import Image, Table, TableError
from plait.machine.images.user_table import UserTable


@pytest.fixture
def path(tmp_path):
    return tmp_path / "images" / "table.yaml"


def test_an_entry_is_added_found_and_removed(path):
    table = UserTable(path)
    assert table.entries() == ()
    entry = {"match": "a:*", "command": ["run", "-x"], "env": {"PORT": "80"}, "packages": ["redis-server"], "user": 5}
    image = table.add(entry)
    assert table.entries() == (image,)
    assert image.entry() == entry
    assert Table.load([path]).find("a:1") == image
    assert table.remove("a:*")
    assert not table.remove("a:*")
    assert table.entries() == ()


def test_an_entry_of_the_same_pattern_takes_the_others_place(path):
    table = UserTable(path)
    for match, word in (("a", "1"), ("b", "2"), ("a", "3")):
        table.add(Image(match=match, command=(word,)))
    assert [(i.match, i.command) for i in table.entries()] == [("a", ("3",)), ("b", ("2",))]


@pytest.mark.parametrize("words", [["yes"], ["0x1F"], ["- a"], ["a\nb"], [""], ["é☃"], ["~"], ["12:30"]])
def test_words_that_yaml_reads_otherwise_come_back_as_they_were(path, words):
    table = UserTable(path)
    table.add({"match": "a", "command": words})
    assert table.entries()[0].command == tuple(words)


def test_a_bad_entry_leaves_the_file_alone(path):
    table = UserTable(path)
    table.add({"match": "a", "command": ["x"]})
    before = path.read_bytes()
    with pytest.raises(TableError, match="comand"):
        table.add({"match": "b", "comand": ["x"]})
    with pytest.raises(TableError, match="not the name of a Debian package"):
        table.add(Image(match="b", packages=("a b",)))
    assert path.read_bytes() == before


def test_concurrent_edits_are_all_kept(path):
    def add(number):
        UserTable(path).add({"match": f"app{number}", "command": ["x"]})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {image.match for image in UserTable(path).entries()} == {f"app{number}" for number in range(12)}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
