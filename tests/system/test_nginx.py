"""The image most people start with: nginx, by itself, with files of one's own, and in the chart that helm makes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import until
from .test_clients import helm_program

MOUNTED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: files}
data:
  default.conf: 'server { listen 8080; location / { return 200 "a server of my own"; } }'
  index.html: a page of my own
  nginx.conf: |
    user nginx;
    events {}
    http { server { listen 8080; location / { return 200 "settings of my own"; } } }
---
apiVersion: v1
kind: Pod
metadata: {name: server}
spec:
  containers: [{name: web, image: "nginx:1.27-alpine", volumeMounts: [{name: own, mountPath: /etc/nginx/conf.d}]}]
  volumes: [{name: own, configMap: {name: files, items: [{key: default.conf, path: default.conf}]}}]
---
apiVersion: v1
kind: Pod
metadata: {name: page}
spec:
  containers: [{name: web, image: nginx, volumeMounts: [{name: own, mountPath: /usr/share/nginx/html}]}]
  volumes: [{name: own, configMap: {name: files}}]
---
apiVersion: v1
kind: Pod
metadata: {name: settings}
spec:
  containers:
  - name: web
    image: docker.io/library/nginx
    volumeMounts: [{name: own, mountPath: /etc/nginx/nginx.conf, subPath: nginx.conf}]
  volumes: [{name: own, configMap: {name: files}}]
"""


@pytest.fixture(scope="module")
def up(mesh: Any) -> Any:
    """A mesh with nginx in it, made by the command that every introduction begins with."""
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("create", "deployment", "web", "--image=nginx")
    mesh.kubectl("rollout", "status", "deployment", "web", "--timeout=280s")
    return mesh


def fetched(mesh: Any, pod: str, port: int) -> str:
    """What a pod answers, once it does."""
    ask = ("exec", pod, "--", "curl", "-s", f"http://127.0.0.1:{port}/")
    return until(f"{pod} to answer", lambda: mesh.kubectl(*ask, code=None).stdout)


def test_it_serves_its_page_and_logs_to_its_output(up: Any) -> None:
    assert "Welcome to nginx!" in fetched(up, "deploy/web", 80)
    until("the line", lambda: '"GET / HTTP/1.1" 200' in up.kubectl("logs", "deploy/web").stdout)


@pytest.mark.parametrize(("pod", "port"), [("server", 8080), ("page", 80), ("settings", 8080)])
def test_what_is_mounted_counts(up: Any, one_uid: bool, pod: str, port: int, lacking: Any) -> None:
    if one_uid and pod == "settings":
        lacking("where all of a mesh is one user there is no user nginx")
    up.kubectl("apply", "-f", "-", given=MOUNTED)
    assert fetched(up, pod, port).strip() == ("settings of my own" if pod == "settings" else f"a {pod} of my own")


def test_the_chart_that_helm_makes_can_be_installed(up: Any, tmp_path: Path, lacking: Any) -> None:
    if (helm := helm_program()) is None:
        lacking("no helm is installed")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [helm, *arguments], capture_output=True, text=True, env=up.environment, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("create", "fresh")
    assert "STATUS: deployed" in run("install", "one", "fresh", "--wait", "--timeout", "180s")
    run("upgrade", "one", "fresh", "--set", "replicaCount=2", "--wait", "--timeout", "180s")
    until("two are ready", lambda: up.get("deployment", "one-fresh")["status"].get("readyReplicas") == 2)
    run("uninstall", "one", "--wait", "--timeout", "180s")
