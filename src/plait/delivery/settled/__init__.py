"""Settled: which objects are in effect at every proxy they concern, found out and written into their status.

verdict     how far an object is, as a value
roll        the proxies: their views, and what each has acknowledged and proved
ledger      which object is how far at the proxies of the roll: bookkeeping, as the roll without clock or I/O
probe       the listener and route through which a proxy is asked
prober      asks
status      what the ledger knows of an object, as conditions
writer      writes them through the Kubernetes API
settling    the parts as one, beside the builder
"""
