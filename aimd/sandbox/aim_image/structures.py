"""The checks of a profile from 0.11 on: structures that pydantic validates, and whose errors are its own.

Left out: names of `VLLM_*` variables are not compared with those of vLLM, and numbers of CPU chips are no names of
accelerators.
"""

from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from aimd.sandbox.aim_image.configuration import ENGINES, METRICS, PRECISIONS
from aimd.sandbox.aim_image.generations import NO_DEVICE, Generation, device_named
from aimd.sandbox.aim_image.logs import METADATA as LOG

_TYPES = ("optimized", "unoptimized", "general", "preview")
_KINDS = ("cpu", "gpu")
_RENAMED = {"gpu": "accelerator_model", "gpu_count": "accelerator_count"}
_RETIRED = ("manual_selection_only",)
_TOKENS = ("adapters", "adapters-scale-only")


class _Capabilities(BaseModel):
    model_config = ConfigDict(extra="forbid", title="ProfileCapabilities")

    tool_calling: bool = False
    structured_outputs: bool = False
    reasoning: bool = False


class _Metadata(BaseModel):
    """What both generations have in common."""

    engine: str
    precision: str
    metric: str
    type: str
    capabilities: _Capabilities = _Capabilities()
    primary: bool | None = None

    @field_validator("engine", "precision", "metric", "type", "accelerator_type", mode="after", check_fields=False)
    @classmethod
    def _known_word(cls, value: str | None, info: ValidationInfo) -> str | None:
        known = {
            "engine": ENGINES,
            "precision": PRECISIONS,
            "metric": METRICS,
            "type": _TYPES,
            "accelerator_type": _KINDS,
        }[str(info.field_name)]
        if value is not None and value.lower() not in known:
            raise ValueError(f"{value!r} is none of {', '.join(known)}")
        return value.lower() if value else value


class Metadata11(_Metadata):
    """The metadata in 0.11: the older names are aliases, and the accelerator may be left out."""

    accelerator_type: str | None = None
    accelerator_model: str | None = Field(None, validation_alias=AliasChoices("accelerator_model", "gpu"))
    accelerator_count: int = Field(ge=0, validation_alias=AliasChoices("accelerator_count", "gpu_count"))
    manual_selection_only: bool

    @property
    def manual_only(self) -> bool:
        """Return whether the profile must be asked for by its id."""
        return self.manual_selection_only

    @field_validator("accelerator_model", mode="before")
    @classmethod
    def _device(cls, value: Any) -> Any:
        if isinstance(value, str) and value.upper() == NO_DEVICE:
            return None
        return _device(value, Generation.V0_11)


class Metadata12(_Metadata):
    """The metadata in 0.12: the newer names only; others are still taken, with a warning."""

    model_config = ConfigDict(extra="allow", title="ProfileMetadata")

    accelerator_type: str
    accelerator_model: str
    accelerator_count: int = Field(ge=1)
    features: list[str] = []
    variant: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]*$")

    @property
    def manual_only(self) -> bool:
        """Return whether the profile must be asked for by its id."""
        return self.type == "unoptimized"

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, data: Any, info: ValidationInfo) -> Any:
        others = sorted(set(data) - set(cls.model_fields)) if isinstance(data, dict) else []
        if not others:
            return data
        LOG.warning(
            f"Profile metadata in {(info.context or {}).get('source')} has fields that will stop working in a "
            f"future release: {', '.join(others)}."
        )
        named = dict(data)
        for name in others:
            if name in _RENAMED:
                named.setdefault(_RENAMED[name], data[name])
                named.setdefault("accelerator_type", "gpu")
        return named

    @field_validator("accelerator_model", mode="before")
    @classmethod
    def _device(cls, value: Any) -> Any:
        return _device(value, Generation.V0_12)

    @field_validator("features", mode="after")
    @classmethod
    def _one_token(cls, value: list[str]) -> list[str]:
        if unknown := [token for token in value if token not in _TOKENS]:
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(_TOKENS)}")
        if len(value) > 1:
            raise ValueError(f"features may declare at most one adapter token; {value} are mutually exclusive")
        return value


def _device(value: Any, generation: Generation) -> Any:
    if not isinstance(value, str):
        return value
    name = device_named(value, generation)
    if name is None:
        raise ValueError(f"Unknown AcceleratorModel: {value!r}")
    return name


class _General(BaseModel):
    env_vars: dict[str, str]
    engine_args: dict[str, Any]


class _General11(_General):
    model_config = ConfigDict(title="ProfileData")
    metadata: Metadata11


class _Model11(_General11):
    model_config = ConfigDict(title="ModelProfileData")
    aim_id: str
    model_id: str


class _General12(_General):
    model_config = ConfigDict(title="ProfileData")
    metadata: Metadata12


class _Model12(_General12):
    model_config = ConfigDict(title="ModelProfileData")
    aim_id: str
    model_id: str


def read_metadata(
    document: dict[str, Any], generation: Generation, source: str, *, general: bool
) -> Metadata11 | Metadata12:
    """Return the metadata of a profile, checked with all of it. Raises pydantic.ValidationError."""
    if generation >= Generation.V0_12:
        later = _General12 if general else _Model12
        return later.model_validate(document, context={"source": source}).metadata
    return (_General11 if general else _Model11).model_validate(document).metadata
