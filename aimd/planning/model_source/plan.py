"""AIMClusterModelSource: which images of a registry become models. The rules are in docs/rules/model-source.md."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aimd.api.model_source import AIMClusterModelSource, ModelSourceCondition
from aimd.api.reasons import Reason
from aimd.planning.component import Component, Direction, State
from aimd.planning.durations import InvalidDuration, parse_duration
from aimd.planning.kinds import AIM_CLUSTER_MODEL, AIM_CLUSTER_MODEL_SOURCE, owned_by
from aimd.planning.labels import (
    AUTO_GENERATED,
    MODEL_SOURCE_LABEL,
    ORIGIN_LABEL,
    SOURCE_REGISTRY_ANNOTATION,
    SOURCE_REPOSITORY_ANNOTATION,
    SOURCE_TAG_ANNOTATION,
    child_labels,
    name_label,
)
from aimd.planning.model_source.filters import (
    CatalogImage,
    FilterInvalid,
    ImageFilter,
    Imports,
    constraint_warning,
    parse_filter,
    plan_imports,
)
from aimd.planning.needs import ListImages, Reads
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.time import timestamp
from aimd.runtime.objects import Category, Condition, Desired, Failure, Key, Manifest

DEFAULT_INTERVAL_SECONDS = 3600.0
SHORTEST_INTERVAL_SECONDS = 30.0
_SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class FilterResult:
    """Result of listing one filter: images, and failures; there may be both.

    `seen` counts the tags that the registry showed for it, matching or not.
    """

    text: str
    images: Sequence[CatalogImage] = ()
    failures: Sequence[str] = ()
    warning: str = ""
    seen: int = 0


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """Images of a source that its status does not count: `seen` by its filters, and kept out by `maxModels`."""

    seen: int = 0
    over_limit: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """The answer to the need `ListImages`; the fields are those of `ObservedSource`."""

    results: Sequence[FilterResult] = ()
    listed_at: datetime | None = None
    again_after: float = DEFAULT_INTERVAL_SECONDS
    secret: Failure | None = None


@dataclass(frozen=True, slots=True)
class ObservedSource:
    """A source and everything its plan depends on.

    `results` has one entry per filter. `own` and `others` are the images of the source's models and of all other
    cluster models, `names` those of all of them. `listed_at` is set when the registry was asked in this pass,
    `again_after` is when to ask again, in seconds. `secret` is a pull secret that is missing or cannot be read.
    """

    source: AIMClusterModelSource
    config: ResolvedConfig
    results: Sequence[FilterResult] = ()
    own: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    listed_at: datetime | None = None
    again_after: float = DEFAULT_INTERVAL_SECONDS
    secret: Failure | None = None


def plan_model_source(observed: ObservedSource, now: datetime) -> Plan:  # noqa: ARG001 (as all plans)
    """Return the decision about a source: models are created, never changed or deleted (SRC-IMP-1)."""
    imports = _imports(observed)
    new = [image for image in imports.new if image.model_name not in observed.names]
    components = [
        Component.ready(
            ModelSourceCondition.EXISTING_MODELS_READY,
            Reason.LISTED,
            f"{len(observed.own)} models of this source exist",
        ),
        _filters_component(observed.results, observed.secret),
        *_interval_problem(observed.source),
    ]
    return Plan(
        components=tuple(components),
        desired=tuple(_render(observed.source, observed.config.label_patterns, image) for image in new),
        status=_status(observed.listed_at, imports),
        extra_conditions=(_limit(observed.source.spec.max_models, imports),),
        requeue_after=observed.again_after,
        needs=(_listing(observed.source),),
    )


def with_reads(observed: ObservedSource, reads: Reads) -> ObservedSource:
    """Return what was observed together with what the registry listed."""
    listed: Listed | None = reads.answers.get(_listing(observed.source))
    if listed is None:
        return observed
    return replace(
        observed,
        results=listed.results,
        listed_at=listed.listed_at,
        again_after=listed.again_after,
        secret=listed.secret,
    )


def _listing(source: AIMClusterModelSource) -> ListImages:
    return ListImages(Key("", source.metadata.name))


def image_counts(observed: ObservedSource) -> ImageCounts:
    """Return the figures for metrics that are not in the status."""
    return ImageCounts(sum(result.seen for result in observed.results), _imports(observed).over_limit)


def filters_of(source: AIMClusterModelSource) -> list[ImageFilter | FilterInvalid]:
    """Return the filters of a source, in order, each with its registry or the source's (SRC-FLT-2, SRC-FLT-4)."""
    spec = source.spec
    return [
        parse_filter(
            item.image,
            exclude=item.exclude,
            versions=item.versions,
            source_versions=spec.versions,
            source_registry=spec.registry,
        )
        for item in spec.filters
    ]


def result_of(wanted: ImageFilter, images: Sequence[CatalogImage], failures: Sequence[str], seen: int) -> FilterResult:
    """Return the result of a filter that was listed; `seen` is the number of tags."""
    return FilterResult(wanted.text, images, failures, constraint_warning(wanted), max(seen, len(images)))


def interval_seconds(source: AIMClusterModelSource) -> float:
    """Return the time between two listings; an hour for 0 and for a malformed duration (SRC-SYN-2)."""
    try:
        seconds = float(parse_duration(source.spec.sync_interval or "0"))
    except InvalidDuration:
        seconds = 0.0
    return max(seconds, SHORTEST_INTERVAL_SECONDS) if seconds else DEFAULT_INTERVAL_SECONDS


def _imports(observed: ObservedSource) -> Imports:
    most = observed.source.spec.max_models
    return plan_imports([result.images for result in observed.results], observed.own, observed.others, most)


def _interval_problem(source: AIMClusterModelSource) -> tuple[Component, ...]:
    try:
        parse_duration(source.spec.sync_interval or "0")
    except InvalidDuration as error:
        text = f"spec.syncInterval {error}; until it is corrected the registry is listed every hour"
        return (
            Component.failed(
                ModelSourceCondition.SYNC_INTERVAL_READY, Failure(Category.INVALID_SPEC, Reason.INVALID_SPEC, text)
            ),
        )
    return ()


def _filters_component(results: Sequence[FilterResult], secret: Failure | None) -> Component:
    """Return the health of the filters: which were listed, and what is wrong with the others (SRC-FLT-3)."""
    type_, direction = ModelSourceCondition.FILTERS_READY, Direction.UNSPECIFIED
    if secret is not None:
        return Component.failed(type_, secret, direction)
    failed = [result for result in results if result.failures]
    warnings = [result.warning for result in results if result.warning]
    failures = [failure for result in failed for failure in result.failures]
    left_out = [f"and {len(failures) - _SHOWN_FAILURES} more"] if len(failures) > _SHOWN_FAILURES else []
    text = "; ".join([*failures[:_SHOWN_FAILURES], *left_out, *warnings])
    if not results:
        return Component.waiting(type_, Reason.NO_FILTERS, "The source has no filters: name an image in one")
    if not failed:
        found = f"{len(results)} filters were listed"
        return Component.ready(type_, Reason.ALL_FILTERS_SUCCEEDED, "; ".join([found, *warnings]), direction)
    if len(failed) < len(results):
        return Component(type_, State.DEGRADED, Reason.SOME_FILTERS_FAILED, text, direction)
    return Component(type_, State.FAILED, Reason.ALL_FILTERS_FAILED, text, direction)


def _limit(most: int, imports: Imports) -> Condition:
    if imports.limit_reached:
        text = f"{imports.available} images match, but spec.maxModels is {most}: raise it to import the rest"
        return Condition(ModelSourceCondition.MAX_MODELS_LIMIT_REACHED, "True", Reason.LIMIT_REACHED, text)
    return Condition(
        ModelSourceCondition.MAX_MODELS_LIMIT_REACHED,
        "False",
        Reason.WITHIN_LIMIT,
        f"All matching images fit into spec.maxModels {most}",
    )


def _status(listed_at: datetime | None, imports: Imports) -> dict[str, Any]:
    """Return the counters, and the time of the listing if this reconcile made one (SRC-SYN-1)."""
    status: dict[str, Any] = {
        "discoveredModels": imports.discovered,
        "availableModels": imports.available,
        "modelsLimitReached": imports.limit_reached,
    }
    if listed_at is not None:
        status["lastSyncTime"] = timestamp(listed_at)
    return status


def _render(source: AIMClusterModelSource, patterns: Sequence[str], image: CatalogImage) -> Desired:
    metadata, secrets = source.metadata, source.spec.image_pull_secrets
    own = {MODEL_SOURCE_LABEL: name_label(metadata.name), ORIGIN_LABEL: AUTO_GENERATED}
    spec: Manifest = {"image": image.uri}
    if secrets:
        spec["imagePullSecrets"] = [secret.manifest() for secret in secrets]
    manifest = AIM_CLUSTER_MODEL.manifest(
        {
            "name": image.model_name,
            "labels": child_labels("cluster-model-source", metadata.labels, metadata.name, own, patterns),
            "annotations": {
                SOURCE_REGISTRY_ANNOTATION: image.registry,
                SOURCE_REPOSITORY_ANNOTATION: image.repository,
                SOURCE_TAG_ANNOTATION: image.tag,
            },
            "ownerReferences": owned_by(AIM_CLUSTER_MODEL_SOURCE, Key("", metadata.name), metadata.uid),
        },
        spec=spec,
    )
    return Desired(AIM_CLUSTER_MODEL, manifest, "import")
