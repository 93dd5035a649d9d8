"""Stand-in for a storage provisioner: each PersistentVolumeClaim of our StorageClasses gets a folder as its volume.

It creates the PersistentVolume with the access modes and the size that the claim requests; the real persistent volume
controller binds the two. After the claim is deleted, folder and volume are deleted (reclaim policy Delete) or stay
(Retain). A claim can be expanded.

Left out: sizes and access modes are not enforced (every mode works, from every node); topology, block volumes,
snapshots, cloning.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.errors import AlreadyExists, NotFound
from aimd.runtime.handlers import for_object
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, Manifest, Request, Result, key_of, metadata_of, uid_of
from aimd.runtime.store import Cache

_FIELD_MANAGER = "aimd-sandbox-volumes"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class VolumeSettings:
    """Settings of the provisioner stand-in.

    `folder` has a folder for each PersistentVolume. The `storage_classes` are created at the start, the first one as
    the default of the cluster. Claims of any class that names `provisioner` get a volume.
    """

    folder: Path
    storage_classes: tuple[str, ...] = ("standard",)
    provisioner: str = "sandbox.aimd.dev/volumes"


async def run_volumes(
    client: Client, settings: VolumeSettings, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Run until cancelled; report as started once the classes exist and the caches are synced."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    await create_storage_classes(client, settings)
    manager = Manager(client, ManagerOptions(metric_prefix="aimd_sandbox_volumes"))
    manager.add(ClaimReconciler(client, manager.cache, settings))
    manager.add(VolumeReconciler(client, manager.cache, settings))
    await manager.run(task_status=task_status)


async def create_storage_classes(client: Client, settings: VolumeSettings) -> None:
    """Create the storage classes; the first one is the default of the cluster."""
    for index, name in enumerate(settings.storage_classes):
        manifest: Manifest = {
            "apiVersion": STORAGE_CLASS.api_version,
            "kind": STORAGE_CLASS.name,
            "metadata": {"name": name, "annotations": {_DEFAULT_CLASS: str(index == 0).lower()}},
            "provisioner": settings.provisioner,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
            "allowVolumeExpansion": True,
        }
        await client.apply(STORAGE_CLASS, manifest, field_manager=_FIELD_MANAGER, reason="setup")


class ClaimReconciler:
    """Creates a volume for each claim that waits for one, and expands bound claims."""

    name = "persistentvolumeclaim"
    kind = PERSISTENT_VOLUME_CLAIM
    workers = 4

    def __init__(self, client: Client, cache: Cache, settings: VolumeSettings) -> None:
        self._client = client
        self._cache = cache
        self._settings = settings
        self.informers: Sequence[Informer] = (
            Informer(PERSISTENT_VOLUME_CLAIM, indexes={"class": lambda claim: [_class_name(claim)]}),
            Informer(STORAGE_CLASS),
        )
        self.watches: Sequence[Watch] = (
            Watch(PERSISTENT_VOLUME_CLAIM, for_object),
            Watch(STORAGE_CLASS, _claims_of_class),
        )

    async def reconcile(self, request: Request) -> Result:
        """Reconcile one claim; ignore claims that are being deleted or belong to other provisioners."""
        claim = self._cache[PERSISTENT_VOLUME_CLAIM].get(request.key)
        if claim is None or metadata_of(claim).get("deletionTimestamp"):
            return Result()
        storage_class = self._cache[STORAGE_CLASS].get(Key("", _class_name(claim)))
        if storage_class is None or storage_class.get("provisioner") != self._settings.provisioner:
            return Result()
        volume_name = claim["spec"].get("volumeName") or ""
        if not volume_name and _wants_volume_now(claim, storage_class):
            await self._provision(claim, storage_class)
        elif volume_name == _volume_name(claim):
            await self._grow(claim)
        return Result()

    async def _provision(self, claim: Manifest, storage_class: Manifest) -> None:
        folder = self._settings.folder / _volume_name(claim)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        spec = claim["spec"]
        volume: Manifest = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": _volume_name(claim),
                "annotations": {_PROVISIONED_BY: self._settings.provisioner},
            },
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "volumeMode": spec.get("volumeMode") or "Filesystem",
                "storageClassName": _class_name(claim),
                "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
                "mountOptions": storage_class.get("mountOptions") or [],
                "hostPath": {"path": str(folder), "type": "Directory"},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": key_of(claim).namespace,
                    "name": key_of(claim).name,
                    "uid": uid_of(claim),
                },
            },
        }
        try:
            await self._client.create(PERSISTENT_VOLUME, volume, reason="provision", field_manager=_FIELD_MANAGER)
        except AlreadyExists:
            return

    async def _grow(self, claim: Manifest) -> None:
        wanted = claim["spec"]["resources"]["requests"]["storage"]
        granted = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
        if granted is None or quantity(wanted) <= quantity(granted):
            return
        capacity = {"capacity": {"storage": wanted}}
        volume = Key("", _volume_name(claim))
        await self._client.patch(PERSISTENT_VOLUME, volume, {"spec": capacity}, reason="grow")
        status = {"status": {**capacity, "conditions": None}}
        await self._client.patch(PERSISTENT_VOLUME_CLAIM, key_of(claim), status, reason="grow", subresource="status")


class VolumeReconciler:
    """Deletes folder and volume after their claim has been deleted."""

    name = "persistentvolume"
    kind = PERSISTENT_VOLUME
    workers = 4
    informers: Sequence[Informer] = (Informer(PERSISTENT_VOLUME),)
    watches: Sequence[Watch] = (Watch(PERSISTENT_VOLUME, for_object),)

    def __init__(self, client: Client, cache: Cache, settings: VolumeSettings) -> None:
        self._client = client
        self._cache = cache
        self._settings = settings

    async def reconcile(self, request: Request) -> Result:
        """Reconcile one volume; the persistent volume controller marks it Released when its claim is deleted."""
        volume = self._cache[PERSISTENT_VOLUME].get(request.key)
        if volume is None:
            return Result()
        annotations = metadata_of(volume).get("annotations") or {}
        ours = annotations.get(_PROVISIONED_BY) == self._settings.provisioner
        released = (volume.get("status") or {}).get("phase") == "Released"
        if ours and released and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            folder = self._settings.folder / request.key.name
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
            try:
                await self._client.delete(PERSISTENT_VOLUME, request.key, reason="reclaim", uid=uid_of(volume))
            except NotFound:
                return Result()
        return Result()


_SUFFIXES = {
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}


def quantity(text: str) -> Decimal:
    """Return the value of a quantity such as `10Gi` or `500M`. Raises decimal.InvalidOperation for any other text."""
    for suffix, factor in _SUFFIXES.items():
        if text.endswith(suffix):
            return Decimal(text.removesuffix(suffix)) * factor
    return Decimal(text)


def _wants_volume_now(claim: Manifest, storage_class: Manifest) -> bool:
    """Return whether to provision now; with WaitForFirstConsumer, not before the scheduler has selected a node."""
    if storage_class.get("volumeBindingMode") != "WaitForFirstConsumer":
        return True
    return _SELECTED_NODE in (metadata_of(claim).get("annotations") or {})


def _class_name(claim: Manifest) -> str:
    return str(claim["spec"].get("storageClassName") or "")


def _volume_name(claim: Manifest) -> str:
    return f"pvc-{uid_of(claim)}"


def _claims_of_class(storage_class: Manifest, cache: Cache) -> Iterable[Key]:
    return [key_of(claim) for claim in cache[PERSISTENT_VOLUME_CLAIM].by_index("class", key_of(storage_class).name)]
