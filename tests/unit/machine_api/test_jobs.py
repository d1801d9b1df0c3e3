"""Jobs as the API stores them."""

from __future__ import annotations

from typing import Any

import pytest

JOBS = "/apis/batch/v1/namespaces/default/jobs"


def job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}
    return {"metadata": {"name": "j"}, "spec": {"template": template, **spec}}


async def test_a_job_knows_its_pods_by_its_uid(cluster: Any) -> None:
    made = await cluster.made(JOBS, job())
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert made["spec"]["template"]["metadata"]["labels"]["job-name"] == "j"
    wanted = {"completions": 1, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False}
    assert wanted.items() <= made["spec"].items()


async def test_a_job_may_be_applied_again_but_its_template_stays(cluster: Any) -> None:
    made = await cluster.made(JOBS, job())
    code, same, _ = await cluster.ask("PUT", f"{JOBS}/j", job())
    assert code == 200, same
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    changed = job()
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    code, status, _ = await cluster.ask("PUT", f"{JOBS}/j", changed)
    assert code == 422
    assert "spec.template: Invalid value" in status["message"]
    assert "field is immutable" in status["message"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"completions": -1}, "spec.completions: Invalid value: -1"),
        ({"completionMode": "Indexed", "parallelism": 1}, "spec.completions: Required value"),
        ({"completionMode": "Sometimes"}, 'Unsupported value: "Sometimes"'),
        ({"podFailurePolicy": {"rules": []}}, "spec.podFailurePolicy: Forbidden"),
        (
            {"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}},
            'spec.template.spec.restartPolicy: Unsupported value: "Always": supported values: "Never", "OnFailure"',
        ),
    ],
)
async def test_what_makes_no_sense_is_refused(cluster: Any, spec: dict[str, Any], says: str) -> None:
    code, status, _ = await cluster.ask("POST", JOBS, job(**spec))
    assert code == 422
    assert says in status["message"]


async def test_kubectl_makes_and_shows_jobs(cluster: Any) -> None:
    await cluster.kubectl("create", "job", "hello", "--image=busybox", "--", "echo", "hi")
    out, _ = await cluster.kubectl("get", "jobs")
    assert out.split()[:5] == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert out.split()[5:8] == ["hello", "Running", "0/1"]
    out, _ = await cluster.kubectl("describe", "job", "hello")
    assert "Completions:      1" in out


async def test_what_charts_bring_along_is_stored_with_a_warning(cluster: Any) -> None:
    _, err = await cluster.kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    assert "is stored, but has no effect" in err
    out, _ = await cluster.kubectl("get", "roles")
    assert out.split()[2] == "reader"


async def test_workloads_that_would_not_run_are_refused(cluster: Any) -> None:
    code, _, _ = await cluster.ask("POST", "/apis/apps/v1/namespaces/default/statefulsets", {})
    assert code == 404
