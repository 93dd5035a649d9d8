"""The registry client against a real registry: plain HTTP, HTTPS and basic authentication, on loopback."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from aimd.registry.addresses import AddressPolicy
from aimd.registry.cache import InspectionCache
from aimd.registry.client import connect_registries
from aimd.registry.credentials import Keyring, keyring_of
from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.images import Inspection
from aimd.registry.listing import Listing, Repository
from aimd.registry.options import RegistryOptions
from aimd.registry.reference import ImageReference, parse_reference
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.certificates import Authority
from aimd.sandbox.image_registry import DOCKER, OCI, Image, Layer, push_image, start_registry
from aimd.sandbox.processes import supervise

NAME = "com.amd.aim.model.canonicalName"
SEVERAL = (("linux", "arm64"), ("linux", "amd64"), ("windows", "amd64"))
PROFILES = "workspace/aim-runtime/profiles"
PROFILE = "Qwen/Qwen3-32B/vllm-mi300x-fp8-tp1-latency.yaml"
AIM_ENV = {"AIM_CONFIG_PATH": "/workspace/aim-runtime/config", "AIM_ID": "Qwen/Qwen3-32B", "PATH": "/usr/bin"}
HTPASSWD = "reader:$2b$04$SG9yzOYB5bdfV5yCl/aGx.dnucuBjHGmpMKB012rBGLCxWhfnZEGi\n"  # secret
PAGE = 7
HERE = AddressPolicy(local=True)


@dataclass(frozen=True)
class Registries:
    """Host and port of each, and the file with the authority of the one that speaks TLS."""

    plain: str
    tls: str
    locked: str
    authority: Path


async def _fill(url: str, verify: ssl.SSLContext | bool = True, auth: tuple[str, str] | None = None) -> None:
    async with httpx.AsyncClient(base_url=url, verify=verify, auth=auth, trust_env=False) as client:
        await push_image(client, "amd/aim-qwen", "0.8.5", Image({NAME: "qwen/qwen"}))
        await push_image(client, "amd/aim-qwen", "0.8.6", Image({NAME: "new"}, SEVERAL))
        await push_image(client, "amd/aim-docker", "1", Image({NAME: "docker"}, media_types=DOCKER))
        await push_image(client, "amd/aim-docker", "2", Image({NAME: "list"}, SEVERAL, DOCKER))
        await push_image(client, "amd/aim-arm", "1", Image({}, SEVERAL[:1] + SEVERAL[2:]))


@pytest.fixture(scope="module")
def registries() -> Iterator[Registries]:
    binary = locate_binaries(("registry",)).path("registry")
    with start_blocking_portal() as portal, ExitStack() as stack:
        yield _started(portal, stack, binary)


def _started(portal: BlockingPortal, stack: ExitStack, binary: Path) -> Registries:
    supervisor = stack.enter_context(portal.wrap_async_context_manager(supervise("aimd-registries-")))
    authority = Authority("registry tests")
    trusted = supervisor.folder / "authority.crt"
    trusted.write_bytes(authority.certificate)
    serving = authority.server("registry").write(supervisor.folder, "serving")
    plain = portal.call(lambda: start_registry(supervisor, binary, page_size=PAGE))
    tls = portal.call(lambda: start_registry(supervisor, binary, serving=serving))
    locked = portal.call(lambda: start_registry(supervisor, binary, htpasswd=HTPASSWD))
    context = ssl.create_default_context(cafile=str(trusted))
    portal.call(_fill, f"http://127.0.0.1:{plain}")
    portal.call(_fill, f"https://127.0.0.1:{tls}", context)
    portal.call(_fill, f"http://127.0.0.1:{locked}", True, ("reader", "secret"))
    return Registries(f"127.0.0.1:{plain}", f"localhost:{tls}", f"127.0.0.1:{locked}", trusted)


def image(text: str) -> ImageReference:
    reference = parse_reference(text)
    assert isinstance(reference, ImageReference)
    return reference


async def inspect(text: str, keyring: Keyring | None = None) -> Inspection | RegistryFailure:
    async with connect_registries(RegistryOptions(timeout=20.0, retry_delays=(), addresses=HERE)) as client:
        return await client.inspect(image(text), keyring or Keyring())


@pytest.mark.parametrize(
    ("name", "model"),
    [("aim-qwen:0.8.5", "qwen/qwen"), ("aim-qwen:0.8.6", "new"), ("aim-docker:1", "docker"), ("aim-docker:2", "list")],
)
async def test_labels_of_all_sorts_of_images(registries: Registries, name: str, model: str) -> None:
    answer = await inspect(f"{registries.plain}/amd/{name}")
    assert isinstance(answer, Inspection), answer
    assert answer.labels == {NAME: model, "platform": "linux/amd64"}
    assert answer.public
    by_digest = await inspect(f"{registries.plain}/amd/{name.partition(':')[0]}@{answer.digest}")
    assert isinstance(by_digest, Inspection)
    assert (by_digest.labels, by_digest.digest) == (answer.labels, answer.digest)


async def test_what_is_missing(registries: Registries) -> None:
    for name, part in (
        ("aim-qwen:9", "correct the tag or digest"),
        ("aim-nothing:1", "does not exist"),
        ("aim-arm:1", "no variant for linux/amd64, only linux/arm64, windows/amd64"),
        ("aim-qwen@sha256:" + "0" * 64, "correct the tag or digest"),
    ):
        failure = await inspect(f"{registries.plain}/amd/{name}")
        assert isinstance(failure, RegistryFailure)
        assert (failure.problem, failure.reason) == (Problem.NOT_FOUND, "ImageNotFound"), failure
        assert part in failure.message


async def test_tls_is_verified(registries: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{registries.tls}/amd/aim-qwen:0.8.5"
    failure = await inspect(text)
    assert isinstance(failure, RegistryFailure)
    assert (failure.problem, failure.reason) == (Problem.NETWORK, "NetworkError")
    assert "SSL_CERT_FILE" in failure.message
    monkeypatch.setenv("SSL_CERT_FILE", str(registries.authority))
    answer = await inspect(text)
    assert isinstance(answer, Inspection)
    assert answer.labels[NAME] == "qwen/qwen"


async def test_basic_authentication(registries: Registries) -> None:
    text = f"{registries.locked}/amd/aim-qwen:0.8.6"
    failure = await inspect(text)
    assert isinstance(failure, RegistryFailure)
    assert (failure.problem, failure.reason) == (Problem.AUTH, "ImagePullAuthFailure")
    wrong = keyring_of({registries.locked: {"username": "reader", "password": "wrong"}}, "")
    assert isinstance(await inspect(text, wrong), RegistryFailure)
    right = keyring_of({f"{registries.locked}/amd": {"username": "reader", "password": "secret"}}, "")
    for ring in (right, wrong + right, right + wrong):
        answer = await inspect(text, ring)
        assert isinstance(answer, Inspection), answer
        assert not answer.public


async def test_listing_in_pages(registries: Registries) -> None:
    tags = tuple(f"0.0.{number}" for number in range(3 * PAGE))
    async with httpx.AsyncClient(base_url=f"http://{registries.plain}", trust_env=False) as client:
        for tag in tags:
            await push_image(client, "many/tags", tag, Image())
        for number in range(2 * PAGE + 1):
            await push_image(client, f"many/x{number}", "1", Image())
    async with connect_registries(RegistryOptions(addresses=HERE)) as client:
        listing = await client.list_tags(registries.plain, "many/tags", Keyring())
        assert listing.failures == ()
        assert sorted(listing.repositories[0].tags) == sorted(tags)
        listing = await client.list_images(
            registries.plain, "many/*", lambda name: name.startswith("many/x"), Keyring()
        )
        assert listing.failures == ()
        expected = [f"many/x{number}" for number in range(2 * PAGE + 1)]
        assert listing.repositories == tuple(Repository(name, ("1",)) for name in sorted(expected))
        missing = await client.list_tags(registries.plain, "no/such", Keyring())
        assert [failure.problem for failure in missing.failures] == [Problem.NOT_FOUND]


async def test_listing_behind_a_login(registries: Registries) -> None:
    ring = keyring_of({registries.locked: {"username": "reader", "password": "secret"}}, "")
    async with connect_registries(RegistryOptions(addresses=HERE)) as client:
        refused = await client.list_images(registries.locked, "amd/*", lambda name: True, Keyring())
        assert refused == Listing(failures=refused.failures)
        assert [failure.problem for failure in refused.failures] == [Problem.AUTH]
        listing = await client.list_images(registries.locked, "amd/*", lambda name: True, ring)
        assert [found.name for found in listing.repositories] == ["amd/aim-arm", "amd/aim-docker", "amd/aim-qwen"]


async def test_a_thousand_models_of_fifty_images(registries: Registries) -> None:
    async with httpx.AsyncClient(base_url=f"http://{registries.plain}", trust_env=False) as client:
        for number in range(50):
            await push_image(client, f"cached/x{number}", "1", Image({NAME: str(number)}))
    requests: list[str] = []
    options = RegistryOptions(
        addresses=HERE, observer=lambda registry, operation, code, seconds: requests.append(f"{operation} {code}")
    )
    wrong: list[object] = []
    async with connect_registries(options) as inspector:
        cache = InspectionCache(inspector)

        async def model(number: int) -> None:
            answer = await cache.inspect(image(f"{registries.plain}/cached/x{number % 50}:1"), Keyring())
            if not isinstance(answer, Inspection) or answer.labels[NAME] != str(number % 50):
                wrong.append(answer)

        async with anyio.create_task_group() as group:
            for number in range(1000):
                group.start_soon(model, number)
    assert wrong == []
    assert requests.count("manifest 200") == 50
    assert requests.count("config 200") == 50


def aim(labels: Mapping[str, str] | None = None, *, text: str = "aim_id: Qwen/Qwen3-32B", **fields: Any) -> Image:
    """An image as the build of an AIM makes it, upon a base with general profiles."""
    layers = (
        Layer("ADD rootfs.tar / # buildkit", {"usr/bin/python": bytes(1 << 20)}),
        Layer("ENV AIM_CONFIG_PATH=/workspace/aim-runtime/config", empty=True),
        Layer(f"COPY general /{PROFILES}/general # buildkit", {f"{PROFILES}/general/g.yaml": b"metadata: {}"}),
        Layer("RUN /bin/sh -c pip install vllm # buildkit", {"usr/lib/vllm.so": bytes(2 << 20)}),
        Layer("ENV AIM_ID=Qwen/Qwen3-32B", empty=True),
        Layer(f"COPY profiles /{PROFILES}/Qwen/Qwen3-32B # buildkit", {f"{PROFILES}/{PROFILE}": text.encode()}),
        Layer("RUN /bin/sh -c check-licenses # buildkit"),
    )
    return Image(labels or {}, env=[f"{name}={value}" for name, value in AIM_ENV.items()], layers=layers, **fields)


@pytest.mark.parametrize("media_types", [OCI, DOCKER])
@pytest.mark.parametrize("history", [True, False])
async def test_profile_files(registries: Registries, media_types: Mapping[str, str], history: bool) -> None:
    """Prove REG-PRF-3."""
    requests: list[str] = []
    options = RegistryOptions(
        addresses=HERE, observer=lambda registry, operation, code, seconds: requests.append(f"{operation} {code}")
    )
    pushed = {"1": aim(media_types=media_types, history=history), "2": aim({"a": "b"}, platforms=SEVERAL)}
    async with httpx.AsyncClient(base_url=f"http://{registries.plain}", trust_env=False) as http:
        for tag, content in pushed.items():
            await push_image(http, "profiles/aim", tag, content)
            await push_image(http, "profiles/aim", f"{tag}-again", content)
    async with connect_registries(options) as client:
        cache = InspectionCache(client)
        for tag in pushed:
            name = f"{registries.plain}/profiles/aim:{tag}"
            answer = await cache.inspect(image(name), Keyring())
            assert isinstance(answer, Inspection), answer
            assert answer.env == AIM_ENV
            assert answer.profiles.files == {PROFILE: "aim_id: Qwen/Qwen3-32B", "general/g.yaml": "metadata: {}"}
            assert (answer.profiles.unreadable, answer.profiles.remarks) == ("", ())
            assert requests.count("config 200") == 1
            known = tag == "2"  # its layers are those of the first image
            assert requests.count("layer 200") == (0 if known else 2 if history else 5)
            requests.clear()
            again = await cache.inspect(image(f"{name}-again"), Keyring())
            assert isinstance(again, Inspection), again
            assert again.profiles is answer.profiles
            assert set(requests) == {"manifest 200"}
            requests.clear()


async def test_models_of_an_image_by_many_tags_cost_its_layers_once(registries: Registries) -> None:
    """Prove REG-PRF-6."""
    requests: list[str] = []
    options = RegistryOptions(
        addresses=HERE, observer=lambda registry, operation, code, seconds: requests.append(f"{operation} {code}")
    )
    async with httpx.AsyncClient(base_url=f"http://{registries.plain}", trust_env=False) as http:
        for number in range(20):
            await push_image(http, "profiles/tagged", str(number), aim())
    async with connect_registries(options) as client:
        cache = InspectionCache(client)

        async def model(number: int) -> None:
            answer = await cache.inspect(image(f"{registries.plain}/profiles/tagged:{number % 20}"), Keyring())
            assert isinstance(answer, Inspection), answer
            assert len(answer.profiles.files) == 2

        async with anyio.create_task_group() as group:
            for number in range(1000):
                group.start_soon(model, number)
    counts = {name: requests.count(f"{name} 200") for name in ("manifest", "config", "layer")}
    assert counts == {"manifest": 20, "config": 1, "layer": 2}


async def test_a_registry_behind_an_endpoint(registries: Registries) -> None:
    options = RegistryOptions(endpoints={"docker.io": f"http://{registries.locked}"})
    hub = keyring_of({"docker.io": {"username": "reader", "password": "secret"}}, "")
    mirror = keyring_of({registries.locked: {"username": "reader", "password": "secret"}}, "")
    async with connect_registries(options) as client:
        reference = image("amd/aim-qwen:0.8.5")
        refused = await client.inspect(reference, hub)  # Docker Hub's password is not for the mirror
        assert isinstance(refused, RegistryFailure)
        assert isinstance(await client.inspect(reference, mirror), Inspection)
