"""Regular expressions as RE2 reads them (Envoy's engine): whether a pattern would be taken, and if not, why.

A wrong pattern in one object would make Envoy refuse the whole route configuration, so it has to be found before.
The grammar is RE2's published syntax; Python's own parser differs from it in both directions.
"""

from __future__ import annotations

from typing import Final

_MAX_REPEAT: Final = 1000
_ESCAPES: Final = frozenset("aftnrvdDsSwWbBAzCQEpPx01234567")
_CLASS_NAMES: Final = frozenset(
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word"]
) | {"xdigit"}
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

    def alternatives(self, depth: int) -> None:
        if depth > 200:
            raise _BadPatternError("groups are nested too deeply")
        while (mark := self.peek()) and mark != ")":
            if mark == "|":
                self.at += 1
            else:
                self.repeated(depth)

    def repeated(self, depth: int) -> None:
        start = self.at
        if self.peek() in _QUANTIFIERS:
            raise _BadPatternError(f"nothing to repeat before {self.peek()!r}")
        self.atom(depth)
        quantified = False
        while True:
            mark = self.peek()
            if mark and mark in _QUANTIFIERS:
                self.at += 1
            elif not (mark == "{" and self.counted()):
                return
            if quantified:
                raise _BadPatternError(f"a repetition of a repetition: {self.text[start : self.at]!r}")
            quantified = True
            if self.peek() == "?":
                self.at += 1

    def counted(self) -> bool:
        """Read `{n}`, `{n,}` or `{n,m}`; anything else is literal text, as in RE2."""
        end = self.text.find("}", self.at)
        body = self.text[self.at + 1 : end] if end > 0 else ""
        low, comma, high = body.partition(",")
        if not (low.isascii() and low.isdigit()) or (high and not (high.isascii() and high.isdigit())):
            return False
        numbers = [int(low), int(high)] if comma and high else [int(low)]
        if max(numbers) > _MAX_REPEAT or numbers != sorted(numbers):
            raise _BadPatternError(f"bad repetition {{{body}}}: at most {_MAX_REPEAT}, the smaller number first")
        self.at = end + 1
        return True

    def atom(self, depth: int) -> None:
        mark = self.peek()
        if mark == "(":
            self.group(depth)
        elif mark == "[":
            self.char_class()
        elif mark == "\\":
            self.escape(in_class=False)
        else:
            self.at += 1

    def group(self, depth: int) -> None:
        self.at += 1
        if self.starts("?"):
            if self.starts("?P<") or (self.starts("?<") and not self.starts("?<=", "?<!")):
                self.group_name()
            elif not self.flags():
                return
        self.alternatives(depth + 1)
        if self.peek() != ")":
            raise _BadPatternError("missing )")
        self.at += 1

    def group_name(self) -> None:
        start = self.text.index("<", self.at) + 1
        end = self.text.find(">", start)
        name = self.text[start:end] if end > 0 else ""
        if not name or not all(c.isalnum() or c == "_" for c in name):
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
        mark = self.peek()
        if mark not in {":", ")"} or (mark == ")" and self.at == start + 1) or self.text[self.at - 1] == "-":
            sample = self.text[start - 1 : start + 3]
            raise _BadPatternError(
                f"{sample!r} is not known to RE2 (it has no look-ahead, look-behind or back-reference)"
            )
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
            if not self.peek().isalpha():
                raise _BadPatternError("bad name of a character class after \\p")
            self.at += 1
            return
        end = self.text.find("}", self.at)
        if end < 0 or not self.text[self.at + 1 : end].removeprefix("^").replace("_", "").isalnum():
            raise _BadPatternError("bad name of a character class after \\p")
        self.at = end + 1

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
        if not digits or len(digits) > 6 or any(d not in "0123456789abcdefABCDEF" for d in digits):
            raise _BadPatternError("bad hexadecimal escape")
        if int(digits, 16) > 0x10FFFF:
            raise _BadPatternError("a code point beyond 10FFFF")

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
