"""AIMModel and AIMClusterModel: catalogue entries (spec/api.md 3.2, 3.3, chapter 6)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from aimd.api.core import ApiObject, EnvList, LocalObjectReference, ResourceRequirements
from aimd.api.schema import DEFAULTED, ApiModel, Int32, PrinterColumn, Rule, Schema
from aimd.api.shared import (
    BaseStatus,
    ComponentStatusText,
    Hardware,
    MetricText,
    ModelSource,
    PrecisionText,
    ProfileIdentity,
    ProfileTypeText,
    ResolvedReference,
    Status,
)


class SourceType(StrEnum):
    """Whether the weights belong to the image or are the user's own."""

    IMAGE = "Image"
    CUSTOM = "Custom"


class RecommendedDeployment(ApiModel):
    """A way to run the model that its image recommends; a template is made of each."""

    gpu_model: str = ""
    """GPU model, for example `MI300X`."""
    gpu_count: Int32 = 0
    """GPUs per replica."""
    precision: str = ""
    """Numeric precision; has to be one that templates know."""
    metric: str = ""
    """What it is optimised for; has to be one that templates know."""
    profile_id: str = ""
    """Profile of the image that belongs to it."""
    description: str = ""
    """What it is good for."""


class ModelMetadata(ApiModel):
    """What the image's labels say about the model."""

    canonical_name: str = ""
    """Name of the model as `organisation/name`."""
    source: str = ""
    """Where the model comes from, usually a web address."""
    tags: tuple[str, ...] = ()
    """Keywords."""
    versions: tuple[str, ...] = ()
    """Versions of the model in the image."""
    variants: tuple[str, ...] = ()
    """Variants of the model in the image."""
    hf_token_required: bool | None = None
    """Whether downloading the weights takes a Hugging Face token."""
    title: str = ""
    """Title for people."""
    description_full: str = ""
    """Description for people."""
    release_notes: str = ""
    """What is new in this version."""
    recommended_deployments: tuple[RecommendedDeployment, ...] = ()
    """Ways to run the model; a template is made of each."""


class OciMetadata(ApiModel):
    """What the image's standard OCI labels say."""

    title: str = ""
    """Title of the image."""
    description: str = ""
    """Description of the image."""
    licenses: str = ""
    """Licences, as an SPDX expression."""
    vendor: str = ""
    """Who distributes the image."""
    authors: str = ""
    """Who is responsible for the image."""
    source: str = ""
    """Address of the source code."""
    documentation: str = ""
    """Address of the documentation."""
    created: str = ""
    """When the image was built."""
    revision: str = ""
    """Revision of the source code."""
    version: str = ""
    """Version of the packaged software."""


class ImageMetadata(ApiModel):
    """What is known about an AIM image."""

    model: ModelMetadata | None = None
    """What the image says about the model."""
    oci: OciMetadata | None = None
    """What the image says about itself."""
    original_labels: Mapping[str, str] = {}
    """The labels as found."""


class CustomDefaults(ApiModel):
    """Defaults for the templates of a model with weights of its own."""

    hardware: Hardware | None = None
    """Hardware of one replica, for templates that name none. Needed with `modelSources` unless every custom template
    has its own."""
    type: ProfileTypeText = ""
    """How well the profiles are tuned, for templates that do not say so; `unoptimized` when left out."""


class TemplateProfile(ApiModel):
    """What a template is selected by."""

    metric: MetricText = ""
    """What the template is optimised for."""
    precision: PrecisionText = ""
    """Numeric precision."""


class CustomTemplate(ProfileIdentity):
    """A template to be made as written here."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "!has(self.customProfile) || (has(self.aimId) && has(self.modelId) && has(self.hardware)"
                " && has(self.profile) && has(self.profile.metric) && has(self.profile.precision))",
                "customProfile needs aimId, modelId, hardware, profile.metric and profile.precision",
            ),
        )
    )

    name: Annotated[str, Schema(max_length=63)] = ""
    """Alias of the template. Services can use it as `template.name`; the object's own name is derived from it."""
    type: ProfileTypeText = ""
    """How well the profile is tuned; `custom.type` of the model when left out, finally `unoptimized`."""
    hardware: Hardware | None = None
    """Hardware of one replica, laid over `custom.hardware` field by field."""
    profile: TemplateProfile | None = None
    """Metric and precision of the template."""
    env: Annotated[EnvList, Schema(max_items=64)] = ()
    """Environment of the inference container, laid over the model's `env` by name."""


class Discovery(ApiModel):
    """What is made of the image."""

    extract_metadata: Annotated[bool, DEFAULTED] = True
    """Whether to read the labels of the image from its registry."""
    create_service_templates: Annotated[bool, DEFAULTED] = True
    """Whether to make templates, from the image's recommendations and from `customTemplates`."""


class AIMModelSpec(ApiModel):
    """An AIM image, or an AIM base image with weights of one's own."""

    structure: ClassVar[Schema] = Schema(
        rules=(
            Rule(
                "!has(self.modelSources) || size(self.modelSources) == 0"
                " || (has(self.custom) && has(self.custom.hardware))"
                " || !has(self.customTemplates) || size(self.customTemplates) == 0"
                " || self.customTemplates.all(t, has(t.hardware) || (has(self.custom) && has(self.custom.hardware)))",
                "with modelSources, give hardware in custom.hardware or in every custom template",
            ),
        )
    )

    image: Annotated[str, Schema(required=True, min_length=1)] = ""
    """AIM container image of the model, or the base image that serves `modelSources`."""
    model_sources: Annotated[tuple[ModelSource, ...], Schema(max_items=1)] = ()
    """Weights of one's own. Given, the model counts as a custom one: the image's recommendations are not used and its
    templates come from `customTemplates`, or from `custom` when there are none."""
    custom: CustomDefaults | None = None
    """Defaults for the templates of a model with `modelSources`."""
    custom_templates: Annotated[tuple[CustomTemplate, ...], Schema(max_items=16)] = ()
    """Templates to make as written, in addition to the image's recommendations; with `modelSources` the only ones."""
    image_metadata: ImageMetadata | None = None
    """What is known about the image. Given, the registry is not asked; useful where it cannot be reached."""
    discovery: Discovery | None = None
    """What is made of the image. Left out, the runtime config's `model.autoDiscovery` decides, finally everything is
    on."""
    default_service_template: str = ""
    """Template that services of this model take when they name none, as long as it is usable. Left out, or while it is
    not usable, the best one is chosen."""
    env: EnvList = ()
    """Environment of the inference container, handed to templates in the same namespace. Not used for the registry."""
    resources: ResourceRequirements | None = None
    """Resources of the inference container, under those of template and service, key by key."""
    runtime_config_name: str = ""
    """Name of the runtime config to apply; `default` when left out, any other name has to exist."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    """Secrets for the registry, for discovery jobs and for inference pods. They are read in the namespace of the model,
    for a cluster model in the operator's. All of them have to exist before the registry is asked."""
    service_account_name: str = ""
    """Service account of discovery jobs, also handed to templates of this model."""


class AIMModelStatus(BaseStatus):
    """What was found out about the model and its templates."""

    status: ComponentStatusText = Status.PENDING.value
    """State of the model as its templates give it: `Ready` when one can be used, `NotAvailable` when the cluster lacks
    the GPUs of all, `Degraded` when some failed, `Failed` when all did."""
    source_type: Annotated[str, Schema(enum=tuple(SourceType))] = ""
    """`Custom` when the model has weights of its own, else `Image`."""
    image_metadata: ImageMetadata | None = None
    """What is known about the image, from the spec or from its labels."""
    inspected_image: str = ""
    """Image that `imageMetadata` was read from; when `spec.image` is another one, it is inspected anew."""
    resolved_runtime_config: ResolvedReference | None = None
    """Runtime config in force."""


MODEL_COLUMNS = (
    PrinterColumn("Status", ".status.status"),
    PrinterColumn("Source", ".status.sourceType"),
    PrinterColumn("Image", ".spec.image"),
    PrinterColumn("Model", ".status.imageMetadata.model.canonicalName"),
    PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
)


class AIMModel(ApiObject):
    """A model in the catalogue of a namespace: an AIM image, or an AIM base image with weights of one's own. Its image
    is inspected and service templates are made for it."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = MODEL_COLUMNS

    spec: AIMModelSpec = AIMModelSpec()
    """The model."""
    status: AIMModelStatus = AIMModelStatus()
    """What was found out about the model and its templates; written by aimd."""


class AIMClusterModel(ApiObject):
    """A model in the catalogue of all namespaces. Its image is inspected and cluster service templates are made for
    it."""

    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = MODEL_COLUMNS

    spec: AIMModelSpec = AIMModelSpec()
    """The model."""
    status: AIMModelStatus = AIMModelStatus()
    """What was found out about the model and its templates; written by aimd."""
