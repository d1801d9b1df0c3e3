import shutil
import subprocess

import pytest


@pytest.fixture(scope="session")
def scratch_netns(lacking):
    """Run a shell script in a network namespace of its own, with the arguments as $1 and so on."""
    if shutil.which("nft") is None or shutil.which("unshare") is None:
        lacking("no nft and unshare are here")
    probe = subprocess.run(["unshare", "--net", "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        lacking(f"network namespaces cannot be made here: {probe.stderr.strip()}")

    def run(script, *words, text=""):
        return subprocess.run(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", script, "sh", *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
