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
