"""Of Envoy's words the reason is kept and the printed resource is not."""

import pytest

from plait.proxy.words import reason, together

PRINTED = 'goo.gle/debugonly  \nname: "a"\nconnect_timeout {\n}\nmetadata {\n  key: "goo.gle/debugstr b: c"\n}\n'
BROKEN = "Proto constraint validation failed (ClusterValidationError.ConnectTimeout: value must be greater than 0s)"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("Invalid path: /absent.lua", "Invalid path: /absent.lua"),
        (f"{PRINTED}: {BROKEN}", BROKEN),
        (
            f"Error adding/updating listener(s) 80: {PRINTED}: {BROKEN}",
            f"Error adding/updating listener(s) 80: {BROKEN}",
        ),
        (f"{PRINTED}: {BROKEN}\n{PRINTED.replace('only', 'proto')}: {BROKEN}", f"{BROKEN}\n{BROKEN}"),
    ],
)
def test_the_reason_is_kept(words: str, kept: str) -> None:
    assert reason(words) == kept


def test_a_reason_that_was_cut_off_is_looked_up_in_the_proxys_log() -> None:
    said = reason("Error adding/updating listener(s) 80: " + (PRINTED + "x" * 4096)[:4000] + "...(truncated)")
    assert said.startswith("Error adding/updating listener(s) 80: a constraint of Envoy's is broken")
    assert "kubectl logs" in said
    assert "debugonly" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("a: no\nb: no\nc: yes", "a, b: no\nc: yes"),
        ("a: no\nb: no\nc: no\nd: no\ne: no", "a, b, c and 2 more: no"),
        ("a: no: really\nx: and more\nb: no", "a: no: really\nx: and more\nb: no"),
        ("a: no\n", "a: no"),
        ("x: no\nb: no", "x: no\nb: no"),
        ("", ""),
    ],
)
def test_a_reason_that_several_listeners_share_is_said_once(words: str, said: str) -> None:
    begin = "Error adding/updating listener(s) "
    assert together(begin + words, ("a", "b", "c", "d", "e")) == begin + said
    assert together("Invalid path: a: no\nb: no", ("a", "b")) == "Invalid path: a: no\nb: no"
