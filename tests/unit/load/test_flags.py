import pytest

from plait.load.flags import HelpWanted, UsageError, parse
from plait.load.options import FLAGS, REFUSED, read


@pytest.mark.parametrize(
    "words", [["-c", "7", "http://h"], ["-c=7", "http://h"], ["--c", "7", "http://h"], ["--c=7", "http://h"]]
)
def test_one_dash_or_two_and_both_forms_of_values(words) -> None:
    assert read(words).pace.threads == 7


def test_booleans_take_no_word() -> None:
    parsed = parse(["-k", "-keepalive=false", "-jitter=T", "http://h"], FLAGS)
    assert (parsed.values["k"], parsed.values["keepalive"], parsed.values["jitter"]) == (True, False, True)
    assert parsed.arguments == ("http://h",)


def test_flags_end_at_the_first_argument_and_at_two_dashes() -> None:
    assert parse(["http://h", "-c", "3"], FLAGS).arguments == ("http://h", "-c", "3")
    assert parse(["--", "-c"], FLAGS).arguments == ("-c",)
    with pytest.raises(UsageError, match="flags come before the URL"):
        read(["http://h", "-c", "3"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-foo", "http://h"], "flag provided but not defined: -foo"),
        (["-c"], "flag needs an argument: -c"),
        (["-c", "x", "http://h"], 'invalid value "x" for flag -c: parse error'),
        (["-keepalive=3", "http://h"], 'invalid boolean value "3" for flag -keepalive: parse error'),
        (["-t", "3x", "http://h"], 'invalid value "3x" for flag -t: time: invalid duration "3x"'),
        (["-H", "nocolon", "http://h"], "invalid extra header 'nocolon', expecting Key: Value"),
        (["-p", "x", "http://h"], "Unable to extract percentiles from -p"),
        (["-connection-reuse", "5:1", "http://h"], "write min:max"),
        (["-user", "me", "http://h"], "expecting user:password"),
        (["-calc-qps", "http://h"], "without also specifying `-n` and `-t`"),
        (["-timeout", "0", "http://h"], "-timeout: write a duration above 0"),
        (["-payload-size", "300000", "http://h"], "raise -maxpayloadsizekb"),
        (["-payload-file", "/nowhere/at/all", "http://h"], "-payload-file"),
        ([], "needs a URL"),
    ],
)
def test_wrong_command_lines_say_what_to_write(words, message) -> None:
    with pytest.raises(UsageError) as error:
        read(words)
    assert message in str(error.value)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_would_change_the_measurement_and_is_not_built_is_refused(name) -> None:
    with pytest.raises(UsageError, match=rf"-{name}\b.*"):
        read([f"-{name}=1", "http://h"])


def test_help_is_a_wish() -> None:
    with pytest.raises(HelpWanted):
        read(["-h"])


def test_headers_repeat_and_rates_are_computed() -> None:
    options = read(["-H", "a: 1", "-H", "b:2", "-calc-qps", "-n", "50", "-t", "10s", "http://h"])
    assert options.request.headers == (("a", "1"), ("b", "2"))
    assert options.qps == 5
