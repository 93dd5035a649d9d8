"""How a model field says what the CRD must say about it, and the two bases of all models.

A field is written as *type, schema facts, default, docstring*:

    image: Annotated[str, Schema(required=True, min_length=1)] = ""
    \"\"\"Container image of the model.\"\"\"

The Python type gives the OpenAPI type, `Schema` the rest, the docstring the text of `kubectl explain`. The API
server enforces all of it; the models only read. So every field has a Python default, also a required one, and
none of the facts makes parsing fail: an object that was stored under an older schema must stay readable.
Text that is absent reads as `""`; who must tell absent from empty asks `model_fields_set`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator
from pydantic.alias_generators import to_camel

QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule (`x-kubernetes-validations`); `message` is what the user reads when it fails."""

    rule: str
    message: str


def immutable(what: str) -> Rule:
    """The rule that freezes a value once it is present; removing it and setting it anew stays possible."""
    return Rule("self == oldSelf", f"{what} is immutable")


@dataclass(frozen=True, slots=True)
class Schema:
    """Facts of a field (inside `Annotated`) or of a structure (class attribute `structure`).

    `required`: the API server refuses an object without the field. `defaulted`: the API server fills in the Python
    default. `list_keys`: the list is a map keyed by these fields. `shape`: the model whose structure the CRD shows
    although the field is read as raw JSON. `any_json`: no structure at all, unknown content is kept.
    """

    required: bool = False
    defaulted: bool = False
    format: str = ""
    enum: tuple[str, ...] = ()
    pattern: str = ""
    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    int_or_string: bool = False
    any_json: bool = False
    shape: "type[ApiModel] | None" = None
    rules: tuple[Rule, ...] = ()

    def over(self, other: "Schema") -> "Schema":
        """These facts laid over `other`'s; the rules of both hold."""
        facts = {f.name: getattr(other if getattr(self, f.name) == f.default else self, f.name) for f in fields(Schema)}
        return Schema(**{**facts, "rules": self.rules + other.rules})


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of `kubectl get`; those with a priority above 0 show with `-o wide` only."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0


REQUIRED = Schema(required=True)
DEFAULTED = Schema(defaulted=True)

Int32: TypeAlias = Annotated[int, Schema(format="int32")]
Int64: TypeAlias = Annotated[int, Schema(format="int64")]
Quantity: TypeAlias = Annotated[str, Schema(int_or_string=True, pattern=QUANTITY_PATTERN)]
"""A Kubernetes quantity as written; a number in JSON reads as its digits."""
Timestamp: TypeAlias = Annotated[str, Schema(format="date-time")]
"""RFC 3339 text as written; `""` when absent."""
AnyJson: TypeAlias = Annotated[JsonValue, Schema(any_json=True)]


class ApiModel(BaseModel):
    """A structure of the API: frozen, lenient, camel case in JSON.

    Unknown fields are ignored, `null` counts as absent, numbers are accepted where text is expected.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        use_attribute_docstrings=True,
    )

    structure: ClassVar[Schema] = Schema()

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data

    def manifest(self) -> dict[str, Any]:
        """The JSON form: camel case, only what was set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
