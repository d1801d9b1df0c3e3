"""Endpoints: the older form of EndpointSlices, made of them when somebody asks, and turned into them when written.

kubectl before 1.31 describes a Service by its Endpoints, people type `kubectl get endpoints`, and manifests of Services
without a selector bring theirs. Nothing here needs them, so they are not stored: a Service's change is written once, in
its slices. Who watches them is told of those.
"""
