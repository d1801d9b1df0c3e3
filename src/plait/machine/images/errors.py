"""What can go wrong with layers of Debian packages."""

from __future__ import annotations


class LayerError(Exception):
    """A layer cannot be made; says which package, what apt said, and what to do."""
