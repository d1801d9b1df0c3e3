"""Types of fields, compiled from OpenAPI definitions and CRD schemas.

One tree serves decoding (types, unknown fields), strategic merge (merge keys), server-side apply (list types) and
normalising (which empty fields count as unset).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_REF = "#/components/schemas/"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_RAW = frozenset(
    {
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
    }
)
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@dataclass(slots=True, kw_only=True, eq=False)
class Type:
    """The shape of a value.

    `form` is `object` (declared fields), `map`, `list`, `string`, `integer`, `number`, `boolean`, `quantity`,
    `int-or-string` or `any`. `open` objects keep undeclared fields. `omit` names fields that count as unset when
    zero or empty, as Go's encoder leaves them out. `atomic` objects have one owner in server-side apply. `schema` is
    the CRD schema the type was made from.
    """

    form: str
    format: str = ""
    fields: dict[str, Field] = field(default_factory=dict)
    element: Field | None = None
    omit: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    open: bool = False
    nullable: bool = False
    atomic: bool = False
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A type in its place, with what the place says about merging.

    `merge_key` and `strategies` drive strategic merge; `list_type` (`atomic`, `set`, `map`), `list_keys` and
    `map_type` drive server-side apply.
    """

    type: Type
    merge_key: str = ""
    strategies: frozenset[str] = frozenset()
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    default: Any = None


class Compiler:
    """Turns OpenAPI definitions into types, each named definition once."""

    def __init__(self, definitions: Mapping[str, Mapping[str, Any]], omit: Mapping[str, list[str]]) -> None:
        self._definitions = definitions
        self._omit = omit
        self._named: dict[str, Type] = {}

    def named(self, name: str) -> Type:
        """The type of a definition; definitions may refer to themselves."""
        if (known := self._named.get(name)) is not None:
            return known
        if name == _QUANTITY:
            made = Type(form="quantity")
        elif name == _INT_OR_STRING:
            made = Type(form="int-or-string")
        elif name in _RAW:
            made = Type(form="any")
        else:
            made = Type(form="object")
        self._named[name] = made
        if made.form == "object":
            self._fill(made, self._definitions[name], frozenset(self._omit.get(name, ())))
        return made

    def custom(self, schema: Mapping[str, Any]) -> Type:
        """The type of a custom resource: its schema with the parts every object has."""
        made = Type(form="object", schema=schema)
        self._fill(made, schema, frozenset())
        made.fields["apiVersion"] = made.fields["kind"] = Field(type=Type(form="string"))
        made.fields["metadata"] = Field(type=self.named(OBJECT_META))
        return made

    def _fill(self, made: Type, schema: Mapping[str, Any], omit: frozenset[str]) -> None:
        made.omit = omit
        made.required = tuple(schema.get("required", ()))
        made.nullable = bool(schema.get("nullable"))
        made.format = schema.get("format", "")
        made.open = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        made.atomic = schema.get("x-kubernetes-map-type") == "atomic"
        made.form = self._form(schema)
        if made.form == "list":
            made.element = self.field(schema.get("items", {}))
        elif made.form == "map":
            extra = schema["additionalProperties"]
            made.element = self.field(extra if isinstance(extra, dict) else {})
        for name, value in schema.get("properties", {}).items():
            made.fields[name] = self.field(value)

    @staticmethod
    def _form(schema: Mapping[str, Any]) -> str:
        if schema.get("x-kubernetes-int-or-string"):
            return "int-or-string"
        match schema.get("type"):
            case "array":
                return "list"
            case "object" if "properties" in schema:
                return "object"
            case "object" if schema.get("additionalProperties"):
                return "map"
            case "object":
                return "object"
            case str(scalar):
                return scalar
            case _:
                return "any"

    def field(self, schema: Mapping[str, Any]) -> Field:
        """A property, item or value."""
        reference = schema.get("$ref") or next(
            (part["$ref"] for part in schema.get("allOf", ()) if "$ref" in part), None
        )
        if reference is not None:
            made = self.named(reference.removeprefix(_REF))
        else:
            made = Type(form="any", schema=schema)
            self._fill(made, schema, frozenset())
        return Field(
            type=made,
            merge_key=schema.get("x-kubernetes-patch-merge-key", ""),
            strategies=frozenset(filter(None, schema.get("x-kubernetes-patch-strategy", "").split(","))),
            list_type=schema.get("x-kubernetes-list-type", ""),
            list_keys=tuple(schema.get("x-kubernetes-list-map-keys", ())),
            map_type=schema.get("x-kubernetes-map-type", ""),
            default=schema.get("default"),
        )
