"""EnvoyFilters: patches on what has been generated."""
