"""Regular expressions as RE2 reads them (Envoy's engine) and Go (Istio's): whether both would take one; if not, why.

A wrong pattern in one object would make Envoy refuse the whole route configuration, so it has to be found before.
The grammar is RE2's published syntax; Python's own parser differs from it in both directions.
"""

from __future__ import annotations

import re
from typing import Final

_MAX_REPEAT: Final = 1000
_ESCAPES: Final = frozenset("aftnrvdDsSwWbBAzQpPx01234567")
#: Escapes for characters of a kind, and for places.
_MORE_OR_LESS: Final = frozenset("dDsSwWbBAz")
_CONTROLS: Final = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_CLASS_NAMES: Final = frozenset(
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word"]
) | {"xdigit"}
#: Unicode's general categories and scripts.
_UNICODE_CLASSES: Final = frozenset(
    re.split(
        r"\s+",
        """Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs
        Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki
        Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee
        Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra
        Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati
        Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited
        Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi
        Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian
        Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui
        Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari
        Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic
        Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage
        Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan
        Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri
        Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan
        Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Zanabazar_Square Yi""",
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
        most, before = 1, 0
        while (mark := self.peek()) and mark != ")":
            if mark == "|":
                self.at += 1
                before = 0
            else:
                before = self.repeated(depth, before)
                most = max(most, before)
        return most

    def repeated(self, depth: int, before: int) -> int:
        """Read one thing and how often it is repeated; `before` says that of the thing before it, 0: there is none."""
        start = self.at
        if (mark := self.peek()) in _QUANTIFIERS or (mark == "{" and self.counted() is not None):
            raise _BadPatternError(f"nothing to repeat before {mark!r}")
        # Of nothing, such as flags, what stands before it is repeated.
        times = self.atom(depth) or before
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
        if mark not in {":", ")"} or letters.endswith("-") or letters.count("-") > 1:
            sample = self.text[start - 1 : start + 3]
            raise _BadPatternError(f"{sample!r}: RE2 has no look-ahead, look-behind or back-reference")
        self.at += 1
        return mark == ":"

    def escape(self, *, in_class: bool) -> str | None:
        """Read an escape; the character that it means, or None for one that means more or less than a character."""
        letter = self.text[self.at + 1 : self.at + 2]
        if not letter:
            raise _BadPatternError("a backslash at the end")
        self.at += 2
        if letter in "pP":
            self.unicode_class()
            return None
        if letter == "x":
            return self.hexadecimal()
        if letter == "Q" and not in_class:
            end = self.text.find("\\E", self.at)
            self.at = end + 2 if end >= 0 else len(self.text)
            return None
        if letter in "01234567":
            return self.octal(letter)
        if (in_class and letter in "bBAzQ") or not letter.isascii() or (letter.isalnum() and letter not in _ESCAPES):
            raise _BadPatternError(f"bad escape \\{letter}")
        return None if letter in _MORE_OR_LESS else _CONTROLS.get(letter, letter)

    def octal(self, first: str) -> str:
        digits = first
        while len(digits) < 3 and self.peek() and self.peek() in "01234567":
            digits += self.peek()
            self.at += 1
        if first != "0" and len(digits) == 1:
            raise _BadPatternError(f"\\{first}: RE2 has no back-references")
        if int(digits, 8) > 0xFF:
            raise _BadPatternError(r"only \000 to \377 can be written by number")
        return chr(int(digits, 8))

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

    def hexadecimal(self) -> str:
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
        return chr(int(digits, 16))

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
                if high is None or high < low:
                    raise _BadPatternError(f"bad range {low}-{high or 'class'}")
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
        """One member of a class; None for an escape that is a class itself."""
        mark = self.peek()
        if mark == "\\":
            return self.escape(in_class=True)
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
