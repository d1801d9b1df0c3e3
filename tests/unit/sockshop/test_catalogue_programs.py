"""catalogue and catalogue-db as they run in pods: own processes, a real MariaDB, TCP between them."""

import asyncio
import json

import aiohttp
import aiomysql
import pytest

SEED = [
    ("03fef6ac-1896-4ce8-bd69-b798f85c6e0b", "Holy", 99.99, 1, ["holy_1.jpeg", "holy_2.jpeg"], "magic action"),
    ("3395a43e-2d88-40de-b95f-e00e1502085b", "Colourful", 18, 438, ["colourful_socks.jpg"] * 2, "brown blue"),
    (
        "510a0d7e-8e83-4193-b483-e27e09ddc34d",
        "SuperSport XL",
        15,
        820,
        ["puma_1.jpeg", "puma_2.jpeg"],
        "sport black formal",
    ),
    (
        "808a2de1-1aaa-4c25-a9b9-6612e8f29a38",
        "Crossed",
        17.32,
        738,
        ["cross_1.jpeg", "cross_2.jpeg"],
        "blue red action formal",
    ),
    ("819e1fbf-8b7e-4f6d-811f-693534916a8b", "Figueroa", 14, 808, ["WAT.jpg", "WAT2.jpg"], "formal green blue"),
    (
        "837ab141-399e-4c1f-9abc-bace40296bac",
        "Cat socks",
        15,
        175,
        ["catsocks.jpg", "catsocks2.jpg"],
        "brown green formal",
    ),
    (
        "a0a4f044-b040-410d-8ead-4de0446aec7e",
        "Nerd leg",
        7.99,
        115,
        ["bit_of_leg_1.jpeg", "bit_of_leg_2.jpeg"],
        "blue skin",
    ),
    (
        "d3588630-ad8e-49df-bbd7-3167f7efb246",
        "YouTube.sock",
        10.99,
        801,
        ["youtube_1.jpeg", "youtube_2.jpeg"],
        "geek formal",
    ),
    ("zzz4f044-b040-410d-8ead-4de0446aec7e", "Classic", 12, 127, ["classic.jpg", "classic2.jpg"], "brown green"),
]
TAGS = ["brown", "geek", "formal", "blue", "skin", "red", "action", "sport", "black", "magic", "green"]
READY = "ready for connections"


def database(programs, port, folder, **environment):
    return programs(
        "sockshop.catalogue_db", "--port", str(port), "--bind", "127.0.0.1", "--data", str(folder),
        port=port, ready=READY, **environment,
    )  # fmt: skip


def catalogue(programs, port, database_port, *arguments):
    dsn = f"catalogue_user:default_password@tcp(127.0.0.1:{database_port})/socksdb"
    return programs(
        "sockshop.catalogue", f"-port={port}", "-DSN", dsn, *arguments, port=port, ready=f"listening on port {port}"
    )


def pictures(sock):
    return [url.removeprefix("/catalogue/images/") for url in sock["imageUrl"]]


@pytest.fixture
def other_port(free_port):
    return free_port()


@pytest.fixture
async def fetch():
    async with aiohttp.ClientSession() as session:

        async def send(port, path):
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.read()

        yield send


@pytest.mark.usefixtures("mariadb")
async def test_nine_socks_come_out_of_mariadb(programs, tmp_path, port, other_port, fetch):
    await database(programs, other_port, tmp_path / "db")
    await catalogue(programs, port, other_port)
    status, body = await fetch(port, "/catalogue")
    assert status == 200
    socks = json.loads(body)
    shown = [(one["id"], one["name"], one["price"], one["count"], pictures(one), " ".join(one["tag"])) for one in socks]
    assert shown == SEED
    assert all(len(sock["description"]) <= 200 for sock in socks)
    assert b'"price":99.99,"count":1,' in body
    assert b'"price":18,"count":438,' in body
    assert json.loads((await fetch(port, "/tags"))[1]) == {"tags": TAGS, "err": None}
    assert (await fetch(port, "/catalogue/size?tags=formal,geek"))[1] == b'{"size":5,"err":null}\n'
    figueroa = [
        sock for sock in json.loads((await fetch(port, "/catalogue?tags=blue,formal"))[1]) if sock["name"] == "Figueroa"
    ]
    assert figueroa[0]["tag"] == ["formal", "blue"]
    assert json.loads((await fetch(port, "/catalogue/a0a4f044-b040-410d-8ead-4de0446aec7e"))[1])["tag"] == [
        "blue",
        "skin",
    ]
    for url in {url for sock in socks for url in sock["imageUrl"]}:
        status, picture = await fetch(port, url)
        assert (status, picture[:3]) == (200, b"\xff\xd8\xff"), url
        assert len(picture) < 40_000, url


@pytest.mark.usefixtures("mariadb")
async def test_the_catalogue_starts_without_its_database_and_survives_its_restart(
    programs, tmp_path, port, other_port, fetch
):
    await catalogue(programs, port, other_port)
    assert (await fetch(port, "/catalogue"))[0] == 500
    first = await database(programs, other_port, tmp_path / "db")
    assert (await fetch(port, "/catalogue"))[0] == 200
    await change(other_port, "UPDATE sock SET price = 1.5, name = 'É<>' WHERE name = 'Holy'")
    assert await first.stop() == 0
    assert b"Shutdown complete" in "\n".join(first.lines).encode()
    assert (await fetch(port, "/catalogue"))[0] == 500
    await database(programs, other_port, tmp_path / "db")
    status, body = await fetch(port, "/catalogue?size=1")
    assert status == 200
    assert '"name":"É\\u003c\\u003e"'.encode() in body
    assert b'"price":1.5,' in body


@pytest.mark.usefixtures("mariadb")
async def test_what_was_begun_but_not_finished_is_begun_again(programs, tmp_path, port):
    half = tmp_path / "db" / "data.new"
    half.mkdir(parents=True)
    (half / "ibdata1").write_bytes(b"half")
    await database(programs, port, tmp_path / "db")
    assert not half.exists()


@pytest.mark.usefixtures("mariadb")
async def test_root_needs_its_password_and_the_database_its_name(programs, tmp_path, port):
    await database(
        programs,
        port,
        tmp_path / "db",
        MYSQL_ROOT_PASSWORD="it's \\ secret",
        MYSQL_DATABASE="so`cks",
    )
    connection = await aiomysql.connect(host="127.0.0.1", port=port, user="root", password="it's \\ secret")
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT COUNT(*) FROM `so``cks`.sock")
        assert await cursor.fetchone() == (9,)
    connection.close()
    with pytest.raises(aiomysql.OperationalError, match="Access denied"):
        await aiomysql.connect(host="127.0.0.1", port=port, user="root", password="")


@pytest.mark.usefixtures("mariadb")
async def test_pulled_plug_in_the_middle_of_work_loses_no_committed_row(programs, tmp_path, port, other_port):
    first = await database(programs, port, tmp_path / "db")
    await change(port, "INSERT INTO tag (name) VALUES ('late')")
    first.process.kill()
    await first.process.wait()
    await database(programs, other_port, tmp_path / "db")
    assert ("late",) in await change(other_port, "SELECT name FROM tag")


async def test_a_service_leaves_at_sigterm_after_the_request_in_flight(programs, port, other_port):
    program = await catalogue(programs, port, other_port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: catalogue\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert await program.stop() == 0
    writer.close()


async def change(port, statement):
    connection = await aiomysql.connect(
        host="127.0.0.1", port=port, user="catalogue_user", password="default_password", db="socksdb", autocommit=True,
        charset="utf8mb4",
    )  # fmt: skip
    async with connection.cursor() as cursor:
        await cursor.execute(statement)
        rows = await cursor.fetchall()
    connection.close()
    return rows
