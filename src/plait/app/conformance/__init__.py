"""Conformance cases, answered by the functions that serve users: one module a set."""
