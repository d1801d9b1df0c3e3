"""Bookinfo, written anew: programs that answer on the wire as Istio's sample does, and those its lessons use beside it.

Nothing here knows of a mesh. Each module with a `main` is one service and runs as `python -m bookinfo.NAME`.
"""
