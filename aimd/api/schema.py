"""Annotations that give a field its OpenAPI keywords, and the base class of all models.

A field is written as *type, constraints, default, docstring*:

    image: Annotated[str, Schema(required=True, min_length=1)] = ""
    \"\"\"Container image of the model.\"\"\"

The Python type determines the OpenAPI type, `Schema` the other keywords, and the docstring the text of
`kubectl explain`. The API server enforces the constraints; the models only read. Therefore every field has a Python
default, even a required one, and no constraint makes parsing fail: an object stored under an older schema must stay
readable. An absent string reads as `""`; use `model_fields_set` to distinguish absent from empty.
"""

# tests: tests/unit/api/test_crd.py

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
    """A CEL rule (`x-kubernetes-validations`). `message` is shown to the user when validation fails."""

    rule: str
    message: str


def immutable(what: str) -> Rule:
    """Return the rule that makes a value immutable while it is set. It can still be removed and set again."""
    return Rule("self == oldSelf", f"{what} is immutable")


@dataclass(frozen=True, slots=True)
class Schema:
    """Constraints of a field (inside `Annotated`) or of a structure (class attribute `structure`).

    `required`: the API server rejects an object without the field. `defaulted`: the API server fills in the Python
    default. `long`: a text in a spec may be long. `list_keys`: the list is a map with these fields as its key. `shape`:
    the model whose structure the CRD contains, for a field that is read as raw JSON. `any_json`: there is no structure,
    and unknown content is preserved.
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
    max_properties: int | None = None
    long: bool = False
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    int_or_string: bool = False
    any_json: bool = False
    shape: "type[ApiModel] | None" = None
    rules: tuple[Rule, ...] = ()

    def over(self, other: "Schema") -> "Schema":
        """Return these constraints merged over those of `other`; the rules of both apply."""
        facts = {f.name: getattr(other if getattr(self, f.name) == f.default else self, f.name) for f in fields(Schema)}
        return Schema(**{**facts, "rules": self.rules + other.rules})


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of `kubectl get`. One with a priority above 0 is shown only with `-o wide`."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0


LONG = Schema(long=True)
REQUIRED = Schema(required=True)
DEFAULTED = Schema(defaulted=True)

Int32: TypeAlias = Annotated[int, Schema(format="int32")]
Int64: TypeAlias = Annotated[int, Schema(format="int64")]
Quantity: TypeAlias = Annotated[str, Schema(int_or_string=True, pattern=QUANTITY_PATTERN)]
"""A Kubernetes quantity as written. A JSON number is read as a string of its digits."""
Timestamp: TypeAlias = Annotated[str, Schema(format="date-time")]
"""An RFC 3339 timestamp as written; `""` if absent."""
AnyJson: TypeAlias = Annotated[JsonValue, Schema(any_json=True)]


class ApiModel(BaseModel):
    """A structure of the API: immutable, lenient when parsing, camel case in JSON.

    Unknown fields are ignored, `null` is read as absent, and numbers are accepted for strings.
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
        """Return the JSON representation in camel case, with only the fields that were set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
