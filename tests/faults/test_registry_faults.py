"""Image registries that misbehave: one clear failure each, bounded in time, bytes and requests."""

import gc
import hashlib
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from aimd.registry.client import RegistryClient, connect_registries
from aimd.registry.credentials import Keyring, keyring_of
from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.images import Inspection
from aimd.registry.listing import Repository
from aimd.registry.options import RegistryOptions
from aimd.registry.reference import ImageReference

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LABELS = {"org.opencontainers.image.title": "x"}


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


CONFIG = encoded({"architecture": "amd64", "os": "linux", "config": {"Labels": LABELS}})
IMAGE = encoded({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": digest_of(CONFIG)}, "layers": []})


@dataclass
class Registry:
    """A registry of one good image, `o/x:1`; `replies` says what to answer to some paths instead."""

    bench: Any
    replies: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, asked: Any) -> Any:
        for path, reply in self.replies.items():
            if asked.path.startswith(path):
                return reply(asked) if callable(reply) else reply
        documents = {"/v2/o/x/manifests/1": (IMAGE, MANIFEST), f"/v2/o/x/blobs/{digest_of(CONFIG)}": (CONFIG, "")}
        if asked.path not in documents:
            return self.bench.reply(404, encoded({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]}))
        body, media_type = documents[asked.path]
        return self.bench.reply(200, body, {"Content-Type": media_type or "application/octet-stream"})


@dataclass
class World:
    """A client and the server behind `r.io`, spoken to in plain HTTP on purpose."""

    client: RegistryClient
    server: Any
    codes: list[str]

    async def inspect(self, keyring: Keyring | None = None) -> Inspection | RegistryFailure:
        return await self.client.inspect(ImageReference("r.io", "o/x", "1"), keyring or Keyring())

    async def failure(self, keyring: Keyring | None = None) -> RegistryFailure:
        answer = await self.inspect(keyring)
        assert isinstance(answer, RegistryFailure), answer
        return answer

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.server.asked]


@asynccontextmanager
async def world(
    bench: Any, script: Callable[[Any], Any], *, trusted: int | None = None, **options: Any
) -> AsyncIterator[World]:
    codes: list[str] = []
    async with bench.serving(script) as server:
        address = f"http://127.0.0.1:{server.port}"
        settings: dict[str, Any] = {
            "timeout": 3.0,
            "retry_delays": (0.0, 0.0),
            "endpoints": {"r.io": address, "docker.io": address, "ghcr.io": address, **_further(trusted)},
            "docker_hub_api": address,
            "github_api": address,
            "observer": lambda registry, operation, code, seconds: codes.append(f"{registry} {operation} {code}"),
        }
        async with connect_registries(RegistryOptions(**{**settings, **options})) as client:
            yield World(client, server, codes)


def _further(port: int | None) -> dict[str, str]:
    """The endpoint of another server that a registry may redirect to."""
    return {"blobs.io": f"http://127.0.0.1:{port}"} if port is not None else {}


def keyring(*hosts: str, user: str = "u") -> Keyring:
    return keyring_of({host: {"username": user, "password": "p"} for host in hosts}, "")


def here(world: World, user: str = "u") -> Keyring:
    return keyring(f"127.0.0.1:{world.server.port}", user=user)


async def test_a_good_image(bench: Any) -> None:
    async with world(bench, Registry(bench)) as registry:
        answer = await registry.inspect()
        assert answer == Inspection(ImageReference("r.io", "o/x", "1"), digest_of(IMAGE), LABELS, public=True)
        assert registry.codes == ["r.io manifest 200", "r.io config 200"]
        assert MANIFEST in registry.server.asked[0].headers["accept"]


async def test_several_platforms(bench: Any) -> None:
    def entry(os: str, architecture: str, digest: str) -> dict[str, Any]:
        return {"digest": digest, "platform": {"os": os, "architecture": architecture}}

    wrong, right = "sha256:" + "0" * 64, digest_of(IMAGE)
    entries = [entry("linux", "arm64", wrong), entry("linux", "amd64", right), entry("unknown", "unknown", wrong)]
    index = encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    image = bench.reply(200, IMAGE)
    replies = {"/v2/o/x/manifests/1": bench.reply(200, index), f"/v2/o/x/manifests/{right}": image}
    async with world(bench, Registry(bench, replies)) as registry:
        answer = await registry.inspect()
        assert isinstance(answer, Inspection)
        assert (answer.digest, answer.labels) == (digest_of(index), LABELS)
    index = encoded(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entries[0], entries[2], None, {"platform": 1}]}
    )
    async with world(bench, Registry(bench, {"/v2/o/x/manifests/1": bench.reply(200, index)})) as registry:
        failure = await registry.failure()
        assert (failure.problem, failure.reason) == (Problem.NOT_FOUND, "ImageNotFound")
        assert "no variant for linux/amd64, only linux/arm64" in failure.message


@pytest.mark.parametrize(
    ("status", "problem", "reason"),
    [
        (401, Problem.AUTH, "ImagePullAuthFailure"),
        (403, Problem.AUTH, "ImagePullAuthFailure"),
        (404, Problem.NOT_FOUND, "ImageNotFound"),
        (429, Problem.RATE_LIMIT, "ImagePullBackOff"),
        (500, Problem.UNAVAILABLE, "ImagePullBackOff"),
        (503, Problem.UNAVAILABLE, "ImagePullBackOff"),
        (418, Problem.CONTENT, "MetadataExtractionFailed"),
        (304, Problem.CONTENT, "MetadataExtractionFailed"),
    ],
)
async def test_statuses(bench: Any, status: int, problem: Problem, reason: str) -> None:
    """Prove REG-ERR-1."""
    words = encoded({"errors": [{"code": "X", "message": "own \u0007 words"}]})
    async with world(bench, lambda asked: bench.reply(status, words)) as registry:
        failure = await registry.failure()
        assert (failure.problem, failure.reason) == (problem, reason)
        assert ("own words" in failure.message) == (status != 304)  # which has no body
        assert len(registry.paths) == (3 if status >= 500 else 1)


@pytest.mark.parametrize("path", ["/v2/o/x/manifests/", "/v2/o/x/blobs/"])
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>log in</html>", Problem.CONTENT),
        (b"", Problem.CONTENT),
        (b"[]", Problem.CONTENT),
        (b"null", Problem.CONTENT),
        (b"{}", Problem.CONTENT),
        (b"\xff\xfe", Problem.CONTENT),
        (b"[" * 100_000, Problem.CONTENT),
        (encoded({"config": {"digest": "sha256:short"}}), Problem.CONTENT),
        (encoded({"config": {"digest": 1, "Labels": []}}), Problem.CONTENT),
        (encoded({"config": {"Labels": {"a": 1}}}), Problem.CONTENT),
        (encoded({"schemaVersion": 1}), Problem.CONTENT),
        (encoded({"mediaType": INDEX}), Problem.NOT_FOUND),
    ],
)
async def test_bodies_that_are_no_image(bench: Any, path: str, body: bytes, problem: Problem) -> None:
    async with world(bench, Registry(bench, {path: bench.reply(200, body, {"Content-Type": "text/html"})})) as registry:
        failure = await registry.failure()
        assert failure.problem is (Problem.CONTENT if "blobs" in path else problem)


async def test_content_that_does_not_match_its_digest(bench: Any) -> None:
    announced = {"Docker-Content-Digest": digest_of(b"other")}
    for replies in (
        {"/v2/o/x/blobs/": bench.reply(200, CONFIG + b" ")},
        {"/v2/o/x/manifests/": bench.reply(200, IMAGE, announced)},
    ):
        async with world(bench, Registry(bench, replies)) as registry:
            failure = await registry.failure()
            assert (failure.problem, failure.transient) == (Problem.CONTENT, False)
            assert "that differs from its digest" in failure.message


@pytest.mark.parametrize("honest", [True, False])
async def test_200_megabytes_are_not_read(bench: Any, honest: bool) -> None:
    """Prove REG-NET-3."""
    piece, size = b" " * (1 << 20), 200 << 20
    announced = bench.reply(200, piece, {"Content-Length": str(size)})
    reply = announced if honest else bench.reply(200, chunks=[piece] * 200)
    async with world(bench, lambda asked: reply) as registry:
        await registry.inspect()  # imports and buffers that stay
        gc.collect()
        tracemalloc.start()
        started = time.monotonic()
        failure = await registry.failure()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (failure.problem, failure.reason) == (Problem.CONTENT, "MetadataExtractionFailed")
        assert "sent more than the" in failure.message
        assert most < 24 << 20
        assert time.monotonic() - started < 8


async def test_a_compressed_body_is_not_unpacked(bench: Any) -> None:
    async with world(bench, lambda asked: bench.reply(200, b"x", {"Content-Encoding": "gzip"})) as registry:
        assert (await registry.failure()).problem is Problem.CONTENT
        assert registry.server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("reply", [{"then": "reset"}, {"chunks": [b'{"schema'], "then": "reset"}])
async def test_cut_off(bench: Any, reply: dict[str, Any]) -> None:
    async with world(bench, lambda asked: bench.reply(200, **reply)) as registry:
        failure = await registry.failure()
        assert (failure.problem, failure.transient) == (Problem.NETWORK, True)
        assert failure.reason in ("NetworkError", "ConnectionReset")
        assert len(registry.paths) == 3


async def test_cut_off_once_is_no_failure(bench: Any) -> None:
    cuts = [bench.reply(200, chunks=[b"{"], then="reset"), bench.reply(502)]
    replies = {"/v2/o/x/manifests/": lambda asked: cuts.pop() if cuts else bench.reply(200, IMAGE)}
    async with world(bench, Registry(bench, replies)) as registry:
        assert isinstance(await registry.inspect(), Inspection)


@pytest.mark.parametrize("reply", [{"silence": 60.0}, {"chunks": [b"{"], "then": "stay"}, {"chunks": [b" "] * 10_000}])
async def test_silence_a_stall_and_a_trickle_end_with_the_deadline(bench: Any, reply: dict[str, Any]) -> None:
    """Prove REG-NET-3."""
    async with world(bench, lambda asked: bench.reply(200, **reply), timeout=0.4) as registry:
        started = time.monotonic()
        failure = await registry.failure()
        assert time.monotonic() - started < 5
        assert (failure.problem, failure.reason) == (Problem.NETWORK, "NetworkTimeout")
        assert "did not answer within 0.4 s" in failure.message


async def test_nobody_listens(bench: Any) -> None:
    """Prove REG-ERR-1."""
    async with bench.serving(lambda asked: bench.reply(404)) as server:
        port = server.port
    async with world(bench, lambda asked: None, endpoints={"r.io": f"http://127.0.0.1:{port}"}) as registry:
        failure = await registry.failure()
        assert (failure.problem, failure.reason) == (Problem.NETWORK, "ConnectionRefused")
    async with world(bench, lambda asked: None, endpoints={"r.io": "https://nowhere.invalid"}) as registry:
        failure = await registry.failure()
        assert (failure.problem, failure.reason) == (Problem.NETWORK, "DNSFailure")


async def test_rate_limit(bench: Any) -> None:
    async with world(bench, lambda asked: bench.reply(429, headers={"Retry-After": "120"})) as registry:
        failure = await registry.failure()
        assert (failure.problem, failure.retry_after) == (Problem.RATE_LIMIT, 120.0)
        again = await registry.failure()
        assert again.message == failure.message
        assert 118 < (again.retry_after or 0) <= 120
        assert len(registry.paths) == 1
        await registry.failure(here(registry))  # another credential has its own limit
        assert len(registry.paths) == 2


async def test_redirects_keep_credentials_at_home(bench: Any) -> None:
    """Prove REG-CRD-3."""

    def elsewhere(asked: Any) -> Any:
        return bench.reply(200, CONFIG)

    async with bench.serving(elsewhere) as cdn:
        target = f"http://127.0.0.1:{cdn.port}/blob?signature=1"

        def blob(asked: Any) -> Any:
            return bench.reply(307, headers={"Location": target})

        def script(asked: Any) -> Any:
            if "authorization" not in asked.headers:
                return bench.reply(401, headers={"WWW-Authenticate": "Basic realm=x"})
            return Registry(bench, {"/v2/o/x/blobs/": blob})(asked)

        async with world(bench, script, trusted=cdn.port) as registry:
            answer = await registry.inspect(here(registry))
            assert isinstance(answer, Inspection)
            assert not answer.public
            assert [request.path for request in cdn.asked] == ["/blob"]
            assert "authorization" not in cdn.asked[0].headers
            assert all("authorization" in asked.headers for asked in registry.server.asked[1:])


@pytest.mark.parametrize("location", ["/v2/o/x/manifests/1", "?again", "http://[", "file:///etc/passwd"])
async def test_redirects_that_lead_nowhere(bench: Any, location: str) -> None:
    async with world(bench, lambda asked: bench.reply(302, headers={"Location": location})) as registry:
        failure = await registry.failure()
        assert (failure.problem, failure.reason) == (Problem.UNAVAILABLE, "ImagePullBackOff")
        assert len(registry.paths) <= 18


async def test_a_login_that_never_suffices_is_not_tried_for_ever(bench: Any) -> None:
    challenge = {"WWW-Authenticate": "Basic realm=x"}
    async with world(bench, lambda asked: bench.reply(401, headers=challenge)) as registry:
        failure = await registry.failure(here(registry))
        assert failure.problem is Problem.AUTH
        assert "renew the pull secret for r.io" in failure.message
        assert len(registry.paths) == 3  # without login, with it, and anonymously
        assert "name a pull secret for r.io in imagePullSecrets" in (await registry.failure()).message


def bearer(bench: Any, answer: Callable[[Any], Any], inner: Callable[[Any], Any], accepted: str = "Bearer t") -> Any:
    def script(asked: Any) -> Any:
        if asked.path == "/token":
            return answer(asked)
        if asked.headers.get("authorization") == accepted:
            return inner(asked)
        realm = f"http://{asked.headers['host']}/token"
        challenge = f'Bearer realm="{realm}",service="svc",scope="repository:o/x:pull"'
        return bench.reply(401, headers={"WWW-Authenticate": challenge})

    return script


async def test_bearer_tokens(bench: Any) -> None:
    def token(asked: Any) -> Any:
        return bench.reply(200, encoded({"access_token": "t", "expires_in": 300}))

    async with world(bench, bearer(bench, token, Registry(bench))) as registry:
        for _ in range(3):
            assert isinstance(await registry.inspect(), Inspection)
        tokens = [asked for asked in registry.server.asked if asked.path == "/token"]
        assert [(asked.method, asked.query) for asked in tokens] == [
            ("GET", {"service": "svc", "scope": "repository:o/x:pull"})
        ]
        assert isinstance(await registry.inspect(here(registry)), Inspection)
        assert registry.server.asked[-3].headers["authorization"].startswith("Basic ")
        refresh = keyring_of({f"127.0.0.1:{registry.server.port}": {"identitytoken": "id"}}, "")
        assert isinstance(await registry.inspect(refresh), Inspection)
        posted = next(asked for asked in registry.server.asked if asked.method == "POST")
        assert b"grant_type=refresh_token&refresh_token=id" in posted.body
        given = keyring_of({f"127.0.0.1:{registry.server.port}": {"registrytoken": "t"}}, "")
        before = len(registry.paths)
        assert isinstance(await registry.inspect(given), Inspection)
        assert len(registry.paths) == before + 2


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, b"<html>", Problem.CONTENT),
        (200, b"{}", Problem.UNAVAILABLE),
        (200, b'{"token": "a\\nb"}', Problem.UNAVAILABLE),
        (200, b'{"token": 5}', Problem.UNAVAILABLE),
        (401, b"", Problem.AUTH),
        (500, b"", Problem.UNAVAILABLE),
        (429, b"", Problem.RATE_LIMIT),
        (200, b'{"token": "never accepted", "expires_in": "x"}', Problem.AUTH),
    ],
)
async def test_token_services_that_misbehave(bench: Any, status: int, body: bytes, problem: Problem) -> None:
    async with world(bench, bearer(bench, lambda asked: bench.reply(status, body), Registry(bench))) as registry:
        assert (await registry.failure()).problem is problem
        assert len(registry.paths) <= 4


def always(reply: Any) -> Callable[[Any], Any]:
    """Answer every request in the same way."""
    return lambda asked: reply


async def test_credentials_do_not_go_to_a_login_without_tls(bench: Any) -> None:
    for realm in ("http://login.example.com/token", "https://u:p@login.example.com/", "ftp://x", "", "//", "https://["):
        challenge = {"WWW-Authenticate": f'Bearer realm="{realm}"'}
        async with world(bench, always(bench.reply(401, headers=challenge))) as registry:
            assert (await registry.failure(here(registry))).problem is Problem.UNAVAILABLE
            assert len(registry.paths) == 1


async def test_an_expired_token_is_renewed(bench: Any) -> None:
    current = ["one"]

    def script(asked: Any) -> Any:
        def token(asked: Any) -> Any:
            return bench.reply(200, encoded({"token": current[0], "expires_in": 300}))

        return bearer(bench, token, Registry(bench), f"Bearer {current[0]}")(asked)

    async with world(bench, script) as registry:
        assert isinstance(await registry.inspect(), Inspection)
        current[0] = "two"
        assert isinstance(await registry.inspect(), Inspection)


async def test_the_next_credential_is_tried_and_missing_is_said_by_those_who_may_know(bench: Any) -> None:
    """Prove REG-CRD-2."""

    def script(asked: Any) -> Any:
        login = asked.headers.get("authorization", "")
        if login == "Basic Z29vZDpw":  # good:p
            return Registry(bench)(asked)
        return bench.reply(401, headers={"WWW-Authenticate": "Basic realm=x"})

    async with world(bench, script) as registry:
        ring = here(registry, "bad") + here(registry, "good")
        assert isinstance(await registry.inspect(ring), Inspection)
        missing = await registry.client.inspect(ImageReference("r.io", "o/x", "2"), ring)
        assert isinstance(missing, RegistryFailure)
        assert missing.problem is Problem.NOT_FOUND
        assert "correct the tag or digest" in missing.message


async def test_a_registry_that_hangs_disturbs_nobody_else(bench: Any) -> None:
    """Prove REG-NET-4."""

    async def silent(asked: Any) -> Any:
        await anyio.sleep(60)

    async with bench.serving(silent) as hanging, world(bench, Registry(bench), timeout=6.0) as registry:
        endpoints = {"r.io": f"http://127.0.0.1:{registry.server.port}", "slow.io": f"http://127.0.0.1:{hanging.port}"}
        options = RegistryOptions(timeout=6.0, endpoints=endpoints, retry_delays=())
        good: list[float] = []
        bad: list[float] = []

        async with connect_registries(options) as client:

            async def ask(registry: str, times: list[float]) -> None:
                started = time.monotonic()
                answer = await client.inspect(ImageReference(registry, "o/x", "1"), Keyring())
                assert isinstance(answer, Inspection if registry == "r.io" else RegistryFailure)
                times.append(time.monotonic() - started)

            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(ask, "slow.io", bad)
                for _ in range(50):
                    group.start_soon(ask, "r.io", good)
            assert max(good) < 5.0
            assert max(bad) < 10.0
            assert len(hanging.asked) <= 8  # no more than its share of connections
            for _ in range(5):
                await ask("slow.io", bad)
            assert max(bad[-5:]) < 2.0  # left alone now


def pages(bench: Any, key: str, count: int, path: str) -> Callable[[Any], Any]:
    def reply(asked: Any) -> Any:
        page = int(asked.query.get("page", "1"))
        link = {"Link": f'<{path}?page={page + 1}>; rel="next"'} if page < count else {}
        return bench.reply(
            200, encoded({key: [f"o/a{page}", f"t{page}"] if key == "repositories" else [f"t{page}"]}), link
        )

    return reply


async def test_listing_follows_pages(bench: Any) -> None:
    replies = {
        "/v2/_catalog": pages(bench, "repositories", 3, "/v2/_catalog"),
        "/v2/o/": lambda asked: pages(bench, "tags", 2, asked.path)(asked),
    }
    async with world(bench, Registry(bench, replies)) as registry:
        listing = await registry.client.list_images("r.io", "o/*", lambda name: name.startswith("o/"), Keyring())
        assert listing.failures == ()
        assert listing.repositories == tuple(Repository(f"o/a{page}", ("t1", "t2")) for page in (1, 2, 3))


async def test_listing_keeps_what_was_found_beside_what_failed(bench: Any) -> None:
    replies = {
        "/v2/_catalog": bench.reply(200, encoded({"repositories": ["o/a", "o/b", "o/c", "../x", 5, "O"]})),
        "/v2/o/a/": bench.reply(200, encoded({"tags": ["1", "", None, "not/a/tag"]})),
        "/v2/o/b/": bench.reply(200, encoded({"tags": None})),
        "/v2/o/c/": bench.reply(403),
    }
    async with world(bench, Registry(bench, replies)) as registry:
        listing = await registry.client.list_images("r.io", "*", lambda name: True, Keyring())
        assert listing.repositories == (Repository("o/a", ("1",)), Repository("o/b", ()))
        assert [failure.problem for failure in listing.failures] == [Problem.AUTH]
    async with world(bench, Registry(bench, {"/v2/_catalog": bench.reply(404)})) as registry:
        listing = await registry.client.list_images("r.io", "*", lambda name: True, Keyring())
        assert "filters without * need no catalog" in listing.failures[0].message


async def test_listing_ends_with_its_deadline(bench: Any) -> None:
    async def tags(asked: Any) -> Any:
        if "/b/" in asked.path:
            await anyio.sleep(60)
        return bench.reply(200, encoded({"tags": ["1"]}))

    replies = {"/v2/_catalog": bench.reply(200, encoded({"repositories": ["o/a", "o/b"]})), "/v2/o/": tags}
    async with world(bench, Registry(bench, replies), listing_timeout=0.5) as registry:
        listing = await registry.client.list_images("r.io", "*", lambda name: True, Keyring())
        assert listing.repositories == (Repository("o/a", ("1",)),)
        assert [failure.reason for failure in listing.failures] == ["NetworkTimeout"]


async def test_docker_hub_lists_by_namespace_and_with_a_login(bench: Any) -> None:
    """Prove SRC-SYN-4."""

    def hub(asked: Any) -> Any:
        page = asked.query.get("page", "1")
        more = {"next": "https://elsewhere.example.com/v2/namespaces/amd/repositories?page=2"} if page == "1" else {}
        return bench.reply(
            200, encoded({"results": [{"name": f"aim-{page}"}, {"name": "UP"}, 5], "next": None, **more})
        )

    replies = {
        "/v2/auth/token": bench.reply(200, encoded({"access_token": "jwt"})),
        "/v2/namespaces/amd/repositories": hub,
        "/v2/amd/": bench.reply(200, encoded({"tags": ["1"]})),
    }
    async with world(bench, Registry(bench, replies)) as registry:
        listing = await registry.client.list_images("docker.io", "amd/aim-*", lambda name: True, keyring("docker.io"))
        assert [found.name for found in listing.repositories] == ["amd/aim-1", "amd/aim-2"]
        login, first = registry.server.asked[:2]
        assert json.loads(login.body) == {"identifier": "u", "secret": "p"}
        assert (first.headers["authorization"], first.query["page_size"]) == ("Bearer jwt", "100")
        for pattern in ("*", "*/aim-x", "a*b/x"):
            listing = await registry.client.list_images("docker.io", pattern, lambda name: True, Keyring())
            assert listing.failures[0].problem is Problem.REFERENCE


async def test_github_lists_organisations_and_users_for_tokens(bench: Any) -> None:
    """Prove SRC-SYN-4."""

    def packages(asked: Any) -> Any:
        if asked.headers["authorization"] != "Bearer p":
            return bench.reply(401)
        page = int(asked.query["page"])
        return bench.reply(200, encoded([{"name": f"aim-{page}-{i}"} for i in range(100 if page == 1 else 3)]))

    replies = {"/users/Silogen/packages": packages, "/v2/silogen/": bench.reply(200, encoded({"tags": ["1"]}))}
    async with world(bench, Registry(bench, replies)) as registry:
        ring = keyring_of({"ghcr.io": {"username": "x", "password": "bad"}}, "") + keyring("ghcr.io")
        listing = await registry.client.list_images("ghcr.io", "Silogen/*", lambda name: name.endswith("1"), ring)
        assert len(listing.repositories) == 11
        asked = registry.server.asked[0]
        assert asked.path == "/orgs/Silogen/packages"
        assert asked.headers["x-github-api-version"] == "2022-11-28"
        listing = await registry.client.list_images("ghcr.io", "silogen/*", lambda name: True, Keyring())
        assert listing.failures[0].problem is Problem.AUTH
        assert "read:packages" in listing.failures[0].message


async def test_proxies_are_honoured_but_not_for_loopback(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench.serving(Registry(bench)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        options = {"r.io": "http://registry.invalid"}
        async with world(bench, Registry(bench), endpoints=options) as registry:
            assert isinstance(await registry.inspect(), Inspection)
            assert proxy.asked[0].headers["host"] == "registry.invalid"
            seen = len(proxy.asked)
            endpoints = {"r.io": f"http://127.0.0.1:{registry.server.port}"}
            async with connect_registries(RegistryOptions(endpoints=endpoints)) as client:
                reference = ImageReference("r.io", "o/x", "1")
                assert isinstance(await client.inspect(reference, Keyring()), Inspection)
            assert len(proxy.asked) == seen


async def test_no_proxy_is_honoured(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench.serving(Registry(bench)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "inside.invalid,.cluster.invalid")
        monkeypatch.delenv("no_proxy", raising=False)
        hosts = ("inside.invalid", "mirror.cluster.invalid", "outside.invalid")
        options = RegistryOptions(endpoints={host: f"http://{host}" for host in hosts}, retry_delays=())
        async with connect_registries(options) as client:
            answers = [await client.inspect(ImageReference(host, "o/x", "1"), Keyring()) for host in hosts]
        assert [isinstance(answer, Inspection) for answer in answers] == [False, False, True]
        assert {asked.headers["host"] for asked in proxy.asked} == {"outside.invalid"}
