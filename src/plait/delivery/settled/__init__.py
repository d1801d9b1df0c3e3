"""Settled: which objects are in effect at every proxy they concern, found out and written into their status.

ledger      who has acknowledged, probed and refused what: bookkeeping, without clock or I/O
probe       the listener and route through which a proxy is asked
prober      asks
status      what the ledger knows of an object, as conditions
writer      writes them through the Kubernetes API
settling    the parts as one, beside the builder
"""
