"""Every message an analysis can give: code, name, level and text.

Codes and names of Istio's messages are Istio's, so that suppressions, dashboards and habits carry over; the texts are
ours. Codes that begin with PLT are what Istio cannot say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from plait.api.problem import Level


class Merge(Enum):
    """Which findings about one object are told as one."""

    NEVER = "never"
    SAME_TEXT = "same text"
    SAME_CODE = "same code"


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of finding. `text` is a template: its fields are filled in by the analyzer that reports it.

    `merge` says when several findings about one object are told as one, with all their places: as Istio does, if
    they would read the same there. `unreported` is why a message that has its number in Istio cannot arise here.
    """

    code: str
    name: str
    level: Level
    text: str
    unreported: str = ""
    merge: Merge = Merge.NEVER

    @property
    def order(self) -> tuple[int, str]:
        """Sort key: the worst first, then by code."""
        return LEVELS.index(self.level), self.code


#: The worst first.
LEVELS: Final = (Level.ERROR, Level.WARNING, Level.INFO)

_E, _W, _I = Level.ERROR, Level.WARNING, Level.INFO
_NO_KUBERNETES: Final = "it is about installing Istio on a Kubernetes cluster"


INTERNAL_ERROR = Message("IST0001", "InternalError", _E, "the analysis itself failed: {detail}")
DEPRECATED = Message("IST0002", "Deprecated", _W, "{detail}", merge=Merge.SAME_CODE)
REFERENCE_NOT_FOUND = Message("IST0101", "ReferencedResourceNotFound", _E, "{detail}")
NAMESPACE_NOT_INJECTED = Message(
    "IST0102", "NamespaceNotInjected", _I, "pods of namespace {namespace} get no sidecar: it has no injection label"
)
POD_MISSING_PROXY = Message(
    "IST0103", "PodMissingProxy", _W, "pod {pod} has no sidecar, though its namespace wants one"
)
SCHEMA_ERROR = Message("IST0106", "SchemaValidationError", _E, "{detail}")
MISPLACED_ANNOTATION = Message(
    "IST0107", "MisplacedAnnotation", _W, "annotation {annotation} has no meaning on a {kind}: it belongs on {places}"
)
UNKNOWN_ANNOTATION = Message("IST0108", "UnknownAnnotation", _W, "no kind of object knows annotation {annotation}")
CONFLICTING_MESH_HOSTS = Message(
    "IST0109",
    "ConflictingMeshGatewayVirtualServiceHosts",
    _E,
    "VirtualServices {rules} are all for {host} in sidecars, which use only one: {holds}",
)
CONFLICTING_SIDECARS = Message(
    "IST0110",
    "ConflictingSidecarWorkloadSelectors",
    _E,
    "Sidecars {sidecars} of namespace {namespace} all select pod {pod}: only one of them can hold",
)
MULTIPLE_SIDECARS = Message(
    "IST0111",
    "MultipleSidecarsWithoutWorkloadSelectors",
    _E,
    "Sidecars {sidecars} of namespace {namespace} all hold for the whole namespace: only one of them can",
)
PORT_REQUIRED = Message(
    "IST0112",
    "VirtualServiceDestinationPortSelectorRequired",
    _E,
    "{host} has several ports ({ports}) and none is chosen: the port that was called is used",
)
MULTIPLE_PROTOCOLS = Message(
    "IST0116",
    "DeploymentAssociatedToMultipleServices",
    _W,
    "Services {services} use port {port} of Deployment {deployment} with different protocols",
)
PORT_NAME = Message(
    "IST0118",
    "PortNameIsNotUnderNamingConvention",
    _I,
    "{name!r} does not say what port {port} speaks, so the first bytes decide",
)
MULTIPLE_INJECTION_LABELS = Message(
    "IST0123",
    "NamespaceMultipleInjectionLabels",
    _W,
    "the namespace carries labels that contradict each other: {labels}",
)
INVALID_ANNOTATION = Message("IST0125", "InvalidAnnotation", _W, "annotation {annotation}: {detail}")
UNKNOWN_REGISTRY = Message(
    "IST0126",
    "UnknownMeshNetworksServiceRegistry",
    _E,
    "network {network} names registry {registry}, which nobody knows",
)
NO_MATCHING_WORKLOADS = Message(
    "IST0127", "NoMatchingWorkloadsFound", _W, "no pod with a sidecar is selected by {labels}: it has no effect"
)
NO_VERIFICATION = Message(
    "IST0128",
    "NoServerCertificateVerificationDestinationLevel",
    _W,
    "tls mode {mode} for {host} {effect}",
)
NO_VERIFICATION_AT_PORT = Message(
    "IST0129",
    "NoServerCertificateVerificationPortLevel",
    _W,
    "tls mode {mode} for {host} at port {port} {effect}",
)
UNREACHABLE_RULE = Message("IST0130", "VirtualServiceUnreachableRule", _W, "rule {rule} is never used: {reason}")
INEFFECTIVE_MATCH = Message(
    "IST0131", "VirtualServiceIneffectiveMatch", _I, "match {match} of rule {rule} is already taken by {earlier}"
)
HOST_NOT_IN_GATEWAY = Message(
    "IST0132",
    "VirtualServiceHostNotFoundInGateway",
    _W,
    "Gateway {gateway} serves none of {hosts} for namespace {namespace}",
)
SCHEMA_WARNING = Message("IST0133", "SchemaWarning", _W, "{detail}")
ADDRESSES_REQUIRED = Message(
    "IST0134",
    "ServiceEntryAddressesRequired",
    _W,
    "port {port} is TCP and the entry has no address to know its connections by",
)
DEPRECATED_ANNOTATION = Message(
    "IST0135", "DeprecatedAnnotation", _I, "annotation {annotation} is on its way out{instead}"
)
ALPHA_ANNOTATION = Message("IST0136", "AlphaAnnotation", _I, "annotation {annotation} is of alpha quality")
CONFLICTING_PORTS = Message(
    "IST0137",
    "DeploymentConflictingPorts",
    _W,
    "Services {services} send different ports ({ports}) to target port {target} of Deployment {deployment}",
)
DUPLICATE_CERTIFICATE = Message(
    "IST0138",
    "GatewayDuplicateCertificate",
    _W,
    "Gateways {gateways} serve one certificate: browsers that reuse an HTTP/2 connection may be answered 404",
    merge=Merge.SAME_TEXT,
)
INVALID_WEBHOOK = Message("IST0139", "InvalidWebhook", _E, "{detail}", merge=Merge.SAME_TEXT)
INGRESS_RULES = Message(
    "IST0140",
    "IngressRouteRulesNotAffected",
    _W,
    "subsets that VirtualService {rule} chooses have no effect on requests through the gateways of {gateway_rule}",
    merge=Merge.SAME_TEXT,
)
INSUFFICIENT_PERMISSIONS = Message("IST0141", "InsufficientPermissions", _E, "{detail}", _NO_KUBERNETES)
UNSUPPORTED_KUBERNETES = Message("IST0142", "UnsupportedKubernetesVersion", _E, "{detail}", _NO_KUBERNETES)
LOCALHOST_LISTENER = Message(
    "IST0143", "LocalhostListener", _E, "{detail}", "files and objects do not say which address a program listens on"
)
APPLICATION_UID = Message(
    "IST0144",
    "InvalidApplicationUID",
    _W,
    "{where} runs as user 1337, the proxy's own: its connections would not be captured",
    merge=Merge.SAME_CODE,
)
CONFLICTING_GATEWAYS = Message(
    "IST0145",
    "ConflictingGateways",
    _E,
    "Gateways {gateways} serve the same hosts ({hosts}) on port {port} of pods with {selector}",
    merge=Merge.SAME_TEXT,
)
IMAGE_AUTO = Message(
    "IST0146",
    "ImageAutoWithoutInjectionWarning",
    _W,
    "{kind} {name} has `image: auto`, and no injector will replace it",
)
IMAGE_AUTO_POD = Message(
    "IST0147", "ImageAutoWithoutInjectionError", _E, "{kind} {name} has `image: auto`, and no injector has replaced it"
)
INJECTED_BY_DEFAULT = Message(
    "IST0148",
    "NamespaceInjectionEnabledByDefault",
    _I,
    "the injector has enableNamespacesByDefault: pods get a sidecar though the namespace has no injection label",
)
JWT_WITHOUT_AUTHENTICATION = Message(
    "IST0149",
    "JwtClaimBasedRoutingWithoutRequestAuthN",
    _E,
    "{claim} routes by a token's claim, but no RequestAuthentication checks tokens at pod {pod} of Gateway {gateway}",
)
EXTERNAL_NAME_PORT = Message(
    "IST0150",
    "ExternalNameServiceTypeInvalidPortName",
    _W,
    "port {name!r} of a Service without addresses is TCP: it takes connections that are meant for others",
)
RELATIVE_OPERATION = Message(
    "IST0151",
    "EnvoyFilterUsesRelativeOperation",
    _W,
    "{operation} needs something that another EnvoyFilter may bring later, and the filter has no priority",
    merge=Merge.SAME_CODE,
)
REPLACE_INCORRECTLY = Message(
    "IST0152",
    "EnvoyFilterUsesReplaceOperationIncorrectly",
    _E,
    "REPLACE does nothing for {apply_to}",
    merge=Merge.SAME_CODE,
)
ADD_INCORRECTLY = Message(
    "IST0153", "EnvoyFilterUsesAddOperationIncorrectly", _E, "ADD does nothing for {apply_to}", merge=Merge.SAME_CODE
)
REMOVE_INCORRECTLY = Message(
    "IST0154",
    "EnvoyFilterUsesRemoveOperationIncorrectly",
    _E,
    "REMOVE does nothing for {apply_to}",
    merge=Merge.SAME_CODE,
)
RELATIVE_WITH_VERSION = Message(
    "IST0155",
    "EnvoyFilterUsesRelativeOperationWithProxyVersion",
    _W,
    "{operation} is relative to {filter}, which another patch brings for one proxyVersion only, and has no priority",
    merge=Merge.SAME_CODE,
)
UNSUPPORTED_GATEWAY_API = Message("IST0156", "UnsupportedGatewayAPIVersion", _E, "{detail}", _NO_KUBERNETES)
INVALID_PROVIDER = Message(
    "IST0157",
    "InvalidTelemetryProvider",
    _W,
    "accessLogging without providers, and the mesh has no default: no effect",
    merge=Merge.SAME_CODE,
)
IMAGE_MISMATCH = Message(
    "IST0158",
    "PodsIstioProxyImageMismatchInNamespace",
    _W,
    "pods {pods} run another proxy than the injector would give them today",
)
CONFLICTING_TELEMETRIES = Message(
    "IST0159",
    "ConflictingTelemetryWorkloadSelectors",
    _E,
    "Telemetries {telemetries} of namespace {namespace} all select pod {pod}: only one of them can hold",
)
MULTIPLE_TELEMETRIES = Message(
    "IST0160",
    "MultipleTelemetriesWithoutWorkloadSelectors",
    _E,
    "Telemetries {telemetries} of namespace {namespace} all hold for the whole namespace: only one of them can",
)
INVALID_CREDENTIAL = Message(
    "IST0161", "InvalidGatewayCredential", _E, "Secret {secret} cannot be used by a gateway: {detail}"
)
GATEWAY_PORT = Message(
    "IST0162",
    "GatewayPortNotDefinedOnService",
    _W,
    "no Service leads to port {port} of the pods with {selector}",
    merge=Merge.SAME_TEXT,
)
EXTERNAL_CONTROL_PLANE = Message(
    "IST0163", "InvalidExternalControlPlaneConfig", _W, "the address {address!r} of webhook {webhook} {detail}"
)
EXTERNAL_ADDRESS = Message(
    "IST0164",
    "ExternalControlPlaneAddressIsNotAHostname",
    _I,
    "the address {address!r} of webhook {webhook} is an IP address, not a host name",
)
INTERNAL_GATEWAY = Message(
    "IST0165",
    "ReferencedInternalGateway",
    _W,
    "{gateway} is made by the control plane and may be named otherwise tomorrow",
)
INEFFECTIVE_SELECTOR = Message(
    "IST0166",
    "IneffectiveSelector",
    _W,
    "the selector picks pods of Kubernetes Gateway {gateway}, for which selectors do not count",
    merge=Merge.SAME_TEXT,
)
INEFFECTIVE_POLICY = Message("IST0167", "IneffectivePolicy", _W, "{detail}")
UNKNOWN_UPGRADE = Message("IST0168", "UnknownUpgradeCompatibility", _W, "{detail}", "it is about upgrading Istio")
UPDATE_INCOMPATIBLE = Message("IST0169", "UpdateIncompatibility", _W, "{detail}", "it is about upgrading Istio")
INCONSISTENT_SERVICE = Message(
    "IST0170", "MultiClusterInconsistentService", _W, "Service {service} differs between clusters {clusters}: {detail}"
)
NEGATIVE_CONDITION = Message(
    "IST0171",
    "NegativeConditionStatus",
    _W,
    "its status says {type} is false: {reason}: {detail}",
    merge=Merge.SAME_TEXT,
)
FUTURE_GATEWAY_API = Message("IST0172", "FutureUnsupportedGatewayAPIVersion", _W, "{detail}", _NO_KUBERNETES)
SUBSET_WITHOUT_PODS = Message(
    "IST0173", "DestinationRuleSubsetNotSelectPods", _E, "no pod carries the labels of subset {subset} ({labels})"
)
UNKNOWN_RULE_HOST = Message(
    "IST0174", "UnknownDestinationRuleHost", _W, "there is no host {host}, so the rule has no effect{near}"
)
JWKS_UNRESTRICTED = Message(
    "IST0175",
    "JwksUriFetchUnrestricted",
    _W,
    "{count} RequestAuthentications ({names}) may make istiod fetch keys from any address",
)
GATEWAY_API_TOO_OLD = Message(
    "IST0176",
    "GatewayAPICRDVersionBelowMinimum",
    _W,
    "{name} is of version {installed}, and objects of it count from {minimum} on",
)
CONFLICTING_ENTRIES = Message(
    "IST0177",
    "ConflictingServiceEntryProtocol",
    _W,
    "ServiceEntries {entries} declare port {port} of {host} with different protocols: {protocols}",
)

DEAD_ROUTE = Message("PLT0001", "DeadRoute", _W, "{what} is never reached: {earlier} takes every request it is for")
SUBSET_WITHOUT_ENDPOINTS = Message(
    "PLT0002",
    "SubsetWithoutEndpoints",
    _W,
    "no ready pod of {host} carries {labels}: requests to subset {subset!r} get 503",
)
WEIGHT_TO_NOWHERE = Message("PLT0003", "WeightToNowhere", _W, "{detail}")
WEIGHTS_NOT_HUNDRED = Message(
    "PLT0004", "WeightsNotHundred", _I, "the weights add up to {total}, so each is a share of {total}, not a percentage"
)
RULE_REPLACED = Message("PLT0005", "RuleReplaced", _W, "{detail}")
PROTOCOL_MISMATCH = Message("PLT0006", "ProtocolMismatch", _W, "{detail}")
PROTOCOL_GUESSED = Message("PLT0007", "ProtocolGuessed", _I, "{detail}")
GATEWAY_PORT_CONFLICT = Message("PLT0008", "GatewayPortConflict", _W, "{detail}")
CONFLICTING_TLS = Message("PLT0009", "ConflictingTLS", _W, "{detail}")
NAMES_NOTHING = Message("PLT0010", "NamesNothing", _W, "{detail}")
HOST_NOT_SERVED = Message(
    "PLT0011", "HostNotServedByGateway", _W, "Gateway {gateway} does not serve {host!r} for namespace {namespace}"
)
SUBSET_IN_USE = Message(
    "PLT0012",
    "SubsetInUseMissing",
    _W,
    "{detail}",
)
WRONG_KEY = Message(
    "PLT0013", "CredentialKeyMismatch", _E, "the key of Secret {secret} does not belong to its certificate"
)
MERGED_HOSTS = Message("PLT0014", "GatewayHostsMerged", _I, "{detail}")
WRITTEN_TWICE = Message(
    "PLT0015", "WrittenTwice", _W, "is written at {first} too: of the two, the one that is applied last holds"
)
DELEGATE_UNUSED = Message("PLT0016", "DelegateUnused", _W, "{detail}")
NO_IPV6 = Message(
    "PLT0017", "NoIPv6", _W, "{address!r} is an IPv6 address, and pods have IPv4 addresses only: {effect}"
)
NAME_OF_SERVICE = Message("PLT0021", "NameOfService", _W, "{detail}")
NOBODY_TO_ASK = Message("PLT0018", "NobodyToAsk", _W, "{detail}")
KEYS_MISSING = Message("PLT0020", "KeysMissing", _E, "there are no keys, so every token is refused: {problem}")

MESSAGES: Final[dict[str, Message]] = {
    value.code: value
    for value in sorted(
        (value for value in list(globals().values()) if isinstance(value, Message)), key=lambda message: message.code
    )
}
"""All of them by code, in order."""
