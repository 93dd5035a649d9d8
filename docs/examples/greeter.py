"""A complete operator: each Greeting gets a ConfigMap with its text, whose name is in the Greeting's status.

Run it against the cluster of your kubeconfig, until Ctrl-C: `python docs/examples/greeter.py`
"""

from collections.abc import Sequence

import anyio

from aimd.runtime.apply import Applier
from aimd.runtime.client import connect
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import for_object, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Desired, Kind, Manifest, Request, Result, owner_reference
from aimd.runtime.predicates import generation_changed
from aimd.runtime.status import StatusWriter

GREETING = Kind("example.com", "v1", "Greeting", "greetings")


def plan(greeting: Manifest) -> Manifest:
    """Return the ConfigMap of a Greeting. A pure function, which can be tested without a cluster."""
    name, namespace = greeting["metadata"]["name"], greeting["metadata"]["namespace"]
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.name,
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner_reference(GREETING, greeting)]},
        "data": {"text": f"Hello, {greeting['spec'].get('to', 'world')}!"},
    }


class GreetingReconciler:
    """Creates and updates the ConfigMap of each Greeting."""

    name = "greeting"
    kind = GREETING
    workers = 4
    informers: Sequence[Informer] = (Informer(GREETING), Informer(CONFIG_MAP))
    watches: Sequence[Watch] = (Watch(GREETING, for_object, generation_changed), Watch(CONFIG_MAP, for_owner(GREETING)))

    def __init__(self, manager: Manager) -> None:
        self.greetings = manager.cache
        self.applier = Applier(manager.client, manager.cache, "greeter")
        self.status = StatusWriter(manager.client, manager.cache, "greeter")

    async def reconcile(self, request: Request) -> Result:
        """Bring a Greeting's ConfigMap and status up to date; runs whenever one of the two has changed."""
        greeting = self.greetings[GREETING].get(request.key)
        if greeting is None:
            return Result()  # Deleted; garbage collection deletes the ConfigMap.
        applied = await self.applier.apply([Desired(CONFIG_MAP, plan(greeting), "greeting")])
        message = applied.failures[0][2].message if applied.failures else ""
        await self.status.write(GREETING, greeting, {"configMap": request.key.name, "error": message or None})
        return Result(retry=bool(applied.failures))


async def main(options: ManagerOptions) -> None:
    """Run until canceled."""
    async with connect() as client:
        manager = Manager(client, options)
        manager.add(GreetingReconciler(manager))
        await manager.run()


if __name__ == "__main__":
    anyio.run(main, ManagerOptions(metric_prefix="greeter", health_address="127.0.0.1:8081"))
