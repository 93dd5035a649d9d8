"""Which models serve the same: equal image and weights, and for custom models equal hardware.

Comparing models, naming a custom model and finding models in the cache all follow from the values here (SVC-MDL-5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from aimd.api.model import AnyModel
from aimd.api.service import CustomModelReference
from aimd.api.shared import Hardware, ModelSource
from aimd.planning.environment import AWS_ENDPOINT_URL
from aimd.planning.naming import derive_name

_UNNAMED = "custom-model"


@dataclass(frozen=True, slots=True)
class WeightsIdentity:
    """What distinguishes one source of weights; an endpoint that comes from a Secret counts as none."""

    model_id: str
    source_uri: str
    endpoint: str

    @classmethod
    def of(cls, source: ModelSource) -> Self:
        """Return the identity of a source."""
        endpoint = next((variable.value or "" for variable in source.env if variable.name == AWS_ENDPOINT_URL), "")
        return cls(source.model_id, source.source_uri, endpoint)


@dataclass(frozen=True, slots=True)
class ServedWeights:
    """An image with the weights that it serves; models for which this is equal are twins (SVC-TPL-5)."""

    image: str
    sources: tuple[WeightsIdentity, ...]

    @classmethod
    def of(cls, image: str, sources: Sequence[ModelSource]) -> Self:
        """Return the image with the identities of the sources."""
        return cls(image, tuple(WeightsIdentity.of(source) for source in sources))

    @classmethod
    def of_model(cls, model: AnyModel) -> Self:
        """Return what a model serves."""
        return cls.of(model.spec.image, model.spec.model_sources)

    @property
    def token(self) -> str:
        """Return one text for it, under which relations find the models that serve the same."""
        return " ".join((self.image, *(repr(source) for source in self.sources)))


@dataclass(frozen=True, slots=True)
class CustomModelIdentity:
    """What has to be equal for two services to share one custom model."""

    weights: ServedWeights
    hardware: Hardware

    @classmethod
    def of(cls, custom: CustomModelReference) -> Self:
        """Return the identity of the model that a service describes."""
        return cls(ServedWeights.of(custom.base_image, custom.model_sources), custom.hardware)

    @classmethod
    def of_model(cls, model: AnyModel) -> Self | None:
        """Return the identity of an existing model, None for one that is not custom."""
        hardware = model.spec.custom.hardware if model.spec.custom is not None else None
        return cls(ServedWeights.of_model(model), hardware) if hardware is not None else None

    @property
    def name(self) -> str:
        """Return the name of the model to create, in which the hardware does not count (SVC-NAM-3)."""
        return derive_name([self._readable], self._hash_inputs())

    @property
    def name_with_hardware(self) -> str:
        """Return the name to use while a model with other hardware has `name`."""
        return derive_name([self._readable], [*self._hash_inputs(), *_hardware_inputs(self.hardware)])

    @property
    def _readable(self) -> str:
        return self.weights.sources[0].model_id if self.weights.sources else _UNNAMED

    def _hash_inputs(self) -> list[object]:
        """Return what the hash of the name covers. It must never change: the names of existing models depend on it."""
        inputs: list[object] = [self.weights.image]
        for source in self.weights.sources:
            inputs += [source.model_id, source.source_uri, *([source.endpoint] if source.endpoint else [])]
        return inputs


def same_weights(one: AnyModel, other: AnyModel) -> bool:
    """Return whether two models are twins: same image and same sources (SVC-TPL-5)."""
    return ServedWeights.of_model(one) == ServedWeights.of_model(other)


def _hardware_inputs(hardware: Hardware) -> list[object]:
    gpu, cpu = hardware.gpu, hardware.cpu
    of_gpu = (gpu.model, gpu.requests, gpu.min_vram, gpu.resource_name) if gpu is not None else ("", 0, "", "")
    of_cpu = (cpu.requests, cpu.limits) if cpu is not None else ("", "")
    return [*of_gpu, *of_cpu]
