"""The mesh's certificate authority.

`authority` signs: pure, of keys and times given to it. `keeper` finds or makes the authority's key in Secrets, `roots`
keeps its root certificate in every namespace. `desk` answers signing requests; `listening` has istiod's own certificate
and the TLS settings of its port.
"""
