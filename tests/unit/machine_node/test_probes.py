import pytest

from plait.machine.node.probes import Probe, Verdict, port_number, read_probe


def probe(**changes):
    return Probe(purpose="readiness", action={}, **changes)


@pytest.mark.parametrize(
    ("results", "successes", "failures", "healthy"),
    [
        ("", 1, 3, None),
        ("+", 1, 3, True),
        ("+", 2, 3, None),
        ("++", 2, 3, True),
        ("+-+", 2, 3, None),
        ("--", 1, 3, None),
        ("---", 1, 3, False),
        ("+--", 1, 3, True),
        ("+--+--", 1, 3, True),
        ("+---", 1, 3, False),
        ("---+", 1, 3, True),
        ("---+", 2, 3, False),
        ("-", 1, 1, False),
    ],
)
def test_thresholds(results, successes, failures, healthy):
    verdict = Verdict()
    for result in results:
        verdict = verdict.after(result == "+", probe(successes=successes, failures=failures))
    assert verdict.healthy is healthy


def test_defaults_are_those_of_the_api():
    read = read_probe({"readinessProbe": {"tcpSocket": {"port": 1}}}, "readiness")
    assert (read.initial_delay, read.period, read.timeout, read.successes, read.failures) == (0, 10, 1, 1, 3)


def test_only_readiness_takes_more_than_one_success():
    spec = {"tcpSocket": {"port": 1}, "successThreshold": 4}
    assert read_probe({"livenessProbe": spec}, "liveness").successes == 1
    assert read_probe({"readinessProbe": spec}, "readiness").successes == 4


def test_no_probe():
    assert read_probe({}, "startup") is None


def test_ports_by_number_and_by_name():
    container = {"ports": [{"name": "http", "containerPort": 8080}]}
    assert [port_number(port, container) for port in (80, "80", "http", "grpc")] == [80, 80, 8080, None]
