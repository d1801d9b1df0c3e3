"""plait: a service mesh whose every change is tested before, verified during and explained after."""

__version__ = "0.1.0"
