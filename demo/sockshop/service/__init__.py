"""What every HTTP service of the shop does alike: listen and stop, measure requests, say what it did."""
