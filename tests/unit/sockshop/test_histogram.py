from sockshop.service.histogram import SERIES_LIMIT, Histogram


def test_buckets_are_cumulative_and_labels_escaped():
    histogram = Histogram(name="d", help="h", labels=("route",), fixed={"service": "x"})
    histogram.observe(('a"b\\c\n',), 0.005)
    histogram.observe(('a"b\\c\n',), 0.3)
    histogram.observe(('a"b\\c\n',), 99)
    text = histogram.text()
    series = r'service="x",route="a\"b\\c\n"'
    assert "# TYPE d histogram" in text
    assert f'd_bucket{{{series},le="0.005"}} 1\n' in text
    assert f'd_bucket{{{series},le="0.5"}} 2\n' in text
    assert f'd_bucket{{{series},le="10"}} 2\n' in text
    assert f'd_bucket{{{series},le="+Inf"}} 3\n' in text
    assert f"d_count{{{series}}} 3\n" in text


def test_paths_made_up_by_callers_do_not_fill_the_memory():
    histogram = Histogram(name="d", help="h", labels=("route",))
    for number in range(SERIES_LIMIT + 50):
        histogram.observe((f"/{number}",), 0.1)
    assert histogram.text().count("d_count") == SERIES_LIMIT + 1
    assert 'd_count{route="other"} 50' in histogram.text()
