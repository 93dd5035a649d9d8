"""A real image registry (CNCF Distribution) on loopback, and images to push to it.

To a registry and its clients, the images are real: a manifest, a configuration with labels, environment and history,
and small layers. They cannot be run.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from aimd.sandbox.certificates import KeyPairFiles
from aimd.sandbox.processes import Supervisor

OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


async def start_registry(
    supervisor: Supervisor, binary: Path, *, serving: KeyPairFiles | None = None, htpasswd: str = "", page_size: int = 0
) -> int:
    """Start an empty registry on a free port, and return the port.

    With a serving certificate, it serves HTTPS. `htpasswd` are the lines of an htpasswd file (bcrypt), for basic
    authentication. `page_size` is the maximum number of names in a response, 0 for the default of the registry.
    """
    folder = supervisor.folder / f"registry-{len(list(supervisor.folder.glob('registry-*')))}"
    folder.mkdir()
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd, encoding="utf-8")

    def command(ports: Sequence[int]) -> Sequence[str | Path]:
        http: dict[str, object] = {"addr": f"127.0.0.1:{ports[0]}", "secret": "sandbox"}
        if serving is not None:
            http["tls"] = {"certificate": str(serving.certificate), "key": str(serving.key)}
        config: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "store")}},
            "http": http,
        }
        if htpasswd:
            config["auth"] = {"htpasswd": {"realm": "sandbox", "path": str(folder / "htpasswd")}}
        if page_size:
            config["catalog"] = {"maxentries": page_size}
            config["tags"] = {"maxtags": page_size}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML.
        return [binary, "serve", folder / "config.json"]

    scheme = "http" if serving is None else "https"

    async def ready(ports: Sequence[int]) -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501 (loopback)
                answer = await client.get(f"{scheme}://127.0.0.1:{ports[0]}/v2/")
        except httpx.HTTPError:
            return False
        return answer.status_code in (200, 401)

    environment = {"OTEL_TRACES_EXPORTER": "none"}
    ports = await supervisor.start_on_free_ports(folder.name, command, ready=ready, environment=environment)
    return ports[0]


@dataclass(frozen=True)
class Layer:
    """An entry of an image's history, and the layer that it made.

    `created_by` is the instruction as the builder writes it. `files` are contents by path, where whiteouts are files,
    too. An `empty` entry, such as that of `ENV`, has no layer. `blob` replaces the compressed archive of `files`, and
    `media_type` the one of the image's kind.
    """

    created_by: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    empty: bool = False
    blob: bytes | None = None
    media_type: str = ""

    @property
    def archive(self) -> bytes:
        """The layer's files as a tar archive."""
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as archive:
            for path, content in self.files.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return written.getvalue()

    @property
    def content(self) -> bytes:
        """The layer as it is in the registry."""
        return gzip.compress(self.archive, mtime=0) if self.blob is None else self.blob


@dataclass(frozen=True)
class Image:
    """An image to push: its labels, its environment, and its platforms; several platforms make an index.

    `env` are texts like `NAME=value`. `layers` are the entries of its history in order; without any it has one layer
    without files. `history` is whether the history is there, which tools that squash images drop.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: Sequence[tuple[str, str]] = (("linux", "amd64"),)
    media_types: Mapping[str, str] = field(default_factory=lambda: OCI)
    env: Sequence[str] = ()
    layers: Sequence[Layer] = (Layer("COPY / / # buildkit"),)
    history: bool = True

    def config(self, platform: tuple[str, str]) -> bytes:
        """Return the configuration for a platform."""
        stored = [layer for layer in self.layers if not layer.empty]
        document: dict[str, object] = {
            "os": platform[0],
            "architecture": platform[1],
            "config": {"Env": list(self.env), "Labels": {**self.labels, "platform": "/".join(platform)}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer.archive) for layer in stored]},
        }
        if self.history:
            document["history"] = [_history(layer) for layer in self.layers]
        return json.dumps(document).encode()


async def push_image(client: httpx.AsyncClient, name: str, tag: str, image: Image) -> str:
    """Push an image under a tag, and return the digest that the tag then refers to.

    `client` has the base URL of the registry, and credentials if it requires any. Raises httpx.HTTPError.
    """
    manifests = [await _push_platform(client, name, image, platform) for platform in image.platforms]
    if len(manifests) == 1:
        return await _push_manifest(client, name, tag, manifests[0], image.media_types["manifest"])
    entries = []
    for manifest, (system, architecture) in zip(manifests, image.platforms, strict=True):
        digest = _digest(manifest)
        await _push_manifest(client, name, digest, manifest, image.media_types["manifest"])
        entry = {"mediaType": image.media_types["manifest"], "digest": digest, "size": len(manifest)}
        entries.append({**entry, "platform": {"os": system, "architecture": architecture}})
    kind = image.media_types["index"]
    index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
    return await _push_manifest(client, name, tag, index, kind)


def _history(layer: Layer) -> dict[str, object]:
    return {"created_by": layer.created_by, **({"empty_layer": True} if layer.empty else {})}


async def _push_platform(client: httpx.AsyncClient, name: str, image: Image, platform: tuple[str, str]) -> bytes:
    kinds = image.media_types
    config = await _push_content(client, name, image.config(platform), kinds["config"])
    layers = [
        await _push_content(client, name, layer.content, layer.media_type or kinds["layer"])
        for layer in image.layers
        if not layer.empty
    ]
    manifest = {"schemaVersion": 2, "mediaType": kinds["manifest"], "config": config, "layers": layers}
    return json.dumps(manifest).encode()


async def _push_content(client: httpx.AsyncClient, name: str, content: bytes, kind: str) -> dict[str, object]:
    """Push a blob, and return its descriptor."""
    await _push_blob(client, name, content)
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


async def _push_blob(client: httpx.AsyncClient, name: str, content: bytes) -> None:
    started = (await client.post(f"/v2/{name}/blobs/uploads/")).raise_for_status()
    target = httpx.URL(started.headers["location"]).copy_merge_params({"digest": _digest(content)})
    (await client.put(target, content=content)).raise_for_status()


async def _push_manifest(client: httpx.AsyncClient, name: str, identifier: str, content: bytes, kind: str) -> str:
    path = f"/v2/{name}/manifests/{identifier}"
    (await client.put(path, content=content, headers={"Content-Type": kind})).raise_for_status()
    return _digest(content)


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
