"""Images in pod templates that are not what they were when the manifest was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple


class _Aged(NamedTuple):
    """`name` without registry and tag; `tags` are those meant, empty for every tag."""

    name: str
    tags: frozenset[str]
    says: str


_TABLE: Final = (
    _Aged(
        "istio/fortio",
        frozenset(),
        "is not published any more; write fortio/fortio, where the program is /usr/bin/fortio "
        "(here both paths are plait's own load generator)",
    ),
    _Aged(
        "mongo",
        frozenset({"", "latest"}),
        "without a version is the newest MongoDB, which does not speak to drivers of 2017 (OP_QUERY went with 5.1); "
        "write mongo:4.4 (here it is plait's own document store, which does)",
    ),
)
_HUB: Final = ("docker.io/library/", "docker.io/", "index.docker.io/", "library/")


def aged_images(title: str, template: dict[str, Any], path: str) -> Iterator[str]:
    """A warning for each image of a pod template that has come to mean something else; `path` leads to the template."""
    spec = template.get("spec")
    if not isinstance(spec, dict):
        return
    for group in ("initContainers", "containers"):
        found = spec.get(group)
        for index, container in enumerate(found if isinstance(found, list) else ()):
            image = container.get("image") if isinstance(container, dict) else None
            if isinstance(image, str) and (aged := _find(image)) is not None:
                yield f"{title}: {path}.spec.{group}[{index}].image: {image} {aged.says}"


def _find(image: str) -> _Aged | None:
    name, _, tag = image.partition(":")
    for start in _HUB:
        name = name.removeprefix(start)
    return next((aged for aged in _TABLE if aged.name == name and (not aged.tags or tag in aged.tags)), None)
