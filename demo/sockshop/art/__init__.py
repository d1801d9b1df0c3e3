"""Draws the shop's pictures.

Run by hand (`python -m sockshop.art`, needs Pillow); the files that it makes are kept with the source.
"""
