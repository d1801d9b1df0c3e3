"""Service account tokens, and a clock that is set."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from plait.machine.api.auth.tokens import BadTokenError, TokenIssuer


def test_a_token_from_the_future_is_one_of_ours_all_the_same():
    """It was made before the clock was set back; refusing it would shut plait's own processes out."""
    clock = [1_000_000.0]
    issuer = TokenIssuer(ec.generate_private_key(ec.SECP256R1()), clock=lambda: clock[0])
    token, _ = issuer.issue(
        namespace="shop", account={"name": "web", "uid": "u"}, pod=None, audiences=("api",), seconds=3600
    )
    clock[0] -= 7 * 24 * 3600
    assert issuer.verify(token).sub == "system:serviceaccount:shop:web"
    clock[0] = 1_000_000.0 + 3700
    with pytest.raises(BadTokenError, match="expired"):
        issuer.verify(token)


def test_a_token_holds_until_its_end_and_a_moment_longer():
    """Clocks of callers are not quite ours."""
    clock = [1_000_000.0]
    issuer = TokenIssuer(ec.generate_private_key(ec.SECP256R1()), clock=lambda: clock[0])
    token, end = issuer.issue(
        namespace="shop", account={"name": "web", "uid": "u"}, pod=None, audiences=("api",), seconds=3600
    )
    for now in (end - 1, end + 5):
        clock[0] = now
        assert issuer.verify(token)
    clock[0] = end + 15
    with pytest.raises(BadTokenError, match="expired"):
        issuer.verify(token)


def test_a_token_of_another_key_or_issuer_is_none_of_ours(monkeypatch):
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = TokenIssuer(key, clock=lambda: 1_000_000.0)
    of = {"namespace": "shop", "account": {"name": "web", "uid": "u"}, "pod": None, "audiences": ("api",)}
    token, _ = TokenIssuer(other, clock=lambda: 1_000_000.0).issue(**of, seconds=3600)
    with pytest.raises(BadTokenError, match="not issued by this API server"):
        issuer.verify(token)
    header, claims, _ = issuer.issue(**of, seconds=3600)[0].split(".")
    with pytest.raises(BadTokenError, match="signature does not fit"):
        issuer.verify(f"{header}.{claims}.{token.rpartition('.')[2]}")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("plait.machine.api.auth.tokens.ISSUER", "https://another.example")
        foreign, _ = issuer.issue(**of, seconds=3600)
    with pytest.raises(BadTokenError, match="of another issuer"):
        issuer.verify(foreign)
