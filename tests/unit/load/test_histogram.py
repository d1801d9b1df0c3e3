import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.load.histogram import ENDS, Histogram


def filled(values, **shape) -> Histogram:
    histogram = Histogram(**shape)
    histogram.fresh.extend(values)
    return histogram


def test_the_text_of_a_histogram_is_fortios() -> None:
    # Values from a run of fortio itself: five above 1 ms, three above 2 ms, and so on.
    values = [0.001227082, *[0.0015] * 4, *[0.0025] * 3, *[0.0035] * 5, *[0.0045] * 6, 0.005549728]
    out = io.StringIO()
    filled(values).summary((50, 75, 90, 99, 99.9)).print(out, "Aggregated Function Time")
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("Aggregated Function Time : count 20 avg 0.00323884")
    assert lines[1:] == [
        "# range, mid point, percentile, count",
        ">= 0.00122708 <= 0.002 , 0.00161354 , 25.00, 5",
        "> 0.002 <= 0.003 , 0.0025 , 40.00, 3",
        "> 0.003 <= 0.004 , 0.0035 , 65.00, 5",
        "> 0.004 <= 0.005 , 0.0045 , 95.00, 6",
        "> 0.005 <= 0.00554973 , 0.00527486 , 100.00, 1",
        "# target 50% 0.0034",
        "# target 75% 0.00433333",
        "# target 90% 0.00483333",
        "# target 99% 0.00543978",
        "# target 99.9% 0.00553873",
    ]


def test_the_line_of_a_counter_is_fortios() -> None:
    summary = filled([231.0] * 17 + [0.0] * 3).summary()
    assert summary.line("Response Header Sizes") == (
        "Response Header Sizes : count 20 avg 196.35 +/- 82.48 min 0 max 231 sum 3927"
    )
    assert Histogram().summary().line("Error cases") == "Error cases : count 0 avg 0 +/- 0 min 0 max 0 sum 0"
    out = io.StringIO()
    Histogram().summary((50,)).print(out, "Error cases")
    assert out.getvalue() == "Error cases : no data\n"


def test_a_value_on_a_border_belongs_to_the_lower_bucket() -> None:
    (only,) = filled([0.003, 0.003]).summary().buckets
    assert (only.start, only.end) == (0.003, 0.003)
    first, second = filled([0.0005, 0.001, 0.001001]).summary().buckets
    assert (first.count, second.count) == (2, 1)


def test_percentiles_at_the_ends() -> None:
    summary = filled([0.0005, 0.0015, 0.0025, 7.0]).summary((0, 25, 100, 150))
    assert [value for _, value in summary.percentiles] == [0.0005, 0.0005, 7.0, 7.0]


def test_sleeps_that_are_late_are_the_lowest_bucket() -> None:
    sleeps = filled([-0.05, -0.002, -0.0005, 0.01], offset=-0.001, resolution=0.001)
    assert sleeps.lowest == 0.5
    assert sleeps.summary().buckets[0].end == -0.001


def test_values_beyond_the_last_end_are_kept() -> None:
    summary = filled([0.5, 1000.0]).summary()
    assert summary.buckets[-1].start == 0.001 * ENDS[-1]
    assert summary.buckets[-1].end == 1000.0


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=200), st.sampled_from([0.001, 0.0001, 0.01]))
def test_folding_many_values_is_adding_each(values, resolution) -> None:
    seconds = [value / 1e9 for value in values]
    one_by_one = Histogram(resolution=resolution)
    for value in seconds:
        one_by_one.add(value)
    folded, single = filled(seconds, resolution=resolution).summary((50, 99)), one_by_one.summary((50, 99))
    assert [bucket.count for bucket in folded.buckets] == [bucket.count for bucket in single.buckets]
    assert folded.total == pytest.approx(single.total)
    assert dict(folded.percentiles) == pytest.approx(dict(single.percentiles))


def test_merging_is_adding_all() -> None:
    merged = Histogram().merge([filled([0.001, 0.002]), filled([0.5]), Histogram()]).summary()
    assert (merged.count, merged.minimum, merged.maximum) == (3, 0.001, 0.5)


def test_long_runs_do_not_keep_every_value() -> None:
    histogram = filled([0.001] * 70_000)
    histogram.tidy()
    assert not histogram.fresh
    assert histogram.summary().count == 70_000


def test_the_outer_borders_are_the_least_and_the_most_to_the_digit() -> None:
    values = Histogram(resolution=0.001)
    for value in (0.0006922430002305191, 0.0015, 0.004931014000248979):
        values.add(value)
    found = values.summary((100,))
    assert (
        (found.buckets[0].start, found.buckets[-1].end) == (found.minimum, found.maximum) == (0.000692243, 0.004931014)
    )
    assert found.percentiles == ((100, found.maximum),)
