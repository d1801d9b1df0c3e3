import pytest

from sockshop.front_end import cookie
from sockshop.front_end.session import MOST_LOGINS, Sessions


def test_the_signature_is_that_of_express_session():
    # Computed with openssl: printf %s ID | openssl dgst -sha256 -hmac 'sooper secret' -binary | base64
    session_id = "ZNUplZabcdefghijklmnopqrstXeofOZ"
    assert cookie.signature(session_id) == "I01x2plHrZMOXWfVM8yOhRTcxCRPT294LwlcoltQr7E"
    assert (
        cookie.header(session_id)
        == f"md.sid=s%3A{session_id}.I01x2plHrZMOXWfVM8yOhRTcxCRPT294LwlcoltQr7E; Path=/; HttpOnly"
    )


def test_a_cookie_is_read_back_and_any_change_refused():
    session_id = cookie.new_id(bytes(range(24)))
    assert len(session_id) == 32
    value = cookie.value(session_id)
    assert cookie.read(value) == session_id
    for wrong in (
        "",
        "s%3A",
        "s%3A.",
        "x",
        session_id,
        value[:-1],
        value.replace("s%3A", ""),
        "s%3Aother." + value[-43:],
    ):
        assert cookie.read(wrong) is None, wrong


def test_a_session_id_is_made_of_24_bytes():
    with pytest.raises(ValueError, match="24"):
        cookie.new_id(b"short")


def test_a_signed_id_from_another_replica_is_kept_without_its_login():
    here, there = Sessions(), Sessions()
    session_id, new = here.find({})
    assert new
    here.log_in(session_id, "c1")
    assert there.find({cookie.NAME: cookie.value(session_id)}) == (session_id, False)
    assert there.customer(session_id) is None
    assert here.customer(session_id) == "c1"


def test_logins_are_bounded_and_the_least_used_goes_first():
    sessions = Sessions()
    for number in range(MOST_LOGINS):
        sessions.log_in(str(number), "c")
    assert sessions.customer("0") == "c"
    sessions.log_in("one more", "c")
    assert sessions.customer("1") is None
    assert sessions.customer("0") == "c"
