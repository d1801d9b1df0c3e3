"""Rows of proxy-status, and the comparison of istiod's view with Envoy's."""

from __future__ import annotations

from plait.proxy.sync import compare, refusals, sync_rows, type_state


def proxy(**types):
    return {
        "proxy": "a.shop",
        "cluster_id": "Kubernetes",
        "istio_version": "0.1.0",
        "plait": {"istiod": "istiod-1", "types": types},
    }


def state(status, error="", rejected=()):
    return {"status": status, "error": error, "rejected": list(rejected)}


def test_a_row_shows_each_type():
    (row,) = sync_rows([proxy(cds=state("SYNCED"), lds=state("NACK", "no", ["80"]), eds=state("STALE"))], istiod="x")
    assert row == ("a.shop", "Kubernetes", "SYNCED", "NACK", "STALE", "IGNORED", "IGNORED", "istiod-1", "0.1.0", "")


def test_an_istiod_that_is_not_ours_is_understood():
    theirs = {"proxy": "a.shop", "cluster_sent": "1", "cluster_acked": "1", "listener_sent": "2", "listener_acked": "1"}
    assert [type_state(theirs, short) for short in ("cds", "lds", "eds")] == ["SYNCED", "STALE", "NOT SENT"]
    assert sync_rows([theirs], istiod="istiod-9")[0].istiod == "istiod-9"


def test_refusals_name_what_and_why():
    lines = refusals([proxy(cds=state("SYNCED"), lds=state("NACK", "unknown filter", ["80", "81"]))])
    assert lines == ["a.shop: LDS 80, 81 refused: unknown filter"]


def dump(clusters, static=()):
    active = [{"version_info": version, "cluster": {"name": name}} for name, version in clusters.items()]
    return {
        "configs": [
            {
                "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
                "static_clusters": [{"cluster": {"name": name}} for name in static],
                "dynamic_active_clusters": active,
            }
        ]
    }


def test_equal_dumps_match_whatever_is_static():
    same = compare(dump({"a": "1"}), dump({"a": "1"}, static=["xds-grpc"]))
    assert same == {"Clusters": [], "Listeners": [], "Routes": [], "Endpoints": [], "Extensions": []}


def test_what_is_equal_matches_whatever_version_is_shown_of_it():
    """Envoy shows the first version of a listener of which only filter chains have changed since."""

    def listener(version, chain):
        state = {"version_info": version, "listener": {"name": "in", "filter_chains": [{"name": chain}]}}
        kind = "type.googleapis.com/envoy.admin.v3.ListenersConfigDump"
        return {"configs": [{"@type": kind, "dynamic_listeners": [{"name": "in", "active_state": state}]}]}

    assert compare(listener("2", "a"), listener("1", "a"))["Listeners"] == []
    assert compare(listener("2", "b"), listener("1", "a"))["Listeners"] == ["in: proxy has version 1, istiod 2"]


def test_differences_are_named():
    lines = compare(dump({"a": "1", "b": "1"}), dump({"a": "2", "c": "1"}))["Clusters"]
    assert lines == ["b: missing in the proxy", "c: only in the proxy", "a: proxy has version 2, istiod 1"]
