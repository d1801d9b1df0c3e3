"""Regular expressions as RE2 reads them (Envoy's engine): whether a pattern would be taken, and if not, why.

A wrong pattern in one object would make Envoy refuse the whole route configuration, so it has to be found before.
The grammar is RE2's published syntax; Python's own parser differs from it in both directions.
"""

from __future__ import annotations

import re
from typing import Final

_MAX_REPEAT: Final = 1000
_ESCAPES: Final = frozenset("aftnrvdDsSwWbBAzCQEpPx01234567")
_CLASS_NAMES: Final = frozenset(
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word"]
) | {"xdigit"}
#: Unicode's general categories and the scripts in daily use. RE2 knows more scripts; asking for one is refused here.
_UNICODE_CLASSES: Final = frozenset(
    re.split(
        r"\s+",
        """Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs
        Arabic Armenian Bengali Cherokee Common Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Han Hangul
        Hebrew Hiragana Inherited Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Sinhala Syriac Tamil
        Telugu Thaana Thai Tibetan""",
    )
)
_QUANTIFIERS: Final = "*+?"


class _BadPatternError(Exception):
    pass


class _Pattern:
    """A recursive-descent reader of one pattern; keeps only what is needed to accept or refuse."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.names: set[str] = set()

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def starts(self, *prefixes: str) -> bool:
        return self.text.startswith(prefixes, self.at)

    def alternatives(self, depth: int) -> int:
        """Read to the end of the group; how often the innermost thing in it is repeated at most."""
        if depth > 200:
            raise _BadPatternError("groups are nested too deeply")
        most = 1
        while (mark := self.peek()) and mark != ")":
            if mark == "|":
                self.at += 1
            else:
                most = max(most, self.repeated(depth))
        return most

    def repeated(self, depth: int) -> int:
        start = self.at
        if self.peek() in _QUANTIFIERS:
            raise _BadPatternError(f"nothing to repeat before {self.peek()!r}")
        times = self.atom(depth)
        quantified = False
        while True:
            mark = self.peek()
            if mark and mark in _QUANTIFIERS:
                self.at += 1
            elif mark == "{" and (count := self.counted()) is not None:
                times *= max(count, 1)
            else:
                return times
            if not times:
                raise _BadPatternError(f"nothing to repeat before {mark!r}")
            if times > _MAX_REPEAT:
                raise _BadPatternError(
                    f"repetitions multiply to more than {_MAX_REPEAT}: {self.text[start : self.at]!r}"
                )
            if quantified:
                raise _BadPatternError(f"a repetition of a repetition: {self.text[start : self.at]!r}")
            quantified = True
            if self.peek() == "?":
                self.at += 1

    def counted(self) -> int | None:
        """Read `{n}`, `{n,}` or `{n,m}` and answer the greater number; anything else is literal text, as in RE2."""
        end = self.text.find("}", self.at)
        body = self.text[self.at + 1 : end] if end > 0 else ""
        low, comma, high = body.partition(",")
        if not (low.isascii() and low.isdigit()) or (high and not (high.isascii() and high.isdigit())):
            return None
        numbers = [int(low), int(high)] if comma and high else [int(low)]
        if max(numbers) > _MAX_REPEAT or numbers != sorted(numbers):
            raise _BadPatternError(f"bad repetition {{{body}}}: at most {_MAX_REPEAT}, the smaller number first")
        self.at = end + 1
        return numbers[-1]

    def atom(self, depth: int) -> int:
        """Read what a repetition repeats; 0: it is nothing."""
        mark = self.peek()
        if mark == "(":
            return self.group(depth)
        if mark == "[":
            self.char_class()
        elif mark == "\\":
            empty = self.starts("\\Q\\E")
            self.escape(in_class=False)
            return 0 if empty else 1
        else:
            self.at += 1
        return 1

    def group(self, depth: int) -> int:
        self.at += 1
        if self.starts("?"):
            if self.starts("?P<") or (self.starts("?<") and not self.starts("?<=", "?<!")):
                self.group_name()
            elif not self.flags():
                return 0
        most = self.alternatives(depth + 1)
        if self.peek() != ")":
            raise _BadPatternError("missing )")
        self.at += 1
        return most

    def group_name(self) -> None:
        start = self.text.index("<", self.at) + 1
        end = self.text.find(">", start)
        name = self.text[start:end] if end > 0 else ""
        if not name or not all(c.isascii() and (c.isalnum() or c == "_") for c in name):
            raise _BadPatternError("bad name of a group")
        if name in self.names:
            raise _BadPatternError(f"two groups are named {name!r}")
        self.names.add(name)
        self.at = end + 1

    def flags(self) -> bool:
        """Read `(?i)` or `(?i:`; True when a group's content follows."""
        start = self.at
        self.at += 1
        while self.peek() and self.peek() in "imsU-":
            self.at += 1
        mark, letters = self.peek(), self.text[start + 1 : self.at]
        if mark not in {":", ")"} or (mark == ")" and not letters) or letters.endswith("-") or letters.count("-") > 1:
            sample = self.text[start - 1 : start + 3]
            raise _BadPatternError(f"{sample!r}: RE2 has no look-ahead, look-behind or back-reference")
        self.at += 1
        return mark == ":"

    def escape(self, *, in_class: bool) -> None:
        letter = self.text[self.at + 1 : self.at + 2]
        if not letter:
            raise _BadPatternError("a backslash at the end")
        self.at += 2
        if letter in "pP":
            self.unicode_class()
        elif letter == "x":
            self.hexadecimal()
        elif letter == "Q" and not in_class:
            end = self.text.find("\\E", self.at)
            self.at = end + 2 if end >= 0 else len(self.text)
        elif letter in "123456789" and not (letter < "8" and self.peek() and self.peek() in "01234567"):
            raise _BadPatternError(f"\\{letter}: RE2 has no back-references")
        elif (in_class and letter in "bBAzCQE") or (letter.isascii() and letter.isalnum() and letter not in _ESCAPES):
            raise _BadPatternError(f"bad escape \\{letter}")

    def unicode_class(self) -> None:
        if self.peek() != "{":
            name = self.peek()
            self.at += 1
        else:
            end = self.text.find("}", self.at)
            name = self.text[self.at + 1 : end].removeprefix("^") if end > 0 else ""
            self.at = end + 1
        if name not in _UNICODE_CLASSES:
            raise _BadPatternError(f"unknown class of characters \\p{{{name}}}")

    def hexadecimal(self) -> None:
        if self.peek() == "{":
            end = self.text.find("}", self.at)
            digits = self.text[self.at + 1 : end] if end > 0 else ""
            self.at = end + 1
        else:
            digits = self.text[self.at : self.at + 2]
            self.at += 2
            if len(digits) != 2:
                digits = ""
        if not digits or len(digits) > 8 or any(d not in "0123456789abcdefABCDEF" for d in digits):
            raise _BadPatternError("bad hexadecimal escape")
        if int(digits, 16) > 0xFF:
            # Envoy compiles for bytes, not for code points.
            raise _BadPatternError(r"only \x00 to \xFF can be written by number")

    def char_class(self) -> None:
        self.at += 1
        if self.peek() == "^":
            self.at += 1
        first = True
        while first or self.peek() != "]":
            if not self.peek():
                raise _BadPatternError("missing ]")
            first = False
            if self.starts("[:"):
                self.named_class()
                continue
            low = self.class_char()
            if self.starts("-") and not self.starts("-]") and low is not None:
                self.at += 1
                if not self.peek():
                    raise _BadPatternError("missing ]")
                high = self.class_char()
                if high is not None and high < low:
                    raise _BadPatternError(f"bad range {low}-{high}")
        self.at += 1

    def named_class(self) -> None:
        end = self.text.find(":]", self.at)
        if end < 0:
            self.at += 1
            return
        name = self.text[self.at + 2 : end].removeprefix("^")
        if name not in _CLASS_NAMES:
            raise _BadPatternError(f"unknown character class [:{name}:]")
        self.at = end + 2

    def class_char(self) -> str | None:
        """One member of a class; None for an escape, whose place in a range is not judged."""
        mark = self.peek()
        if mark == "\\":
            self.escape(in_class=True)
            return None
        self.at += 1
        return mark


def regex_error(pattern: str) -> str | None:
    """Why RE2 would refuse `pattern`, or None."""
    if len(pattern) > 1024:
        # Istio's own limit for user patterns; Envoy warns about programs that grow beyond their limit.
        return f"{len(pattern)} characters; at most 1024"
    reader = _Pattern(pattern)
    try:
        reader.alternatives(0)
        if reader.at < len(pattern):
            return "unexpected )"
    except _BadPatternError as error:
        return str(error)
    return None
