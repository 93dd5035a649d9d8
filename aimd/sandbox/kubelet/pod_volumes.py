"""The volumes of a pod as folders: persistent volumes from the provisioner, all others written for the pod.

ConfigMaps, Secrets and pod fields are written once, when the pod starts; only tokens are refreshed (`renew_tokens`).
Volumes of other types, such as host paths, are empty folders.
"""

# tests: tests/integration/test_standins.py

from collections.abc import Mapping
from pathlib import Path

from aimd.runtime.client import Client
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import CONFIG_MAP, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, SECRET
from aimd.runtime.objects import Key, Kind, Manifest, key_of, uid_of
from aimd.runtime.store import Cache
from aimd.sandbox.kubelet.environment import pod_field
from aimd.sandbox.kubelet.files import entries_of, write_entries


class VolumeNotReady(Exception):
    """A volume cannot be mounted yet; the message says what is missing."""


class PodVolumes:
    """Writes the volumes of one pod to `folder`; `address` is that of the pod."""

    def __init__(self, client: Client, cache: Cache, pod: Manifest, folder: Path, address: str) -> None:
        self._client = client
        self._cache = cache
        self._pod = pod
        self._namespace = key_of(pod).namespace
        self._folder = folder
        self._address = address

    async def prepare(self) -> dict[str, Path]:
        """Return the folders by volume name. Raises VolumeNotReady until all volumes can be mounted."""
        volumes: list[Manifest] = self._pod["spec"].get("volumes") or []
        claims = {item["name"]: self._claimed(item["persistentVolumeClaim"]) for item in volumes if _is_claim(item)}
        return claims | {item["name"]: await self._written(item) for item in volumes if not _is_claim(item)}

    async def renew_tokens(self) -> None:
        """Replace the tokens of the pod. Raises ApiError, or VolumeNotReady if the account does not exist."""
        for volume in self._pod["spec"].get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if "serviceAccountToken" in source:
                    await self._write(self._folder / str(volume["name"]), source)

    async def read(self, kind: Kind, name: str) -> Manifest | None:
        """Return a ConfigMap or Secret of the pod's namespace, None if it does not exist."""
        try:
            return await self._client.get(kind, Key(self._namespace, name))
        except NotFound:
            return None

    def _claimed(self, source: Manifest) -> Path:
        key = Key(self._namespace, source["claimName"])
        claim = self._cache[PERSISTENT_VOLUME_CLAIM].get(key)
        if claim is None:
            raise VolumeNotReady(f'persistentvolumeclaim "{key.name}" not found')
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise VolumeNotReady(f'persistentvolumeclaim "{key.name}" is not bound')
        volume = self._cache[PERSISTENT_VOLUME].get(Key("", claim["spec"]["volumeName"]))
        host_path = ((volume or {}).get("spec") or {}).get("hostPath") or {}
        if not host_path:
            raise VolumeNotReady(f'persistentvolume "{claim["spec"]["volumeName"]}" is not a folder of this host')
        return Path(host_path["path"])

    async def _written(self, volume: Manifest) -> Path:
        folder = self._folder / str(volume["name"])
        folder.mkdir(parents=True, exist_ok=True)
        if "projected" in volume:
            for source in volume["projected"].get("sources") or ():
                await self._write(folder, source)
        else:
            await self._write(folder, volume)
        return folder

    async def _write(self, folder: Path, source: Mapping[str, Manifest]) -> None:
        """Write one source of files; field names differ between plain and projected volumes."""
        if config_map := source.get("configMap"):
            await self._write_keys(folder, CONFIG_MAP, config_map["name"], config_map)
        elif secret := source.get("secret"):
            await self._write_keys(folder, SECRET, secret.get("secretName") or secret["name"], secret)
        elif downward := source.get("downwardAPI"):
            fields = {item["path"]: item["fieldRef"]["fieldPath"] for item in downward.get("items") or ()}
            contents = {path: pod_field(self._pod, field, self._address).encode() for path, field in fields.items()}
            write_entries(folder, contents)
        elif token := source.get("serviceAccountToken"):
            write_entries(folder, {token["path"]: (await self._request_token(token)).encode()})

    async def _write_keys(self, folder: Path, kind: Kind, name: str, source: Manifest) -> None:
        manifest = await self.read(kind, name)
        if manifest is None:
            if source.get("optional"):
                return
            raise VolumeNotReady(f'{kind.name.lower()} "{name}" not found')
        try:
            write_entries(folder, entries_of(manifest), source.get("items") or ())
        except KeyError as error:
            raise VolumeNotReady(f'{kind.name.lower()} "{name}" has no key {error}') from error

    async def _request_token(self, source: Manifest) -> str:
        """Request a token of the pod's ServiceAccount that is bound to the pod, as a kubelet does."""
        account = self._pod["spec"].get("serviceAccountName") or "default"
        kind = Kind("", "v1", "TokenRequest", f"serviceaccounts/{account}/token")
        audience = source.get("audience")
        body: Manifest = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"namespace": self._namespace},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": source.get("expirationSeconds") or 3600,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": key_of(self._pod).name,
                    "uid": uid_of(self._pod),
                },
            },
        }
        try:
            answer = await self._client.create(kind, body, reason="token")
        except NotFound as error:
            raise VolumeNotReady(f'serviceaccount "{account}" not found') from error
        return str(answer["status"]["token"])


def _is_claim(volume: Manifest) -> bool:
    return "persistentVolumeClaim" in volume
