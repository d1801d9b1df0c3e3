import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockshop.service import gojson
from sockshop.service.gojson import Float32, encode


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (99.99, "99.99"),
        (18.0, "18"),
        (17.32, "17.32"),
        (7.99, "7.99"),
        (0.0, "0"),
        (0.1, "0.1"),
        (16777216.0, "16777216"),
        (1e10, "10000000000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e22, "1.5e+22"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.17549435e-38, "1.1754944e-38"),
        (-2.5, "-2.5"),
    ],
)
def test_float32_takes_its_shortest_form(value, text):
    assert gojson.shortest_float32(value) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_shortest_form_reads_back_as_the_same_float32(value):
    text = gojson.shortest_float32(value)
    assert struct.pack("<f", float(text)) == struct.pack("<f", value)
    json.loads(text)


def test_keys_keep_their_order_and_html_is_escaped():
    assert encode({"b": '<a href="x">&\u2028é', "a": None, "c": [True, 1, Float32(1.5)]}) == (
        '{"b":"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028é","a":null,"c":[true,1,1.5]}\n'.encode()
    )


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError, match="no number"):
        encode(Float32(float("inf")))
