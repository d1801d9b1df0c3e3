"""EnvoyFilters on the running shop: one that works, one that is refused at the door, one that Envoy refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Mesh, until

pytestmark = pytest.mark.system

PAGE = Path(__file__).parents[2] / "docs/features/envoyfilter.md"
NAMESPACE = ("-n", "sock-shop")
#: Known to be wrong only by who has the file, or has not.
ELSEWHERE = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: elsewhere, namespace: sock-shop}
spec:
  workloadSelector: {labels: {name: catalogue}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch:
      operation: INSERT_FIRST
      value:
        name: elsewhere
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          default_source_code: {filename: /absent.lua}
"""


def example() -> str:
    """The EnvoyFilter of the documentation."""
    found = re.search(r"^```yaml\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def stamps(lesson: Mesh) -> Iterator[Callable[[], str]]:
    """Applies the example; tells what header the catalogue's answers carry."""
    lesson.kubectl("apply", "-f", "-", given=example())

    def stamp() -> str:
        head = lesson.kubectl(
            "exec", *NAMESPACE, "deploy/front-end-v1", "--", "curl", "-sS", "-D", "-", "-o", "/dev/null",
            "http://catalogue/health",
        ).stdout  # fmt: skip
        found = re.search(r"^x-stamp: (.*?)\s*$", head, flags=re.MULTILINE)
        return found[1] if found is not None else ""

    yield stamp
    lesson.kubectl("delete", "envoyfilter", *NAMESPACE, "--all")
    until("the stamp has gone", lambda: not stamp())


def test_a_filter_changes_what_a_proxy_does_and_a_bad_one_harms_only_itself(
    lesson: Mesh, stamps: Callable[[], str]
) -> None:
    until("answers carry the stamp", lambda: stamps() == "catalogue")
    unreadable = example().replace("inline_string", "inline_sting")
    refused = lesson.kubectl("apply", "-f", "-", given=unreadable, code=1).stderr
    assert "spec.configPatches[0].patch.value.typed_config.default_source_code" in refused
    assert "inline_sting" in refused
    broken = example().replace("stamp", "broken").replace("function envoy_on_response(handle)", "function (")
    refused = lesson.kubectl("apply", "-f", "-", given=broken, code=None).stderr
    assert "script load error" in refused or "too busy to try it" in refused
    # Which files are in a pod no scratch Envoy can know.
    lesson.plait("apply", "-f", "-", given=ELSEWHERE)

    def told() -> bool:
        events = lesson.get("events", *NAMESPACE, "--field-selector", "involvedObject.kind=EnvoyFilter")["items"]
        return any(item["involvedObject"]["name"] == "elsewhere" and "absent" in item["message"] for item in events)

    until("an Event names the filter", told)
    # The proxy takes changes again: of the filter that works, for one.
    lesson.kubectl("apply", "-f", "-", given=example().replace('"catalogue")', '"again")'))
    until("answers carry the new stamp", lambda: stamps() == "again")
