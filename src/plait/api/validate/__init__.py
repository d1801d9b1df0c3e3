"""What Istio demands of objects beyond their schema: one module a kind, each a function from a spec to findings."""
