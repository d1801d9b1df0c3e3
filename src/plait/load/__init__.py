"""The load generator: fortio's flags, text and JSON on an engine of our own.

Nothing here imports more than the standard library: pods start it with every `fortio` they run.
"""
