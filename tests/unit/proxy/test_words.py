"""Of Envoy's words the reason is kept and the printed resource is not."""

import pytest

from plait.proxy.words import reason

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
