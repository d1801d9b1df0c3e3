"""A document server that speaks MongoDB's wire protocol: as much of it as an application of this size uses."""
