"""Debian's MariaDB from a layer: downloaded, laid over the machine's /usr, initialised by the built-in entry, asked."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from plait.machine.images.layers import LayerError, Layers
from plait.machine.images.table import BUILTIN_TABLE, Table, argv

pytestmark = pytest.mark.system

# The state folder lies inside the machine's root, and overlay refuses layers of which one holds another. So each of
# the layer's top folders is laid over its counterpart.
SCRIPT = """
layer=$1; status=$2; python=$3; client=$4; shift 4
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/root /mnt/data
mount --rbind / /mnt/root
for part in usr etc; do
  mkdir -p /mnt/upper-$part /mnt/work-$part
  own="upperdir=/mnt/upper-$part,workdir=/mnt/work-$part"
  mount -t overlay overlay -o "lowerdir=$layer/$part:/$part,$own" /mnt/root/$part
done
mount -t tmpfs -o mode=1777 tmpfs /mnt/root/tmp
mount -t tmpfs -o mode=755 tmpfs /mnt/root/var/lib
mkdir /mnt/root/var/lib/mysql
ip link set lo up
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin MYSQL_ROOT_PASSWORD="it's" MYSQL_DATABASE=socksdb MYSQL_USER=cat \\
  MYSQL_PASSWORD='d"e\\f' chroot /mnt/root "$@" &
exec "$python" -c "$client"
"""
CLIENT = """
import asyncio, aiomysql
async def ask(user, password):
    async with asyncio.timeout(60):
        while True:
            try:
                c = await aiomysql.connect(host="127.0.0.1", user=user, password=password, db="socksdb"); break
            except aiomysql.OperationalError as error:
                if error.args[0] != 2003: raise
                await asyncio.sleep(0.05)
    cursor = await c.cursor()
    await cursor.execute("select current_user()")
    print((await cursor.fetchone())[0]); c.close()
asyncio.run(ask("root", "it's")); asyncio.run(ask("cat", 'd"e\\\\f'))
"""


async def made(layers: Layers, packages: Sequence[str], lacking: Callable[[str], None]) -> Path:
    """The layer; a mirror that falters is asked again, as the node does it."""
    deadline = time.monotonic() + 180
    while True:
        try:
            (layer,) = await layers.ensure(packages)
        except LayerError as error:
            if "network is away" in str(error):
                lacking(str(error))
            if time.monotonic() > deadline:
                raise
        else:
            return layer


async def test_the_built_in_mysql_serves_from_its_layer(tmp_path, scratch_netns, lacking):
    if shutil.which("apt-get") is None:
        lacking("no apt-get is here")
    image = Table.load([BUILTIN_TABLE]).find("mysql:5.7")
    # As if the machine had none of it, so that there is something to download.
    status = tmp_path / "status"
    gone = ("mariadb", "mysql", "libmariadb", "libaio1", "liburing")
    stanzas = Path("/var/lib/dpkg/status").read_text().split("\n\n")
    status.write_text("\n\n".join(s for s in stanzas if not s.startswith(tuple(f"Package: {name}" for name in gone))))
    layer = await made(Layers(tmp_path / "layers", status=status), image.packages, lacking)
    done = scratch_netns(SCRIPT, str(layer), str(status), sys.executable, CLIENT, *argv(image))
    assert done.stdout.split() == ["root@%", "cat@%"], done.stderr[-3000:]
