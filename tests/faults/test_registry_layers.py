"""Hostile layers: profile files that cannot be read leave labels usable, within bounds of time, bytes and requests."""

import gc
import gzip
import hashlib
import io
import json
import tarfile
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest

from aimd.registry.cache import InspectionCache
from aimd.registry.client import RegistryClient, connect_registries
from aimd.registry.contents import UNSETTLED_LIFE
from aimd.registry.credentials import Keyring, keyring_of
from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.images import Inspection
from aimd.registry.options import RegistryOptions
from aimd.registry.profile_files import NO_PROFILES, ProfileFiles
from aimd.registry.reference import ImageReference
from aimd.sandbox.image_registry import Image, Layer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LABELS = {"com.amd.aim.model.canonicalName": "o/m"}
ENV = {"AIM_ID": "o/m", "PATH": "/bin:/usr/bin"}
FOLDER = "workspace/aim-runtime/profiles"
COPY = f"COPY profiles /{FOLDER} # buildkit"
NAME = "o/m/vllm-mi300x-fp16-tp1-latency.yaml"
TEXT = "aim_id: o/m\n"


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def files(*names: str, text: str = TEXT) -> Layer:
    return Layer(COPY, {f"{FOLDER}/{name}": text.encode() for name in names})


def raw(blob: bytes, **fields: Any) -> Layer:
    return Layer(COPY, blob=blob, **fields)


def aim(*layers: Layer, history: bool = True) -> Image:
    """An AIM with these layers upon one that is too large to download."""
    base = Layer("RUN pip install vllm", blob=b"too large")
    return Image(
        LABELS, env=[f"{name}={value}" for name, value in ENV.items()], layers=(base, *layers), history=history
    )


@dataclass
class Registry:
    """A registry of images by tag, all in one repository; `replies` are other answers by digest of a blob."""

    bench: Any
    images: Mapping[str, Image]
    replies: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes of layers for the manifest, if not the true ones."""

    def __call__(self, asked: Any) -> Any:
        _, _, kind, identifier = asked.path.rsplit("/", 3)
        if kind == "manifests":
            tag = next((tag for tag in self.images if identifier in (tag, digest_of(self.manifest(tag)))), "")
            return self.bench.reply(200, self.manifest(tag)) if tag else self.bench.reply(404)
        if identifier in self.replies:
            reply = self.replies[identifier]
            return reply(asked) if callable(reply) else reply
        blobs = [self.config(tag) for tag in self.images]
        blobs += [layer.content for image in self.images.values() for layer in image.layers]
        found = next((blob for blob in blobs if digest_of(blob) == identifier), None)
        return self.bench.reply(404) if found is None else self.bench.reply(200, found)

    def config(self, tag: str) -> bytes:
        return self.images[tag].config(("linux", "amd64"))

    def manifest(self, tag: str) -> bytes:
        layers = [self._described(layer) for layer in self.images[tag].layers if not layer.empty]
        config = {"digest": digest_of(self.config(tag)), "size": len(self.config(tag))}
        return encoded({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})

    def _described(self, layer: Layer) -> dict[str, object]:
        digest = digest_of(layer.content)
        too_large = layer.blob == b"too large"
        size = 20 << 30 if too_large else self.sizes.get(digest, len(layer.content))
        return {"mediaType": layer.media_type or GZIP, "digest": digest, "size": size}


@dataclass
class World:
    """A client and a cache, and the server behind `r.io` and `evil.io`."""

    client: RegistryClient
    cache: InspectionCache
    server: Any
    codes: list[str]
    now: list[float]

    async def inspect(self, tag: str = "1", registry: str = "r.io", keyring: Keyring | None = None) -> Inspection:
        answer = await self.cache.inspect(ImageReference(registry, "o/x", tag), keyring or Keyring())
        assert isinstance(answer, Inspection), answer
        assert {**answer.labels, "platform": ""} == {**LABELS, "platform": ""}
        assert answer.env == ENV
        return answer

    async def failure(self) -> RegistryFailure:
        answer = await self.client.inspect(ImageReference("r.io", "o/x", "1"), Keyring())
        assert isinstance(answer, RegistryFailure), answer
        return answer

    def operations(self) -> list[str]:
        """Operations of all requests since the last time."""
        found = [code.split()[1] for code in self.codes]
        self.codes.clear()
        return found


@asynccontextmanager
async def world(
    bench: Any, script: Callable[[Any], Any], *, trusted: int | None = None, **options: Any
) -> AsyncIterator[World]:
    codes: list[str] = []
    now = [1000.0]
    async with bench.serving(script) as server:
        address = f"http://127.0.0.1:{server.port}"
        settings: dict[str, Any] = {
            "timeout": 6.0,
            "retry_delays": (0.0, 0.0),
            "endpoints": {"r.io": address, "evil.io": address, "blobs.io": f"http://127.0.0.1:{trusted or 1}"},
            "observer": lambda registry, operation, code, seconds: codes.append(f"{registry} {operation} {code}"),
        }
        async with connect_registries(RegistryOptions(**{**settings, **options})) as client:
            yield World(client, InspectionCache(client, lambda: now[0]), server, codes, now)


async def test_profile_files_of_an_image(bench: Any) -> None:
    """Prove REG-PRF-1."""
    general = replace(files("general/g.yaml", NAME, text="old"), created_by=f"COPY dir:1 in /{FOLDER}/general")
    image = aim(general, Layer("ENV AIM_ID=o/m", empty=True), Layer("RUN true", {"x": b""}), files(NAME))
    async with world(bench, Registry(bench, {"1": image})) as registry:
        answer = await registry.inspect()
        assert answer.profiles == ProfileFiles({"general/g.yaml": "old", NAME: TEXT})
        assert registry.codes == ["r.io manifest 200", "r.io config 200", "r.io layer 200", "r.io layer 200"]


async def test_an_image_without_history(bench: Any) -> None:
    """Prove REG-PRF-3."""
    async with world(bench, Registry(bench, {"1": aim(files(NAME), history=False)})) as registry:
        assert (await registry.inspect()).profiles.files == {NAME: TEXT}
        assert registry.operations() == ["manifest", "config", "layer"]
    hidden = aim(Layer("COPY x /workspace", {"workspace/x": b""}), history=False)
    for image in (hidden, replace(hidden, layers=()), aim(files("x.yml"))):
        async with world(bench, Registry(bench, {"1": image})) as registry:
            profiles = (await registry.inspect()).profiles
            assert f".yaml files in /{FOLDER}" in profiles.unreadable or "can be read without" in profiles.unreadable
            assert profiles.files == {}


async def test_an_ordinary_image_costs_no_layer(bench: Any) -> None:
    """Prove REG-PRF-2."""
    image = Image({}, env=["PATH=/bin"], layers=(Layer("COPY x /", {"x": b""}),))
    async with world(bench, Registry(bench, {"1": image})) as registry:
        answer = await registry.client.inspect(ImageReference("r.io", "o/x", "1"), Keyring())
        assert isinstance(answer, Inspection)
        assert answer.profiles == NO_PROFILES
        assert registry.operations() == ["manifest", "config"]


def tar_of(*entries: tuple[str, bytes, bytes]) -> bytes:
    """An archive of names, types and contents."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, kind, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(content), "/etc/passwd" if kind == b"2" else ""
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def bomb(length: int) -> bytes:
    inner = zlib.compressobj(9, wbits=31)
    return b"".join(inner.compress(bytes(1 << 20)) for _ in range(length >> 20)) + inner.flush()


def many_entries(count: int) -> bytes:
    inner = zlib.compressobj(9, wbits=31)
    header = tarfile.TarInfo(f"{FOLDER}/a.yaml").tobuf()
    return b"".join(inner.compress(header * 1000) for _ in range(count // 1000)) + inner.flush()


HOSTILE: dict[str, tuple[Layer, str]] = {
    "bomb": (raw(bomb(200 << 20)), "unpacks to more than a layer with profile files would"),
    "a million entries": (raw(many_entries(1_000_000)), "bytes, and layers with profile files are read up to"),
    "400,000 entries": (raw(many_entries(400_000)), "unpacks to more than a layer with profile files would"),
    "16,000 entries": (raw(many_entries(16_000)), "has more than 2000 entries in /workspace"),
    "countless parts": (raw(gzip.compress(b"") * 50_000), "consists of more than 10000 gzip files"),
    "zstd": (raw(b"\x28\xb5\x2f\xfd", media_type="application/vnd.oci.image.layer.v1.tar+zstd"), "with zstd, which"),
    "zstd in disguise": (raw(b"\x28\xb5\x2f\xfd"), "is compressed with zstd, which aimd does not read: push the image"),
    "encrypted": (raw(b"x", media_type=f"{GZIP}+encrypted"), "which aimd does not read"),
    "truncated gzip": (raw(files(NAME).content[:-9]), "is truncated"),
    "truncated archive": (raw(files(NAME).archive[:520]), "is truncated or damaged"),
    "no archive": (raw(b"<html>log in</html>"), "is not a tar archive"),
    "too large": (raw(bytes((1 << 20) + 1)), "has 1048577 bytes, and layers with profile files are read up to"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("history", [True, False])
async def test_hostile_layers(bench: Any, name: str, history: bool) -> None:
    """Prove REG-PRF-4."""
    layer, message = HOSTILE[name]
    if not history and len(layer.content) > 64 << 10:
        message = "no layer that can be read without the image"
    async with world(bench, Registry(bench, {"1": aim(layer, history=history)})) as registry:
        gc.collect()
        tracemalloc.start()
        started = time.monotonic()
        answer = await undisturbed(registry.inspect)
        assert time.monotonic() - started < 5
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert answer.profiles.files == {}
        assert len(answer.profiles.unreadable) < 300
        assert most < 64 << 20
        assert_matches(message, answer.profiles.unreadable)
        registry.codes.clear()
        assert await registry.inspect("1") == answer  # known from now on
        assert registry.operations() == []


def assert_matches(pattern: str, text: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


async def undisturbed(call: Callable[[], Awaitable[Inspection]]) -> Inspection:
    """Return the result of a call during which the event loop was never busy for long."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            started = time.thread_time()
            await anyio.sleep(0.001)
            longest = max(longest, time.thread_time() - started)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        answer = await call()
        group.cancel_scope.cancel()
    assert longest < 0.25
    return answer


async def test_entries_that_lead_elsewhere(bench: Any) -> None:
    """Prove REG-PRF-5."""
    lower = files("a.yaml", "b.yaml", "c.yaml", "d/e.yaml")
    upper = tar_of(
        (f"../../{FOLDER}/a.yaml", b"0", b"outside"),
        (f"{FOLDER}/../../../etc/x.yaml", b"0", b"outside"),
        (f"{FOLDER}/b.yaml", b"2", b""),
        (f"{FOLDER}/.wh.c.yaml", b"0", b""),
        (f"{FOLDER}/d/.wh..wh..opq", b"0", b""),
        (f"{FOLDER}/null.yaml", b"3", b""),
    )
    async with world(bench, Registry(bench, {"1": aim(lower, raw(gzip.compress(upper)))})) as registry:
        profiles = (await registry.inspect()).profiles
        assert profiles.files == {"a.yaml": TEXT}
        assert profiles.remarks == tuple(
            f"{name} is a link or another special file" for name in ("b.yaml", "null.yaml")
        )


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"body": b"something else"}, "that differs from its digest"),
        ({"body": b"x" * 5000}, "sent more than the limit of"),
        ({"status": 404}, "404"),
        ({"status": 403}, "403"),
        ({"status": 418}, "418"),
        ({"headers": {"Content-Encoding": "br"}}, "sent a body compressed as 'br'"),
        ({"chunks": [b" " * (1 << 20)] * 50}, "sent more than the limit of"),
    ],
)
async def test_layers_that_the_registry_does_not_deliver(bench: Any, reply: dict[str, Any], message: str) -> None:
    """Prove REG-PRF-4: what may be right the next time is asked again, a minute later."""
    layer = files(NAME)
    broken = {digest_of(layer.content): bench.reply(**reply)}
    script = Registry(bench, {"1": aim(layer)}, broken)
    async with world(bench, script) as registry:
        profiles = (await registry.inspect()).profiles
        assert profiles.files == {}
        assert_matches(message, profiles.unreadable)
        registry.codes.clear()
        assert (await registry.inspect()).profiles == profiles
        assert registry.operations() == []
        script.replies = {}
        registry.now[0] += UNSETTLED_LIFE
        assert (await registry.inspect()).profiles.files == {NAME: TEXT}


@pytest.mark.parametrize(
    ("reply", "problem", "reason"),
    [
        ({"status": 429, "headers": {"Retry-After": "7"}}, Problem.RATE_LIMIT, "ImagePullBackOff"),
        ({"status": 503}, Problem.UNAVAILABLE, "ImagePullBackOff"),
        ({"then": "reset"}, Problem.NETWORK, "NetworkError"),
        ({"silence": 60.0}, Problem.NETWORK, "NetworkTimeout"),
        ({"chunks": [b"\x1f"], "then": "stay"}, Problem.NETWORK, "NetworkTimeout"),
        ({"chunks": [b"\x1f"] * 10_000}, Problem.NETWORK, "NetworkTimeout"),
    ],
)
async def test_trouble_that_passes_fails_the_inspection(
    bench: Any, reply: dict[str, Any], problem: Problem, reason: str
) -> None:
    """Prove REG-PRF-4."""
    layer = files(NAME)
    script = Registry(
        bench, {"1": aim(layer)}, {digest_of(layer.content): bench.reply(**reply)}, {digest_of(layer.content): 1 << 20}
    )
    async with world(bench, script, timeout=0.5) as registry:
        started = time.monotonic()
        failure = await registry.failure()
        assert time.monotonic() - started < 5
        assert (failure.problem, failure.reason, failure.transient) == (problem, reason, True)


async def test_layers_are_downloaded_from_where_the_registry_keeps_them(bench: Any) -> None:
    """Prove REG-CRD-3."""
    layer = files(NAME)
    async with bench.serving(lambda asked: bench.reply(200, layer.content)) as cdn:
        redirect = bench.reply(307, headers={"Location": f"http://127.0.0.1:{cdn.port}/blob?signature=1"})
        images = Registry(bench, {"1": aim(layer)}, {digest_of(layer.content): redirect})

        def script(asked: Any) -> Any:
            if "authorization" not in asked.headers:
                return bench.reply(401, headers={"WWW-Authenticate": "Basic realm=x"})
            return images(asked)

        async with world(bench, script, trusted=cdn.port) as registry:
            ring = keyring_of({f"127.0.0.1:{registry.server.port}": {"username": "u", "password": "p"}}, "")
            answer = await registry.inspect(keyring=ring)
            assert answer.profiles.files == {NAME: TEXT}
            assert not answer.public
            assert [request.path for request in cdn.asked] == ["/blob"]
            assert "authorization" not in cdn.asked[0].headers


async def test_the_same_image_by_many_tags_is_read_once(bench: Any) -> None:
    """Prove REG-PRF-6."""
    image = aim(files(NAME))
    recompressed = replace(image, layers=(*image.layers[:1], replace(files(NAME), blob=files(NAME).archive)))
    images = {"1": image, "2": image, "3": recompressed, "4": replace(image, history=False)}
    script = Registry(bench, images)
    async with world(bench, script) as registry:
        first = await registry.inspect("1")
        assert registry.operations() == ["manifest", "config", "layer"]
        for tag in ("2", "3"):
            again = await registry.inspect(tag)
            assert (again.labels, again.env, again.profiles) == (first.labels, first.env, first.profiles)
            assert registry.operations() == ["manifest"]
        await registry.inspect("4")  # another configuration with a layer that is known
        assert registry.operations() == ["manifest", "config"]


async def test_a_layer_of_several_images_is_read_once(bench: Any) -> None:
    """Prove REG-PRF-6: AIMs on one base image share its general profile files."""
    general = replace(files("general/g.yaml"), created_by=f"COPY dir:1 in /{FOLDER}/general")
    images = {str(number): aim(general, files(NAME, text=f"a: {number}")) for number in range(3)}
    async with world(bench, Registry(bench, images)) as registry:
        for number in range(3):
            answer = await registry.inspect(str(number))
            assert answer.profiles.files == {"general/g.yaml": TEXT, NAME: f"a: {number}"}
        assert registry.operations().count("layer") == 4


async def test_many_tags_of_an_image_at_the_same_time(bench: Any) -> None:
    """Prove REG-PRF-6."""
    image = aim(files(NAME))
    async with world(bench, Registry(bench, {str(number): image for number in range(20)})) as registry:
        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(registry.inspect, str(number % 20))
        operations = registry.operations()
        assert {name: operations.count(name) for name in set(operations)} == {"manifest": 20, "config": 1, "layer": 1}


async def test_a_configuration_in_other_hands_changes_nothing_for_its_owner(bench: Any) -> None:
    """Prove REG-PRF-6: the profile files of a copied configuration are known only if they are those of its layers."""
    good = aim(files(NAME))
    evil, other = (replace(good, layers=(*good.layers[:1], files(NAME, text=text))) for text in ("evil", "other"))
    short = replace(good, layers=good.layers[:1])

    class Thief(Registry):
        def config(self, tag: str) -> bytes:
            return good.config(("linux", "amd64"))

    images = {"good": good, "evil": evil, "short": short, "other": other}
    async with world(bench, Thief(bench, images)) as registry:
        assert (await registry.inspect("evil", "evil.io")).profiles.files == {NAME: "evil"}
        assert (await registry.inspect("short", "evil.io")).profiles.files == {}
        assert (await registry.inspect("good")).profiles.files == {NAME: TEXT}
        assert registry.operations().count("layer") == 2
        assert (await registry.inspect("other")).profiles.files == {NAME: TEXT}  # as its configuration says
        assert registry.operations() == ["manifest"]


async def test_private_contents_are_known_to_their_own_credentials_only(bench: Any) -> None:
    """Prove REG-CRD-4, also behind a mirror: the credentials that count are those for the host that is asked."""
    images = Registry(bench, {"1": aim(files(NAME)), "2": aim(files(NAME))})

    def script(asked: Any) -> Any:
        if "authorization" not in asked.headers:
            return bench.reply(401, headers={"WWW-Authenticate": "Basic realm=x"})
        return images(asked)

    async with world(bench, script) as registry:
        ring = keyring_of({f"127.0.0.1:{registry.server.port}": {"username": "u", "password": "p"}}, "")
        await registry.inspect("1", keyring=ring)
        registry.codes.clear()
        await registry.inspect("2", keyring=ring)
        assert registry.operations().count("config") == 0
        for tag in ("1", "2"):
            refused = await registry.cache.inspect(ImageReference("r.io", "o/x", tag), Keyring())
            assert isinstance(refused, RegistryFailure)
            assert refused.problem is Problem.AUTH


@pytest.mark.parametrize("env", [["A", 5, None, "=x", "AIM_ID=o/m"], None, "x", {"a": 1}])
async def test_an_environment_that_is_none(bench: Any, env: object) -> None:
    """Prove REG-PRF-1."""
    document = json.loads(aim().config(("linux", "amd64")))
    document["config"]["Env"] = env

    class Odd(Registry):
        def config(self, tag: str) -> bytes:
            return encoded(document)

    async with world(bench, Odd(bench, {"1": aim()})) as registry:
        answer = await registry.client.inspect(ImageReference("r.io", "o/x", "1"), Keyring())
        assert isinstance(answer, Inspection)
        assert answer.env == ({"AIM_ID": "o/m"} if isinstance(env, list) else {})
        assert answer.labels["com.amd.aim.model.canonicalName"] == "o/m"


def layers_of(sizes: Sequence[int]) -> tuple[Layer, ...]:
    return tuple(files(f"{number}.yaml", text="x" * size) for number, size in enumerate(sizes))


async def test_the_texts_of_an_image_are_bounded(bench: Any) -> None:
    """Prove REG-PRF-4."""
    async with world(bench, Registry(bench, {"1": aim(*layers_of([200_000] * 12))})) as registry:
        profiles = (await undisturbed(registry.inspect)).profiles
        assert (profiles.files, profiles.remarks) == ({}, ())
        assert profiles.unreadable == "its profile files have more than 2097152 bytes in all"
    async with world(bench, Registry(bench, {"1": aim(*layers_of([200_000] * 8 + [300_000]))})) as registry:
        profiles = (await registry.inspect()).profiles
        assert len(profiles.files) == 8
        assert profiles.remarks == ("8.yaml has more than 262144 bytes",)
