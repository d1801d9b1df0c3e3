"""What the whole Sock Shop costs on one machine: time from `plait up` to all ready, memory (PSS), time of `down`.

Times are taken of a machine that has nothing yet, of one that has only the Debian packages of the databases unpacked,
and of a mesh that was there before. Memory is told apart by whose it is: the mesh's own processes, the sidecars, the
applications. The yardstick is measured in the same run: bare Envoys of the same binary, as many as the mesh has,
started at once with an empty configuration. Ratios are against them.

    .venv/bin/python benchmarks/shop.py [--rounds N] [--demo sock-shop]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from plait.app.plan import envoy_binary

#: Aims: seconds to all ready on a fresh state, MiB of the mesh and its sidecars together.
AIM_SECONDS, AIM_MIB = 15.0, 650.0
NAME = "bench"
PLAIT = [str(Path(sys.executable).with_name("plait")), "--name", NAME]
BARE = "admin: {address: {pipe: {path: %s}}}\n"


def pss(pid: int) -> float:
    """Proportional set size in MiB; 0 for a process that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def bare_envoys(count: int, folder: Path) -> tuple[float, float]:
    """Seconds until `count` empty Envoys answer, and their PSS in MiB together."""
    begun = time.monotonic()
    processes, sockets = [], []
    for number in range(count):
        config, socket = folder / f"{number}.yaml", folder / f"{number}.sock"
        config.write_text(BARE % socket)
        command = [str(envoy_binary()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "off"]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        sockets.append(socket)
    try:
        for socket in sockets:
            ask = ["curl", "-sf", "--unix-socket", str(socket), "http://x/ready"]
            while subprocess.run(ask, stdout=subprocess.DEVNULL, check=False).returncode:
                time.sleep(0.01)
        return time.monotonic() - begun, sum(pss(process.pid) for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def timed(*arguments: str) -> float:
    """Seconds of one plait command; its complaints are shown when it fails."""
    begun = time.monotonic()
    done = subprocess.run([*PLAIT, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"plait {' '.join(arguments)}: {done.stderr}")
    return time.monotonic() - begun


def owner(line: str) -> str:
    """Whose memory a line of the report is."""
    if line == "sidecars":
        return line
    own = {"launcher", "init", "api", "node", "relay", "pauses", "gateway"}
    return "mesh" if line in own or line.startswith("istiod/") else "applications"


def forget_all_but_packages(home: Path) -> None:
    """Make the state folder of a mesh that does not run as if it were new, but for the unpacked Debian packages."""
    for path in (home / "plait" / NAME).iterdir():
        if path.name == "images":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def group(name: str) -> str:
    """Which line of the report a process belongs to."""
    parts = name.split("/")
    if parts[0] != "pod":
        return name
    if parts[-1] == "pause":
        return "pauses"
    if parts[3] == "istio-proxy":
        return "gateway" if parts[2].startswith("istio-ingressgateway") else "sidecars"
    return "/".join([parts[2].rsplit("-", 2)[0], *parts[3:]])


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--demo", default="sock-shop")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = home
        ups, downs, bare_times = [], [], []
        try:
            cold = timed("up", "--demo", options.demo, "--ports", "auto")
            timed("down")
            forget_all_but_packages(Path(home))
            fresh = timed("up", "--demo", options.demo, "--ports", "auto")
            timed("down")
            for _ in range(options.rounds):
                ups.append(timed("up", "--demo", options.demo, "--ports", "auto"))
                status = json.loads(subprocess.check_output([*PLAIT, "status", "-o", "json"]))
                memory: dict[str, list[float]] = defaultdict(list)
                for process in status["processes"]:
                    memory[group(process["name"])].append(pss(process["pid"]))
                downs.append(timed("down"))
                envoys = status["proxies"]["total"]
                bare_time, bare_pss = bare_envoys(envoys, Path(home))
                bare_times.append(bare_time)
        finally:
            subprocess.run([*PLAIT, "down", "--wipe"], capture_output=True, check=False)
    up, down, bare = statistics.median(ups), statistics.median(downs), statistics.median(bare_times)
    print(f"up --demo {options.demo}, nothing there (Debian packages fetched): {cold:.1f} s (aim {AIM_SECONDS:.0f})")
    print(f"fresh state, Debian packages unpacked before: {fresh:.1f} s")
    ratio = f"{up / bare:.1f} x {envoys} bare Envoys ({bare:.2f} s)"
    print(f"up again, {envoys} proxies, median of {options.rounds}: {up:.2f} s = {ratio}")
    print(f"down: {down:.2f} s")
    print(f"\n{'PSS MiB':>9}  process")
    whose: dict[str, float] = defaultdict(float)
    for name, sizes in sorted(memory.items(), key=lambda item: -sum(item[1])):
        whose[owner(name)] += sum(sizes)
        print(f"{sum(sizes):9.1f}  {name}{f' ({len(sizes)})' if len(sizes) > 1 else ''}")
    print(f"\n{whose['mesh']:9.1f}  the mesh's own, gateway included")
    print(f"{whose['sidecars']:9.1f}  sidecars")
    print(f"{whose['mesh'] + whose['sidecars']:9.1f}  both (aim {AIM_MIB:.0f})")
    print(f"{whose['applications']:9.1f}  applications")
    proxies = whose["sidecars"] + sum(memory["gateway"])
    print(f"proxies {proxies:.1f} MiB = {proxies / bare_pss:.2f} x {envoys} bare Envoys ({bare_pss:.1f} MiB)")


if __name__ == "__main__":
    main()
