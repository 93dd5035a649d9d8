"""A small controller, on which the tests of the runtime see what the runtime does."""

from collections.abc import Sequence

import anyio

from aimd.runtime.apply import Applier
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import for_object, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import CONFIG_MAP, SECRET
from aimd.runtime.manager import Manager
from aimd.runtime.objects import Desired, Manifest, Request, Result, key_of, labels_of, owner_reference


class Copier:
    """For each Secret ConfigMaps with its label `value`, one for each suffix to its name; counts reconciles and writes.

    `delay`: seconds that each reconcile takes before it looks.
    """

    name = "copier"
    kind = SECRET
    workers = 4
    informers: Sequence[Informer] = (Informer(SECRET), Informer(CONFIG_MAP))
    watches: Sequence[Watch] = (Watch(SECRET, for_object), Watch(CONFIG_MAP, for_owner(SECRET)))

    def __init__(self, manager: Manager, *suffixes: str) -> None:
        self.cache = manager.cache
        self.applier = Applier(manager.client, manager.cache, self.name)
        self.suffixes = suffixes or ("",)
        self.reconciles = 0
        self.written = 0
        self.delay = 0.0

    async def reconcile(self, request: Request) -> Result:
        self.reconciles += 1
        await anyio.sleep(self.delay)
        live = self.cache[SECRET].get(request.key)
        if live is None:
            return Result()
        applied = await self.applier.apply([_copy(live, suffix) for suffix in self.suffixes])
        self.written += applied.written
        return Result(retry=bool(applied.failures))


def _copy(secret: Manifest, suffix: str) -> Desired:
    key = key_of(secret)
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{key.name}{suffix}",
            "namespace": key.namespace,
            "ownerReferences": [owner_reference(SECRET, secret)],
        },
        "data": {"value": labels_of(secret).get("value", "")},
    }
    return Desired(CONFIG_MAP, manifest, "copy")


def secret(namespace: str, name: str, value: str = "") -> Manifest:
    """A Secret for the copier."""
    metadata = {"name": name, "namespace": namespace, "labels": {"value": value}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
