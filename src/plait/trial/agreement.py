"""What a scratch Envoy would be seen to do if the simulator is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from plait.simulate.call import Call, Outcome
from plait.simulate.configuration import Configuration
from plait.simulate.simulate import simulate
from plait.trial.trial import Place

#: Ends of a connection before anything could be answered on it.
_REFUSED: Final = frozenset({"no listener", "no filter chain", "multiple filter chains", "invalid tls", "invalid mtls"})
#: A little behind the mark where another share begins.
_BEYOND: Final = 1e-9


def expected(configuration: Configuration, call: Call, *, gateway: bool = False) -> list[Place]:
    """All that a call may be seen to become: one place, or one for each way in which dice can fall."""

    def with_dice(at: float) -> Outcome:
        return simulate(configuration, replace(call, dice=at), gateway=gateway)

    first = with_dice(0.0)
    missed = first.fault[1]
    marks, at = [0.0], 0.0
    if missed < 1:
        for _, share in with_dice(missed).shares or (("", 1.0),):
            marks.append(missed + at * (1 - missed) + _BEYOND)
            at += share
    return [seen(with_dice(mark), call) for mark in marks]


def seen(met: Outcome, call: Call) -> Place:
    """One outcome in the trial's words."""
    if met.error in _REFUSED:
        return Place()
    arrived = Place(listener=met.listener, filter_chain=met.filter_chain)
    if met.error == "protocol error":
        return replace(arrived, status=400)
    if not met.route_configuration:
        if met.denied is not None:
            # Closed at its first bytes, before anything could be said.
            return Place()
        return replace(arrived, cluster=met.cluster)
    # gRPC tells its own status in a header.
    status = 200 if met.status and _is_grpc(call) else met.status
    if met.route_number is None:
        return replace(arrived, status=status, location=met.redirect)
    return replace(
        arrived,
        route_configuration=met.route_configuration,
        virtual_host=met.virtual_host,
        route=met.route_number,
        cluster=met.cluster if not met.status else "",
        status=status,
        location=met.redirect,
        host=met.host if not met.status else "",
        path=met.path if not met.status else "",
    )


def _is_grpc(call: Call) -> bool:
    kind = ",".join(call.headers.get("content-type", ()))
    return kind == "application/grpc" or kind.startswith("application/grpc+")
