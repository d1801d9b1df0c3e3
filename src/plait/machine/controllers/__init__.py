"""The machine's controllers: they write the objects that follow from other objects.

Each is a pure plan over what a shared cache knows, and a thin shell that carries the plan out. They are driven by
changes alone: an object changes, the keys that depend on it are queued, each key is reconciled.
`run.run` starts them all.
"""
