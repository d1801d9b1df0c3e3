"""The Sock Shop, written anew: programs that answer on the wire as the original services do.

Nothing here knows of a mesh. Each sub-package with a `__main__` is one service and runs as `python -m sockshop.NAME`.
"""
