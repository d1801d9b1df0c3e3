"""No input, however strange, breaks validation or keeps it busy. PLAIT_FUZZ=1000000 makes it a longer search."""

from __future__ import annotations

import json
import os
import random
import string
import time

import pytest

from plait.app.objects.validate import Validator, findings_of_text, validator

from .generated import Generator

COUNT = int(os.environ.get("PLAIT_FUZZ") or 10_000)
SEED = int(os.environ.get("PLAIT_FUZZ_SEED") or (random.SystemRandom().randrange(2**32) if COUNT > 10_000 else 1))
#: Seconds of this process's CPU that nothing may take: a bound against hanging, a thousand times what is usual.
HANGING = 5.0


@pytest.fixture(scope="module")
def checker() -> Validator:
    return validator()


@pytest.mark.timeout(0)
def test_objects_of_any_shape_are_told_what_is_wrong(checker: Validator) -> None:
    generator = Generator(checker.schemas, SEED)
    accepted = 0
    for number in range(COUNT):
        obj = generator.object()
        begun = time.process_time()
        try:
            found = list(checker.check(obj))
        except Exception as error:
            error.add_note(f"PLAIT_FUZZ_SEED={SEED}, object {number}: {json.dumps(obj)}")
            raise
        assert time.process_time() - begun < HANGING, f"seed {SEED}, object {number}: {json.dumps(obj)}"
        accepted += not any(each.is_error for each in found)
        assert all(str(each) for each in found)
    assert 0 < accepted < COUNT, "some are fine and some are not"


@pytest.mark.timeout(0)
def test_texts_of_any_kind_are_read_or_refused(checker: Validator) -> None:
    chance = random.Random(SEED)
    generator = Generator(checker.schemas, SEED + 1)
    pieces = (
        "---\n", "a: b\n", "- ", "  ", "{", "}", "[", "]", '"', "'", "&x ", "*x", "<<: ", "!!int ", "|\n", ">\n", "#",
        "\t", "? ", ": ", "%", "@", "\x00", "\u2028", "\ufeff", "2001:db8::", "0o7", "1_000", ".inf", "~",
        "kind: List\nitems:\n", "\r",
    )  # fmt: skip
    for number in range(COUNT // 10):
        if chance.random() < 0.5:
            text = "".join(chance.choice(pieces) for _ in range(chance.randrange(1, 40)))
        else:
            text = json.dumps(generator.object(), indent=chance.choice((None, 1)))
            for _ in range(chance.randrange(1, 5)):
                at = chance.randrange(len(text) + 1)
                text = (
                    text[:at]
                    + chance.choice((*pieces, *string.printable[:40]))
                    + text[at + chance.choice((0, 0, 1, 5)) :]
                )
        begun = time.process_time()
        try:
            found = findings_of_text(checker, text, file="f")
        except Exception as error:
            error.add_note(f"PLAIT_FUZZ_SEED={SEED}, text {number}: {text!r}")
            raise
        assert time.process_time() - begun < HANGING, f"seed {SEED}, text {number}: {text!r}"
        assert all(str(each) for each in found)
