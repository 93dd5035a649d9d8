"""The controller of AIMClusterModelSource."""

from collections.abc import MutableMapping
from datetime import datetime

from aimd.api.model_source import AIMClusterModelSource
from aimd.controllers.model_source.image_lists import ImageLists
from aimd.controllers.pipeline import Definition
from aimd.controllers.reader import Reader
from aimd.controllers.relations import SOURCE_TIES
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.planning.kinds import AIM_CLUSTER_MODEL, AIM_CLUSTER_MODEL_SOURCE
from aimd.planning.labels import MODEL_SOURCE_LABEL, name_label
from aimd.planning.model_source.plan import ImageCounts, ObservedSource, image_counts, plan_model_source, with_reads
from aimd.planning.needs import Reads
from aimd.planning.plan import Plan
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Key, Manifest, key_of


def model_source_controller(
    lists: ImageLists, counts: MutableMapping[Key, ImageCounts]
) -> Definition[AIMClusterModelSource, ObservedSource]:
    """Return the controller of AIMClusterModelSource; `counts` receives the figures that metrics show of each."""

    def plan(observed: ObservedSource, now: datetime) -> Plan:
        counts[Key("", observed.source.metadata.name)] = image_counts(observed)
        return plan_model_source(observed, now)

    def forget(key: Key) -> None:
        lists.forget(key)
        counts.pop(key, None)

    return Definition(
        name="cluster-model-source",
        kind=AIM_CLUSTER_MODEL_SOURCE,
        observe=observe_source,
        plan=plan,
        informers=(Informer(AIM_CLUSTER_MODEL_SOURCE), Informer(AIM_CLUSTER_MODEL), *CONFIG_INFORMERS),
        ties=SOURCE_TIES,
        forget=forget,
    )


def observe_source(source: AIMClusterModelSource, _live: Manifest, reader: Reader, reads: Reads) -> ObservedSource:
    """Return a source, the cluster models that exist, and what the registry listed."""
    manifests = reader.cache[AIM_CLUSTER_MODEL].list()
    models = reader.collect(AIM_CLUSTER_MODEL, manifests).objects
    label = name_label(source.metadata.name)
    own = frozenset(model.spec.image for model in models if model.metadata.labels.get(MODEL_SOURCE_LABEL) == label)
    observed = ObservedSource(
        source=source,
        config=observe_config(reader, "", ""),
        own=own,
        others=frozenset(
            model.spec.image for model in models if model.metadata.labels.get(MODEL_SOURCE_LABEL) != label
        ),
        names=frozenset(key_of(manifest).name for manifest in manifests),
    )
    return with_reads(observed, reads)
