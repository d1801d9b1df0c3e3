"""Whole runs of `fortio` against servers on loopback."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def requests(connection: socket.socket):
    """Each request's head, as it comes."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = connection.recv(4096)
            if not more:
                return
            data += more
        head, _, data = data.partition(b"\r\n\r\n")
        yield head


def test_the_lesson_reads_as_fortio_writes_it(run, echo) -> None:
    ran = run("load", "-c", "3", "-qps", "0", "-n", "20", "-loglevel", "Warning", f"{echo}/index.html")
    assert ran.code == 0
    assert ran.out == ""
    authority = echo.removeprefix("http://")
    counter = r"count \d+ avg \S+ \+/- \S+ min \S+ max \S+ sum \S+"
    expected = [
        r'\{"ts":\d+\.\d{6},"level":"info",.*"msg":"Log level is now 3 Warning \(was 2 Info\)"\}',
        rf"Fortio 1\.75\.2 running at 0 queries per second, \d+->\d+ procs, for 20 calls: {re.escape(echo)}/index.html",
        r"Starting at max qps with 3 thread\(s\) \[gomax \d+\] for exactly 20 calls \(6 per thread \+ 2\)",
        r"Ended after \S+ : 20 calls\. qps=\S+",
        rf"Aggregated Function Time : {counter}",
        r"# range, mid point, percentile, count",
        r">= \S+ <= \S+ , \S+ , \d+\.\d\d, \d+",
        *[rf"# target {wanted}% \S+" for wanted in ("50", "75", "90", "99", "99.9")],
        r"Error cases : no data",
        r"# Socket and IP used for each connection:",
        *[rf"\[{n}\]   1 socket used, resolved to {authority}, connection timing : {counter}" for n in range(3)],
        rf"Connection time \(s\) : {counter}",
        r"Sockets used: 3 \(for perfect keepalive, would be 3\)",
        r"Uniform: false, Jitter: false, Catchup allowed: true",
        r"IP addresses distribution:",
        rf"{authority}: 3",
        r"Code 200 : 20 \(100\.0 %\)",
        r"Response Header Sizes : count 20 avg 75 \+/- 0 min 75 max 75 sum 1500",
        r"Response Body/Total Sizes : count 20 avg 75 \+/- 0 min 75 max 75 sum 1500",
        r"All done 20 calls \(plus 0 warmup\) \d+\.\d{3} ms avg, \d+\.\d qps",
    ]
    lines = [line for line in ran.lines if not line.startswith("> ")]
    assert len(lines) == len(expected), ran.err
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_failures_are_warned_of_counted_and_close_their_connection(run, echo) -> None:
    ran = run("load", "-c", "2", "-qps", "0", "-n", "6", "-loglevel", "Warning", f"{echo}/?status=503")
    assert ran.code == 0, "also when every request failed"
    assert [entry["msg"] for entry in ran.logged[1:]] == ["Non ok http code"] * 6
    assert ran.logged[1]["code"] == 503
    assert ran.logged[1]["status"] == "HTTP/1.1 503"
    assert {entry["thread"] for entry in ran.logged[1:]} == {0, 1}
    assert "Code 503 : 6 (100.0 %)" in ran.lines
    assert "Sockets used: 6 (for perfect keepalive, would be 2)" in ran.lines
    assert any(line.startswith("Error cases : count 6") for line in ran.lines)
    assert any(line.startswith("Response Header Sizes : count 6 avg 0 ") for line in ran.lines)


def test_errors_are_not_logged_when_not_wanted(run, echo) -> None:
    ran = run(
        "load", "-c", "1", "-n", "2", "-qps", "0", "-log-errors=false", "-loglevel", "Warning", f"{echo}/?status=404"
    )
    assert len(ran.logged) == 1


def test_a_run_does_not_start_when_the_warm_up_fails(run, echo) -> None:
    ran = run("load", "-c", "2", "-t", "1s", f"{echo}/?status=404")
    assert ran.code == 1
    assert re.fullmatch(
        rf"Aborting because of error 404 for {re.escape(echo)}/\?status=404 \(\d+ bytes\)", ran.lines[-1]
    )
    lenient = run(
        "load", "-c", "2", "-t", "50ms", "-qps", "0", "-allow-initial-errors", "-quiet", f"{echo}/?status=404"
    )
    assert lenient.code == 0
    assert any(line.startswith("Code 404 : ") for line in lenient.lines)


def test_nobody_there_is_code_minus_one(run) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        ran = run("load", "-c", "1", "-n", "3", "-qps", "0", url)
        assert ran.code == 0
        assert "Code  -1 : 3 (100.0 %)" in ran.lines
        assert sum(entry["msg"] == "Unable to connect" for entry in ran.logged) == 3
        assert run("load", "-c", "1", url).code == 1


def test_a_host_without_address_ends_it(run) -> None:
    ran = run("load", "-n", "2", "http://does-not-exist.invalid/")
    assert ran.code == 1
    assert ran.lines[-1].startswith("Aborting because of lookup does-not-exist.invalid")


def test_an_answer_that_does_not_come_is_a_timeout(run, raw) -> None:
    def silent(connection: socket.socket) -> None:
        for _ in requests(connection):
            """Read until the caller hangs up."""

    ran = run("load", "-c", "1", "-n", "1", "-qps", "0", "-timeout", "60ms", raw(silent).url)
    assert "Code  -1 : 1 (100.0 %)" in ran.lines
    assert any(entry["msg"].startswith("Timeout error") for entry in ran.logged)


def test_without_keepalive_each_call_has_its_connection(run, echo) -> None:
    ran = run("load", "-c", "2", "-n", "6", "-qps", "0", "-keepalive=false", "-quiet", echo)
    assert "Sockets used: 6 (for perfect keepalive, would be 2)" in ran.lines
    assert "Code 200 : 6 (100.0 %)" in ran.lines


def test_connections_are_renewed_after_so_many_answers(run, echo) -> None:
    ran = run("load", "-c", "1", "-n", "6", "-qps", "0", "-connection-reuse", "2:2", "-quiet", echo)
    assert "Sockets used: 3 (for perfect keepalive, would be 1)" in ran.lines


def test_a_connection_that_died_idle_is_replaced_in_silence(run, raw) -> None:
    def one_answer(connection: socket.socket) -> None:
        next(requests(connection))
        connection.sendall(OK)

    server = raw(one_answer)
    ran = run("load", "-c", "1", "-n", "3", "-qps", "0", "-loglevel", "Warning", server.url)
    assert "Code 200 : 3 (100.0 %)" in ran.lines
    assert "Sockets used: 3 (for perfect keepalive, would be 1)" in ran.lines
    assert [entry["level"] for entry in ran.logged] == ["info"], "only the new log level"


def test_a_server_that_only_hangs_up_is_an_error(run, raw) -> None:
    server = raw(lambda connection: next(requests(connection)))
    ran = run("load", "-c", "1", "-n", "2", "-qps", "0", "-quiet", server.url)
    assert "Code  -1 : 2 (100.0 %)" in ran.lines


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 2", b"00 OK\r\nContent-Le", b"ngth: 5\r\n\r\nhe", b"llo"],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r", b"\nhello\r\n0\r\n", b"\r\n"],
        [b"HTTP/1.1 204 No Content\r\n\r\n"],
    ],
    ids=["cut", "chunked", "empty"],
)
def test_answers_in_pieces_keep_the_connection(run, raw, parts) -> None:
    def piece_by_piece(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in requests(connection):
            for part in parts:
                connection.sendall(part)

    server = raw(piece_by_piece)
    ran = run("load", "-c", "1", "-n", "4", "-qps", "0", "-loglevel", "Warning", server.url)
    assert "Sockets used: 1 (for perfect keepalive, would be 1)" in ran.lines
    assert any(re.fullmatch(r"Code 20[04] : 4 \(100\.0 %\)", line) for line in ran.lines)
    size = len(b"".join(parts))
    assert any(line.startswith(f"Response Body/Total Sizes : count 4 avg {size} ") for line in ran.lines)


def test_the_json_has_fortios_fields_in_its_order(run, echo) -> None:
    ran = run("load", "-c", "2", "-n", "4", "-qps", "0", "-quiet", "-json", "-", "-labels", "a b", f"{echo}/?size=10")
    result = ran.json
    assert ran.lines[-1] == f"Successfully wrote {len(ran.out)} bytes of Json data to stdout"
    assert list(result) == [
        "RunType", "Labels", "StartTime", "RequestedQPS", "RequestedDuration", "ActualQPS", "ActualDuration",
        "NumThreads", "Version", "DurationHistogram", "ErrorsDurationHistogram", "Exactly", "Jitter", "Uniform",
        "NoCatchUp", "RunID", "AccessLoggerInfo", "ID", "RetCodes", "IPCountMap", "Insecure", "MTLS", "CACert", "Cert",
        "Key", "UnixDomainSocket", "URL", "NumConnections", "Compression", "DisableFastClient", "HTTP10", "H2",
        "DisableKeepAlive", "AllowHalfClose", "FollowRedirects", "Resolve", "HTTPReqTimeOut", "UserCredentials",
        "ContentType", "Payload", "MethodOverride", "LogErrors", "SequentialWarmup", "ConnReuseRange",
        "NoResolveEachConn", "Offset", "Resolution", "Sizes", "HeaderSizes", "Sockets", "SocketCount",
        "ConnectionStats", "AbortOn",
    ]  # fmt: skip
    assert result["RequestedQPS"] == "max"
    assert result["RequestedDuration"] == "exactly 4 calls"
    assert result["RetCodes"] == {"200": 4}
    assert result["ErrorsDurationHistogram"]["Data"] is None
    assert "Percentiles" not in result["ErrorsDurationHistogram"]
    assert list(result["DurationHistogram"]) == ["Count", "Min", "Max", "Sum", "Avg", "StdDev", "Data", "Percentiles"]
    assert result["HTTPReqTimeOut"] == 3_000_000_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}_a_b", result["ID"])
    assert ran.out.startswith('{\n  "RunType": "HTTP",\n')
    assert '  "ConnReuseRange": [\n    0,\n    0\n  ],\n' in ran.out


def test_results_are_saved_under_their_id(run, echo, tmp_path) -> None:
    ran = run(
        "load", "-c", "1", "-n", "2", "-qps", "0", "-quiet", "-a", "-data-dir", str(tmp_path), "-runid", "7", echo
    )
    (saved,) = tmp_path.iterdir()
    assert json.loads(saved.read_text())["ID"] == saved.stem
    assert "_7_" in saved.stem
    assert str(saved) in ran.lines[-1]


def test_a_result_that_cannot_be_written_is_an_error(run, echo) -> None:
    ran = run("load", "-c", "1", "-n", "2", "-qps", "0", "-quiet", "-json", "/nowhere/at/all", echo)
    assert ran.code != 0
    assert "/nowhere/at/all" in ran.err


def test_a_rate_is_kept_and_corrected_times_are_offered(run, echo) -> None:
    ran = run("load", "-c", "2", "-qps", "100", "-t", "300ms", "-json", "-", echo)
    assert "Starting at 100 qps with 2 thread(s)" in ran.err
    assert "for 300ms : 15 calls each (total 30)" in ran.err
    assert "(plus 2 warmup)" in ran.lines[-2]
    result = ran.json
    assert result["RequestedQPS"] == "100"
    # On a machine that stands still at the end calls are left out, and told.
    told = re.findall(r"warning only did (\d+) out of 15 calls", ran.err)
    assert result["DurationHistogram"]["Count"] == 15 * (2 - len(told)) + sum(map(int, told))
    assert result["ActualDuration"] > 0.25e9
    assert list(result)[-1] == "xResponseTimeHistogram"
    assert result["xResponseTimeHistogram"]["Min"] >= result["DurationHistogram"]["Min"]


def test_few_calls_lower_the_threads(run, echo) -> None:
    ran = run("load", "-c", "4", "-n", "3", "-qps", "1000", echo)
    assert any("lowering from 4 to 1 threads" in entry["msg"] for entry in ran.logged)
    assert ": exactly 3, 3 calls each (total 3 + 0)" in ran.err
    assert "All done 3 calls (plus 0 warmup)" in ran.err


def test_exactly_is_exactly_even_with_more_threads_than_calls(run, echo) -> None:
    assert "All done 2 calls" in run("load", "-c", "5", "-n", "2", "-qps", "0", echo).err


def test_a_run_ends_at_the_code_it_was_told(run, echo) -> None:
    ran = run("load", "-c", "1", "-n", "1000", "-qps", "0", "-abort-on", "503", "-json", "-", f"{echo}/?status=503")
    assert ran.json["RequestedDuration"] == "exactly 1000 calls, interrupted after 1"


def test_an_access_log_has_a_line_for_each_call(run, echo, tmp_path) -> None:
    path = tmp_path / "log"
    ran = run("load", "-c", "1", "-n", "3", "-qps", "0", "-access-log-file", str(path), echo)
    assert f" with access logger mode json to {path}" in ran.err
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["iter"] for line in lines] == [0, 1, 2]
    assert lines[0]["details"] == "200"
    run("load", "-c", "1", "-n", "1", "-qps", "0", "-access-log-file", str(path), "-access-log-format", "influx", echo)
    assert re.fullmatch(r'latency,thread=0,ok=true value=0\.\d{6},details="200" \d+', path.read_text().splitlines()[3])


def test_curl_writes_headers_to_stderr_and_the_body_to_stdout(run, echo) -> None:
    ran = run("curl", "-H", "X-Test: 1", "-payload", "abc", f"{echo}/debug")
    assert ran.code == 0
    assert ran.err.startswith("HTTP/1.1 200 OK\r\n")
    assert "POST /debug HTTP/1.1" in ran.out
    assert "X-Test: 1" in ran.out
    assert run("load", "-curl", f"{echo}/?size=300").out
    assert run("load", "-curl", f"{echo}/?status=204").code == 1, "anything but 200"


def test_a_bare_host_means_http(run, echo) -> None:
    ran = run("curl", echo.removeprefix("http://"))
    assert ran.code == 0
    assert "Assuming http:// on missing scheme" in ran.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 1, "Missing command argument"),
        (["foo"], 1, 'unknown command "foo"'),
        (["grpcping"], 1, "not part of plait"),
        (["load"], 1, "needs a URL"),
        (["load", "-foo", "x"], 2, "flag provided but not defined: -foo"),
        (["-c", "3", "load"], 1, "before -c"),
        (["load", "-n", "2", "http://a b"], 1, "Aborting because of"),
        (["server", "extra"], 2, "no arguments"),
        (["server", "-http-port", "x"], 2, "is no port"),
    ],
)
def test_misuse_is_answered_in_words(run, words, code, says) -> None:
    ran = run(*words)
    assert ran.code == code
    assert says in ran.err


def test_version_and_help(run) -> None:
    assert run("version").out == "1.75.2\n"
    assert "-connection-reuse min:max" in run("help").out
    assert run("load", "-h").code == 0


def test_an_interrupt_ends_the_run_with_its_results(echo) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "plait.load.fortio", "load", "-c", "2", "-qps", "50", "-t", "0", echo],
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(120, process.kill)
    timer.start()
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "until interrupted" in line and line.startswith("Starting"):
            os.kill(process.pid, signal.SIGINT)
    timer.cancel()
    process.stderr.close()
    assert process.wait() == 0
    assert lines[-1].startswith("All done ")


def test_starting_is_cheap() -> None:
    code = (
        "import sys; import plait.load.session; print(sorted({'asyncio','aiohttp','click','ssl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
