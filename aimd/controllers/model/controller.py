"""The controllers of AIMModel and AIMClusterModel."""

from collections.abc import Sequence

from aimd.api.model import AnyModel
from aimd.api.service_template import AnyServiceTemplate
from aimd.controllers.image_inspections import ImageInspections
from aimd.controllers.pipeline import Definition
from aimd.controllers.reader import Reader
from aimd.controllers.relations import ModelTies
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
)
from aimd.planning.model.needs import with_reads
from aimd.planning.model.observed import ObservedModel
from aimd.planning.model.plan import plan_model
from aimd.planning.needs import Reads
from aimd.planning.pull_secrets import shared_pull_secrets
from aimd.runtime.difference import owned_fields
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Key, Kind, Manifest

MODEL_TIES = ModelTies(AIM_MODEL, AIM_SERVICE_TEMPLATE)
CLUSTER_MODEL_TIES = ModelTies(AIM_CLUSTER_MODEL, AIM_CLUSTER_SERVICE_TEMPLATE)


def model_controllers(inspections: ImageInspections) -> tuple[Definition[AnyModel, ObservedModel], ...]:
    """Return the controllers of AIMModel and AIMClusterModel."""
    return (
        _controller("model", AIM_MODEL, AIM_SERVICE_TEMPLATE, MODEL_TIES, inspections),
        _controller("cluster-model", AIM_CLUSTER_MODEL, AIM_CLUSTER_SERVICE_TEMPLATE, CLUSTER_MODEL_TIES, inspections),
    )


def _controller(
    name: str, kind: Kind, templates: Kind, ties: ModelTies, inspections: ImageInspections
) -> Definition[AnyModel, ObservedModel]:
    def observe(model: AnyModel, _live: Manifest, reader: Reader, reads: Reads) -> ObservedModel:
        return observe_model(model, reader, reads, ties, f"aim-{name}-controller")

    return Definition(
        name=name,
        kind=kind,
        observe=observe,
        plan=plan_model,
        informers=(Informer(kind), Informer(templates), Informer(AIM_SERVICE), *CONFIG_INFORMERS),
        ties=ties.all,
        forget=inspections.forgetting(kind),
    )


def observe_model(model: AnyModel, reader: Reader, reads: Reads, ties: ModelTies, field_manager: str) -> ObservedModel:
    """Return a model and what its plan depends on."""
    templates = ties.templates.find(reader, model)
    made = ties.made_templates.find(reader, model)
    store, namespace = reader.cache[ties.templates.neighbors[0]], model.metadata.namespace
    keys = (Key(namespace, item.metadata.name) for item in (*templates.objects, *made.objects))
    manifests = {key.name: live for key in keys if (live := store.get(key)) is not None}
    observed = ObservedModel(
        model=model,
        config=observe_config(reader, model.spec.runtime_config_name, namespace),
        templates=templates.objects,
        manifests=manifests,
        applied=frozenset(name for name, live in manifests.items() if owned_fields(live, field_manager)),
        used=frozenset(name for name in manifests if ties.template_users.meets(reader, name, namespace)),
        shared_pull_secrets=_shared_pull_secrets(model, reader, ties, templates.objects),
    )
    return with_reads(observed, reads)


def _shared_pull_secrets(
    model: AnyModel, reader: Reader, ties: ModelTies, templates: Sequence[AnyServiceTemplate]
) -> tuple[str, ...]:
    """Return the pull secrets of the users of a namespaced model (MDL-INS-5)."""
    if not model.metadata.namespace:
        return ()
    services = ties.users.find(reader, model).objects
    return shared_pull_secrets(services, (template.spec.image_pull_secrets for template in templates))
