"""Which entry an image reference finds, what it runs, and how mistakes in a table are told."""

import os

import pytest

from plait.machine.images.table import (
    BUILTIN_TABLE,
    Image,
    Table,
    TableError,
    argv,
    expand,
    normalise,
    parse_entry,
    role_of,
)


@pytest.fixture
def write(tmp_path):
    def write(text, name="images.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("mongo", "mongo:latest"),
        ("mongo:4.4", "mongo:4.4"),
        ("docker.io/library/mongo", "mongo:latest"),
        ("library/mongo:4", "mongo:4"),
        ("index.docker.io/weaveworksdemos/carts:0.4.8", "weaveworksdemos/carts:0.4.8"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("app:1@sha256:abc", "app:1"),
        ("app@sha256:abc", "app:@sha256:abc"),
    ],
)
def test_references_are_normalised(reference, name):
    assert normalise(reference) == name


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("weaveworksdemos/catalogue:0.3.5", "catalogue"),
        ("docker.io/weaveworksdemos/catalogue:0.3.5", "catalogue"),
        ("weaveworksdemos/catalogue-db:0.3.0", "any"),
        ("weaveworksdemos/catalogue:0.4.0", "catalogue-4"),
        ("weaveworksdemos/catalogue@sha256:0123", "catalogue"),
        ("mongo", "mongo"),
        ("mongo:4", "mongo"),
        ("registry.example/mongo:4", None),
    ],
)
def test_the_most_specific_pattern_wins(write, reference, expected):
    table = Table.load(
        [
            write("""
images:
- {match: "weaveworksdemos/catalogue:0.4.*", command: [catalogue-4]}
- {match: "weaveworksdemos/*", command: [any]}
- {match: "weaveworksdemos/catalogue:*", command: [catalogue]}
- {match: mongo, command: [mongo]}
""")
        ]
    )
    found = table.find(reference)
    assert (found.command[0] if found else None) == expected


def test_a_later_table_wins_over_an_earlier_one(write):
    first = write('images: [{match: "a:*", command: [first]}]', "1.yaml")
    second = write('images: [{match: "a:*", command: [second]}]', "2.yaml")
    assert Table.load([first, second]).find("a:1").command == ("second",)
    assert Table.load([second, first]).find("a:1").command == ("first",)


def test_a_table_that_is_not_there_is_empty_until_it_is(write, tmp_path):
    table = Table.load([tmp_path / "images.yaml"])
    assert table.find("a") is None
    assert table.reloaded() is table
    write("images: [{match: a, command: [x]}]")
    assert table.reloaded().find("a").command == ("x",)


def test_a_changed_table_is_read_again_and_an_unchanged_one_is_not(write):
    path = write("images: [{match: a, command: [x]}]")
    table = Table.load([path])
    assert table.reloaded() is table
    path.write_text("images: [{match: a, command: [y]}]")
    os.utime(path, ns=(1, 1))
    assert table.reloaded().find("a").command == ("y",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "write one list named `images:`"),
        ("images: {a: b}", "write a list of entries"),
        ("images: [3]", r"images\[0\]: write a map"),
        ("images: [{command: [x]}]", r"images\[0\]: match: write the image's name"),
        ("images: [{match: a, comand: [x]}]", r"images\[0\] \(a\): comand: no such field; there are match, command"),
        ("images: [{match: a, command: sleep 3}]", r"command: 'sleep 3'; write a list of words"),
        ("images: [{match: a, command: [sleep, 3]}]", r"command: 3 is not a string; write it in quotes"),
        ("images: [{match: a, env: {PORT: 80}}]", r"env: PORT: 80 is not a string; write it in quotes"),
        ("images: [{match: a, env: [A=b]}]", "write a map of names and values"),
        ("images: [{match: a, env: {'A=': b}}]", "'A=' is not the name of a variable"),
        ("images: [{match: a, role: sidecar}]", "role: 'sidecar'; write one of app, proxy, proxy-init, pause"),
        ("images: [{match: a, user: root}]", "user: 'root'; write a uid"),
        ("images: [{match: a, packages: [Foo]}]", "'Foo' is not the name of a Debian package"),
        ("images: [{match: a, packages: ['-o=x']}]", "'-o=x' is not the name of a Debian package"),
        ("images: [{match: a, persist: [var]}]", "persist: 'var'; write an absolute path"),
        ("images: [{match: a, persist: [/var/../etc]}]", "write an absolute path"),
        ("images: [{match: a, programs: [sh]}]", "programs: .*; write a map of paths and commands"),
        ("images: [{match: a, programs: {/bin/a: sh}}]", "programs: /bin/a: 'sh'; write a list of words"),
        ("images: [{match: a, programs: {/bin/a: []}}]", "programs: /bin/a: write a command"),
        ("images: [{match: a, programs: {bin/a: [sh]}}]", "programs: 'bin/a'; write an absolute path"),
        ("images: [{match: a, workdir: app}]", "workdir: 'app'; write an absolute path"),
        ("images: [", "not YAML"),
    ],
)
def test_mistakes_name_file_entry_and_remedy(write, text, message):
    path = write(text)
    with pytest.raises(TableError, match=message) as caught:
        Table.load([path])
    assert str(path) in str(caught.value)


ENTRY = Image(match="a", command=("entry", "--flag"), args=("default",))


@pytest.mark.parametrize(
    ("command", "args", "words"),
    [
        ([], [], ("entry", "--flag", "default")),
        ([], ["x"], ("entry", "--flag", "x")),
        (["run"], [], ("run",)),
        (["run"], ["x"], ("run", "x")),
    ],
)
def test_command_and_args_follow_kubernetes(command, args, words):
    assert argv(ENTRY, command, args) == words


def test_only_the_containers_words_are_expanded():
    image = Image(match="a", command=("sh", "-c", "echo $(A)"))
    assert argv(image, (), ["$(A)"], {"A": "1"}) == ("sh", "-c", "echo $(A)", "1")


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NONE)", "$(NONE)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_expansion_is_kubernetes(word, expanded):
    assert expand(word, {"A": "1", "B": "2"}) == expanded


def test_python_is_the_interpreter_of_pods():
    assert argv(Image(match="a", command=("python", "-m", "x")), python="/opt/py") == ("/opt/py", "-m", "x")


@pytest.fixture(scope="module")
def builtin():
    return Table.load([BUILTIN_TABLE])


@pytest.mark.parametrize(
    ("reference", "args", "role"),
    [
        ("plait/pilot:0.1.0", (), "app"),
        ("plait/proxyv2:0.1.0", ("proxy", "sidecar"), "proxy"),
        ("plait/proxyv2:0.1.0", ("istio-iptables", "-p"), "proxy-init"),
        ("gcr.io/istio-release/proxyv2:release-1.0-latest-daily", ("proxy",), "proxy"),
        ("gcr.io/istio-release/proxy_init:release-1.0-latest-daily", (), "proxy-init"),
        ("docker.io/istio/proxyv2:1.27.0", ("proxy",), "proxy"),
        ("registry.k8s.io/pause:3.9", (), "pause"),
    ],
)
def test_the_meshs_own_images_are_built_in(builtin, reference, args, role):
    assert role_of(builtin.find(reference), args) == role


@pytest.mark.parametrize(
    ("reference", "args", "words"),
    [
        ("python:3.12-slim", ["-m", "http.server"], ("-m", "http.server")),
        ("python:3.12", [], ("/py",)),
        ("node:20", [], ("node",)),
        ("busybox", ["sleep", "1"], ("sleep", "1")),
        ("alpine:3.20", [], ("sh",)),
        ("istio/fortio:latest_release", [], ("/usr/bin/fortio", "server")),
        ("fortio/fortio:1.75.2", ["load", "http://a"], ("/usr/bin/fortio", "load", "http://a")),
        ("curlimages/curl:8.10.1", ["-s", "http://a"], ("curl", "-s", "http://a")),
    ],
)
def test_well_known_images_run_the_machines_programs(builtin, reference, args, words):
    assert argv(builtin.find(reference), (), args, {}, python="/py") == words


def test_entries_survive_being_written(builtin):
    for image in builtin.images:
        assert parse_entry(image.entry()) == image


def test_proxies_have_the_program_that_people_ask_envoy_with(builtin):
    for image in ("plait/proxyv2:0.1.0", "istio/proxyv2:1.0.0", "gcr.io/istio-release/proxyv2:1.0.0"):
        agent = builtin.find(image).programs["/usr/local/bin/pilot-agent"]
        assert agent == ("python", "-m", "plait.proxy.pilot_agent")


def test_the_load_generators_image_has_its_program_where_scripts_call_it(builtin):
    programs = builtin.find("istio/fortio:latest_release").programs
    assert programs["/usr/local/bin/fortio"] == ("python", "-m", "plait.load.fortio")
    assert programs["/usr/bin/fortio"] == programs["/usr/local/bin/fortio"]


def test_a_table_that_came_with_plait_holds_when_a_newer_plait_has_moved_it_and_the_users_does_not(write):
    ours = write("images: [{match: a, command: [x]}]", "ours.yaml")
    users = write("images: [{match: b, command: [y]}]", "table.yaml")
    table = Table.load([ours, users])
    ours.unlink()
    assert table.reloaded() is table
    users.unlink()
    left = table.reloaded()
    assert left.find("a").command == ("x",)
    assert left.find("b") is None
    ours.write_text("images: [{match: a, command: [z]}]")
    assert left.reloaded().find("a").command == ("z",)
