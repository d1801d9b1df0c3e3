"""What is wrong between objects: references that lead nowhere, and rules that cannot act. All of it is accepted.

Seen as a caller in the object's own namespace sees it. Nothing here changes what is generated.
"""

from __future__ import annotations

from plait.api.destinationrule import DestinationRule
from plait.api.gateway import Gateway
from plait.api.meta import ObjectKey
from plait.api.problem import Problem
from plait.api.virtualservice import VirtualService
from plait.mesh.check_destinations import RulesOf, check_destination_rule
from plait.mesh.check_gateways import check_gateway
from plait.mesh.check_routes import check_virtual_service
from plait.snapshot.reader import Reader


def check(reader: Reader, key: ObjectKey, rules_of: RulesOf) -> tuple[Problem, ...]:
    """The problems of one object with the others."""
    match reader.object(key):
        case VirtualService() as rule:
            return tuple(check_virtual_service(reader, key, rule, rules_of))
        case DestinationRule() as rule:
            return tuple(check_destination_rule(reader, key, rule, rules_of))
        case Gateway() as gateway:
            return tuple(check_gateway(reader, key, gateway))
    return ()
