"""Draws the shop's pictures. Run once by hand (`python -m sockshop.art`, needs Pillow); the files it makes are kept with the source."""
