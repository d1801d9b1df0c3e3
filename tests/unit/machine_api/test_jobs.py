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
    out, _ = await cluster.kubectl("get", "roles", "--no-headers")
    assert out.split()[0] == "reader"


async def test_workloads_that_would_not_run_are_refused(cluster: Any) -> None:
    code, _, _ = await cluster.ask("POST", "/apis/apps/v1/namespaces/default/statefulsets", {})
    assert code == 404


CRON_JOBS = "/apis/batch/v1/namespaces/default/cronjobs"


def cron_job(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "tick"}, "spec": {"schedule": "*/5 * * * *", "jobTemplate": job(), **spec}}


async def test_a_cron_job_keeps_a_few_of_its_jobs(cluster: Any) -> None:
    made = await cluster.made(CRON_JOBS, cron_job())
    wanted = {"suspend": False, "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 3}
    assert (wanted | {"failedJobsHistoryLimit": 1}).items() <= made["spec"].items()
    assert made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"schedule": ""}, "spec.schedule: Required value"),
        ({"schedule": "61 * * * *"}, 'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum'),
        ({"timeZone": "Atlantis"}, 'spec.timeZone: Invalid value: "Atlantis": unknown time zone Atlantis'),
        ({"timeZone": "local"}, "spec.timeZone: Invalid value"),
        ({"concurrencyPolicy": "Perhaps"}, 'spec.concurrencyPolicy: Unsupported value: "Perhaps"'),
        ({"failedJobsHistoryLimit": -1}, "spec.failedJobsHistoryLimit: Invalid value: -1"),
        ({"jobTemplate": {"spec": {}}}, "spec.jobTemplate.spec.template"),
        ({"jobTemplate": job(selector={"matchLabels": {"a": "b"}})}, "`selector` will be auto-generated"),
        ({"jobTemplate": job(backoffLimit=-1)}, "spec.jobTemplate.spec.backoffLimit: Invalid value: -1"),
    ],
)
async def test_a_cron_job_that_makes_no_sense_is_refused(cluster: Any, spec: dict[str, Any], says: str) -> None:
    code, status, _ = await cluster.ask("POST", CRON_JOBS, cron_job(**spec))
    assert code == 422
    assert says in status["message"]


async def test_kubectl_makes_and_shows_cron_jobs_and_jobs_of_them(cluster: Any) -> None:
    await cluster.kubectl("create", "cronjob", "tick", "--image=busybox", "--schedule=0 4 * * 1", "--", "date")
    out, _ = await cluster.kubectl("get", "cronjobs")
    assert out.split()[:7] == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST", "SCHEDULE"]
    assert out.splitlines()[1].split()[:9] == ["tick", "0", "4", "*", "*", "1", "<none>", "False", "0"]
    await cluster.kubectl("create", "job", "now", "--from=cronjob/tick")
    out, _ = await cluster.kubectl("get", "job", "now", "-o", "jsonpath={.metadata.ownerReferences[0].kind}")
    assert out == "CronJob"
    out, _ = await cluster.kubectl("describe", "cronjob", "tick")
    assert "Concurrency Policy:" in out


async def test_an_autoscaler_of_old_is_the_same_object(cluster: Any) -> None:
    old, new = (f"/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers" for version in ("v1", "v2"))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    body = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70}
    made = await cluster.made(old, {"metadata": {"name": "h"}, "spec": body})
    assert made["spec"] == {**body, "minReplicas": 1}
    code, seen, _ = await cluster.ask("GET", f"{new}/h")
    assert code == 200
    (metric,) = seen["spec"]["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
