"""Which object concerns which: every relation between kinds, in one table.

A row says what a subject looks for and what a neighbor offers; `aimd.controllers.relation` makes of it the index, the
wake-up and the lookup (SVC-ORD-5). Relations are by name, so an object that waits for another wakes when it appears.
"""

from aimd.api.artifact import AIMArtifact
from aimd.api.model import AIMClusterModel, AnyModel
from aimd.api.model_source import AIMClusterModelSource
from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate, AnyServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers import tokens
from aimd.controllers.predicates import (
    artifact_state_changed,
    claim_going,
    expansion_changed,
    gpu_labels_changed,
    intent_changed,
    job_changed,
    mounted_claims_changed,
    pod_changed,
    readiness_changed,
    scale_changed,
    shared_pull_secrets_changed,
    used_templates_changed,
)
from aimd.controllers.preferences import FAILED_ARTIFACTS, USABLE_ARTIFACTS
from aimd.controllers.reach import Reach
from aimd.controllers.reader import own_name
from aimd.controllers.relation import AnyTie, Children, Relation, Through
from aimd.controllers.tokens import Configured
from aimd.planning.artifact.download_job import check_size_name, claim_names, download_name
from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.labels import label_value, name_label
from aimd.planning.objects import mounted_claims
from aimd.planning.service.child_names import (
    autoscaler_name,
    http_route_names,
    inference_service_names,
    predictor_name,
    profile_config_map_name,
)
from aimd.runtime.kinds import (
    CONFIG_MAP,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
)
from aimd.runtime.objects import Kind, Manifest, key_of
from aimd.runtime.predicates import generation_changed

MODELS = (AIM_MODEL, AIM_CLUSTER_MODEL)
TEMPLATES = (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE)
NAMESPACE, ANYWHERE, USERS = Reach.NAMESPACE, Reach.ANYWHERE, Reach.USERS

BURST_SECONDS = 0.2
"""What KServe, a starting pod or many services report within this time is answered by one reconcile."""
_NAMED_ONCE_CHOSEN = "once the template is chosen the status names it, and wakes by that name"


def config_of(subject: Kind) -> Relation[Configured, Manifest]:
    """Return the relation of a kind to the runtime config that its objects name, of both scopes."""
    configs = (*((AIM_RUNTIME_CONFIG,) if subject.namespaced else ()), AIM_CLUSTER_RUNTIME_CONFIG)
    return Relation(
        f"{subject.name} config", subject, configs, tokens.config_in_effect, own_name, predicate=generation_changed
    )


# AIMService: models, templates and caches by name and by weights

SERVICE_MODEL = Relation[AIMService, AnyModel]("service model", AIM_SERVICE, MODELS, tokens.model_names, own_name)
SERVICE_WEIGHTS = Relation[AIMService, AnyModel](
    "service weights", AIM_SERVICE, MODELS, tokens.wanted_weights, tokens.offered_weights
)
SERVICE_TEMPLATE = Relation[AIMService, AnyServiceTemplate](
    "service template", AIM_SERVICE, TEMPLATES, tokens.template_names, tokens.name_and_alias
)
SERVICE_TEMPLATE_MODEL = Through[AIMService, AnyServiceTemplate, AnyModel](
    "service template's model", SERVICE_TEMPLATE, MODELS, tokens.model_of_template, own_name
)
SERVICE_CANDIDATE = Relation[AIMService, AnyServiceTemplate](
    "service candidate", AIM_SERVICE, TEMPLATES, tokens.models_to_choose_from, tokens.model_of_template
)
SERVICE_WEIGHTS_CANDIDATE = Through[AIMService, AnyModel, AnyServiceTemplate](
    "service weights candidate",
    SERVICE_WEIGHTS,
    TEMPLATES,
    own_name,
    tokens.model_of_template,
    only=tokens.chooses_template,
)
SERVICE_CACHE = Relation[AIMService, AIMTemplateCache](
    "service cache", AIM_SERVICE, (AIM_TEMPLATE_CACHE,), tokens.template_names, tokens.template_of_cache, NAMESPACE
)
SERVICE_CANDIDATE_CACHE = Through[AIMService, AnyServiceTemplate, AIMTemplateCache](
    "service candidate's cache",
    SERVICE_CANDIDATE,
    (AIM_TEMPLATE_CACHE,),
    own_name,
    tokens.template_of_cache,
    NAMESPACE,
    lookup_only=_NAMED_ONCE_CHOSEN,
)
SERVICE_OWN_CACHE = Children[AIMService, AIMTemplateCache]("service's own cache", AIM_SERVICE, (AIM_TEMPLATE_CACHE,))
SERVICE_LABELED_CACHE = Relation[AIMService, AIMTemplateCache](
    "service labeled cache",
    AIM_SERVICE,
    (AIM_TEMPLATE_CACHE,),
    lambda service: (label_value(service.metadata.name),),
    tokens.service_of_cache,
    NAMESPACE,
    lookup_only="read once, when the service is deleted",
)
SERVICE_DERIVED_TEMPLATE = Relation[AIMService, AIMServiceTemplate](
    "service derived template",
    AIM_SERVICE,
    (AIM_SERVICE_TEMPLATE,),
    lambda service: (name_label(service.metadata.name),),
    tokens.maker_of_template,
    NAMESPACE,
    lookup_only="a derived template is given up by a change of the service itself",
)
SERVICE_NODE = Relation[AIMService, Manifest](
    "service node", AIM_SERVICE, (NODE,), tokens.gpus_if_choosing, tokens.gpus, ANYWHERE, predicate=gpu_labels_changed
)

# AIMService: what it makes, and what is made of that

SERVICE_INFERENCE_SERVICE = Children[AIMService, Manifest](
    "service InferenceService", AIM_SERVICE, (INFERENCE_SERVICE,), inference_service_names, delay=BURST_SECONDS
)
SERVICE_ROUTE = Children[AIMService, Manifest]("service HTTPRoute", AIM_SERVICE, (HTTP_ROUTE,), http_route_names)
SERVICE_PROFILE = Children[AIMService, Manifest](
    "service ConfigMap", AIM_SERVICE, (CONFIG_MAP,), lambda service: (profile_config_map_name(service.metadata.name),)
)
SERVICE_POD = Through[AIMService, Manifest, Manifest](
    "service pod",
    SERVICE_INFERENCE_SERVICE,
    (POD,),
    own_name,
    tokens.inference_service_of_pod,
    NAMESPACE,
    predicate=pod_changed,
    delay=BURST_SECONDS,
)
SERVICE_EVENT = Through[AIMService, Manifest, Manifest](
    "service Event",
    SERVICE_INFERENCE_SERVICE,
    (EVENT,),
    own_name,
    tokens.involved_object,
    NAMESPACE,
    delay=BURST_SECONDS,
)
SERVICE_SCALED_OBJECT = Through[AIMService, Manifest, Manifest](
    "service ScaledObject",
    SERVICE_INFERENCE_SERVICE,
    (SCALED_OBJECT,),
    lambda live: (predictor_name(key_of(live).name),),
    own_name,
    NAMESPACE,
    predicate=readiness_changed,
)
SERVICE_AUTOSCALER = Through[AIMService, Manifest, Manifest](
    "service autoscaler",
    SERVICE_INFERENCE_SERVICE,
    (HORIZONTAL_POD_AUTOSCALER,),
    lambda live: (autoscaler_name(key_of(live).name),),
    own_name,
    NAMESPACE,
    predicate=scale_changed,
)
SERVICE_CLAIM = Through[AIMService, Manifest, Manifest](
    "service claim",
    SERVICE_INFERENCE_SERVICE,
    (PERSISTENT_VOLUME_CLAIM,),
    mounted_claims,
    own_name,
    NAMESPACE,
    predicate=claim_going,
)

SERVICE_TIES: tuple[AnyTie, ...] = (
    *(SERVICE_MODEL, SERVICE_WEIGHTS, SERVICE_TEMPLATE, SERVICE_TEMPLATE_MODEL),
    *(SERVICE_CANDIDATE, SERVICE_WEIGHTS_CANDIDATE, SERVICE_DERIVED_TEMPLATE, config_of(AIM_SERVICE)),
    *(SERVICE_CACHE, SERVICE_CANDIDATE_CACHE, SERVICE_OWN_CACHE, SERVICE_LABELED_CACHE),
    *(SERVICE_INFERENCE_SERVICE, SERVICE_ROUTE, SERVICE_PROFILE, SERVICE_POD, SERVICE_EVENT, SERVICE_CLAIM),
    *(SERVICE_SCALED_OBJECT, SERVICE_AUTOSCALER, SERVICE_NODE),
)


class ModelTies:
    """Relations of the models of one scope: to their templates, and to the services that use either."""

    def __init__(self, model: Kind, template: Kind) -> None:
        self.templates = Relation[AnyModel, AnyServiceTemplate](
            f"{model.name} template", model, (template,), own_name, tokens.model_of_template, NAMESPACE
        )
        self.made_templates = Children[AnyModel, AnyServiceTemplate](f"{model.name} made template", model, (template,))
        self.template_users = Through[AnyModel, AnyServiceTemplate, AIMService](
            f"{model.name} template user",
            self.templates,
            (AIM_SERVICE,),
            own_name,
            tokens.used_templates,
            USERS,
            predicate=used_templates_changed,
            delay=BURST_SECONDS,
        )
        # What belongs to the cluster takes no pull secrets from tenants (MDL-INS-5).
        self.users = Relation[AnyModel, AIMService](
            f"{model.name} user",
            model,
            (AIM_SERVICE,),
            tokens.name_and_image,
            tokens.shares_secrets_with,
            NAMESPACE,
            predicate=shared_pull_secrets_changed,
        )
        self.all: tuple[AnyTie, ...] = (
            *(self.templates, self.made_templates, self.template_users, config_of(model)),
            *((self.users,) if model.namespaced else ()),
        )


class TemplateTies:
    """Relations of the templates of one scope: to their models and the models' users, nodes, caches and Jobs."""

    def __init__(self, template: Kind, models: tuple[Kind, ...]) -> None:
        name = template.name
        self.model = Relation[AnyServiceTemplate, AnyModel](
            f"{name} model", template, models, tokens.model_of_template, own_name
        )
        self.model_users = Relation[AnyServiceTemplate, AIMService](
            f"{name} model user",
            template,
            (AIM_SERVICE,),
            tokens.named_model,
            tokens.shares_secrets_with,
            NAMESPACE,
            predicate=shared_pull_secrets_changed,
        )
        self.image_users = Through[AnyServiceTemplate, AnyModel, AIMService](
            f"{name} image user",
            self.model,
            (AIM_SERVICE,),
            tokens.name_and_image,
            tokens.shares_secrets_with,
            NAMESPACE,
            predicate=shared_pull_secrets_changed,
        )
        self.nodes = Relation[AnyServiceTemplate, Manifest](
            f"{name} node",
            template,
            (NODE,),
            tokens.gpus_if_needed,
            tokens.gpus,
            ANYWHERE,
            predicate=gpu_labels_changed,
        )
        self.cache = Children[AnyServiceTemplate, AIMTemplateCache](
            f"{name} cache", template, (AIM_TEMPLATE_CACHE,), predicate=intent_changed
        )
        self.jobs = Children[AnyServiceTemplate, Manifest](f"{name} Job", template, (JOB,), predicate=job_changed)
        self.pods = Through[AnyServiceTemplate, Manifest, Manifest](
            f"{name} pod",
            self.jobs,
            (POD,),
            tokens.own_uid,
            tokens.owner_uid,
            ANYWHERE,
            predicate=pod_changed,
        )
        self.all: tuple[AnyTie, ...] = (
            *(self.model, self.nodes, self.cache, self.jobs, self.pods, config_of(template)),
            *((self.model_users, self.image_users) if template.namespaced else ()),
        )


# AIMTemplateCache

CACHE_TEMPLATE = Relation[AIMTemplateCache, AnyServiceTemplate](
    "cache template", AIM_TEMPLATE_CACHE, (AIM_SERVICE_TEMPLATE,), tokens.namespaced_template, own_name
)
CACHE_CLUSTER_TEMPLATE = Relation[AIMTemplateCache, AnyServiceTemplate](
    "cache cluster template", AIM_TEMPLATE_CACHE, (AIM_CLUSTER_SERVICE_TEMPLATE,), tokens.cluster_template, own_name
)
CACHE_ARTIFACT = Relation[AIMTemplateCache, AIMArtifact](
    "cache artifact",
    AIM_TEMPLATE_CACHE,
    (AIM_ARTIFACT,),
    tokens.listed_artifacts,
    tokens.name_and_source,
    NAMESPACE,
    predicate=artifact_state_changed,
    choice=USABLE_ARTIFACTS,
)
CACHE_MADE_ARTIFACT = Relation[AIMTemplateCache, AIMArtifact](
    "cache made artifact",
    AIM_TEMPLATE_CACHE,
    (AIM_ARTIFACT,),
    lambda cache: (name_label(cache.metadata.name),),
    tokens.cache_of_artifact,
    NAMESPACE,
    lookup_only="an artifact that a cache made for its sources is found by these as well",
    choice=FAILED_ARTIFACTS,
)


def _artifact_through(
    template: Relation[AIMTemplateCache, AnyServiceTemplate],
) -> Through[AIMTemplateCache, AnyServiceTemplate, AIMArtifact]:
    return Through(
        f"{template.name}'s artifact",
        template,
        (AIM_ARTIFACT,),
        tokens.sources_of_template,
        tokens.name_and_source,
        NAMESPACE,
        only=tokens.takes_sources_of_template,
        predicate=artifact_state_changed,
        choice=USABLE_ARTIFACTS,
    )


CACHE_TEMPLATE_ARTIFACT = _artifact_through(CACHE_TEMPLATE)
CACHE_CLUSTER_TEMPLATE_ARTIFACT = _artifact_through(CACHE_CLUSTER_TEMPLATE)
CACHE_ARTIFACTS = (CACHE_ARTIFACT, CACHE_TEMPLATE_ARTIFACT, CACHE_CLUSTER_TEMPLATE_ARTIFACT)
CACHE_TIES: tuple[AnyTie, ...] = (
    *(CACHE_TEMPLATE, CACHE_CLUSTER_TEMPLATE, *CACHE_ARTIFACTS, CACHE_MADE_ARTIFACT),
    config_of(AIM_TEMPLATE_CACHE),
)

# AIMArtifact

ARTIFACT_CLAIM = Children[AIMArtifact, Manifest](
    "artifact claim", AIM_ARTIFACT, (PERSISTENT_VOLUME_CLAIM,), claim_names
)
ARTIFACT_JOB = Children[AIMArtifact, Manifest](
    "artifact Job", AIM_ARTIFACT, (JOB,), lambda artifact: (download_name(artifact), check_size_name(artifact))
)
ARTIFACT_IDENTITY = Children[AIMArtifact, Manifest](
    "artifact identity",
    AIM_ARTIFACT,
    (SERVICE_ACCOUNT, ROLE, ROLE_BINDING),
    lambda artifact: (download_name(artifact),),
)
ARTIFACT_POD = Through[AIMArtifact, Manifest, Manifest](
    "artifact pod", ARTIFACT_JOB, (POD,), tokens.own_uid, tokens.owner_uid, NAMESPACE, predicate=pod_changed
)
ARTIFACT_STORAGE_CLASS = Through[AIMArtifact, Manifest, Manifest](
    "artifact storage class",
    ARTIFACT_CLAIM,
    (STORAGE_CLASS,),
    tokens.storage_class_of_claim,
    own_name,
    predicate=expansion_changed,
)
ARTIFACT_USER = Through[AIMArtifact, Manifest, Manifest](
    "artifact user",
    ARTIFACT_CLAIM,
    (INFERENCE_SERVICE,),
    own_name,
    mounted_claims,
    NAMESPACE,
    predicate=mounted_claims_changed,
)
ARTIFACT_TIES: tuple[AnyTie, ...] = (
    *(ARTIFACT_CLAIM, ARTIFACT_JOB, ARTIFACT_IDENTITY, ARTIFACT_POD),
    *(ARTIFACT_STORAGE_CLASS, ARTIFACT_USER, config_of(AIM_ARTIFACT)),
)

# AIMClusterModelSource

SOURCE_MODEL = Children[AIMClusterModelSource, AIMClusterModel](
    "source model", AIM_CLUSTER_MODEL_SOURCE, (AIM_CLUSTER_MODEL,), predicate=generation_changed
)
SOURCE_TIES: tuple[AnyTie, ...] = (SOURCE_MODEL,)
