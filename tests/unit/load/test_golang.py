import pytest

from plait.load.golang import duration, general, json_number, parse_duration


@pytest.mark.parametrize(
    ("value", "text", "json"),
    [
        (1000000, "1e+06", "1000000"),
        (123456789, "1.23456789e+08", "123456789"),
        (1e20, "1e+20", "100000000000000000000"),
        (1e21, "1e+21", "1e+21"),
        (0.0001, "0.0001", "0.0001"),
        (1e-5, "1e-05", "0.00001"),
        (0.000012345, "1.2345e-05", "0.000012345"),
        (1.5e-7, "1.5e-07", "1.5e-7"),
        (204.307492, "204.307492", "204.307492"),
        (99.9, "99.9", "99.9"),
        (20, "20", "20"),
        (1000000.5, "1.0000005e+06", "1000000.5"),
        (0, "0", "0"),
        (-0.0519987, "-0.0519987", "-0.0519987"),
    ],
)
def test_numbers_look_as_go_prints_them(value, text, json) -> None:
    assert general(value) == text
    assert json_number(value) == json


@pytest.mark.parametrize(
    ("text", "nanoseconds", "shown"),
    [
        ("5s", 5 * 10**9, "5s"),
        ("0", 0, "0s"),
        ("1.5s", 1_500_000_000, "1.5s"),
        ("500ms", 500_000_000, "500ms"),
        ("150us", 150_000, "150µs"),
        ("100ns", 100, "100ns"),
        ("1m40s", 100 * 10**9, "1m40s"),
        ("2h45m", 9900 * 10**9, "2h45m0s"),
        ("1d4h", 28 * 3600 * 10**9, "28h0m0s"),
        ("-1s", -(10**9), "-1s"),
        (".5s", 500_000_000, "500ms"),
        ("106.474079ms", 106_474_079, "106.474079ms"),
    ],
)
def test_durations_are_gos(text, nanoseconds, shown) -> None:
    assert parse_duration(text) == nanoseconds
    assert duration(nanoseconds) == shown


@pytest.mark.parametrize("text", ["", "5", "s", "3x", "1s 2s", "--1s"])
def test_what_is_no_duration_is_refused(text) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)
