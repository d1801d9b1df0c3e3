import pytest

from sockshop.catalogue import page

NINE = list("abcdefghi")


@pytest.mark.parametrize(
    ("number", "size", "expected"),
    [
        (1, 10, NINE),
        (1, 3, ["a", "b", "c"]),
        (3, 4, ["i"]),
        (2, 10, []),
        (99, 3, []),
        (0, 3, []),
        (1, 0, []),
        (4, 3, []),
    ],
)
def test_a_page_is_counted_from_one_and_ends_with_the_list(number, size, expected):
    assert page.cut(NINE, number, size) == expected


@pytest.mark.parametrize(("number", "size"), [(-1, 10), (-1, 3), (1, -1), (2, -5), (2**63 - 1, 10)])
def test_a_page_before_the_list_is_out_of_range(number, size):
    with pytest.raises(page.OutOfRangeError):
        page.cut(NINE, number, size)


def test_no_match_at_all_is_null_but_only_on_a_page_that_would_begin_there():
    assert page.cut([], 1, 10) is None
    assert page.cut([], 2, 10) == []
    assert page.cut([], 0, 10) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, 7),
        ("", 7),
        ("5", 5),
        ("+5", 5),
        ("-5", -5),
        ("005", 5),
        ("x", 0),
        ("5x", 0),
        (" 5", 0),
        ("1_0", 0),
        ("٣", 0),
        ("1.0", 0),
        ("9" * 30, 2**63 - 1),
        ("-" + "9" * 30, -(2**63)),
    ],
)
def test_numbers_are_read_as_go_reads_them(text, expected):
    assert page.number(text, 7) == expected
