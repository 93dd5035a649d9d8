"""Pull secrets: what they hold, and for which images kubelet would use it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.credentials import (
    ANONYMOUS,
    DOCKER_CFG,
    DOCKER_CONFIG_JSON,
    Credential,
    Keyring,
    keyring_of,
    parse_pull_secret,
    process_keyring,
)
from aimd.registry.failures import Problem, RegistryFailure


def encoded(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def secret(auths: dict[str, Any]) -> Keyring:
    keyring = parse_pull_secret("regcred", DOCKER_CONFIG_JSON, {".dockerconfigjson": encoded({"auths": auths})})
    assert isinstance(keyring, Keyring)
    return keyring


def users(keyring: Keyring, name: str) -> list[str]:
    candidates = keyring.candidates(name)
    assert candidates[-1] == ANONYMOUS
    return [candidate.username for candidate in candidates[:-1]]


def test_both_types_of_secret_and_all_their_fields() -> None:
    entry = {"auth": auth("u", "p:with:colons"), "username": "loses", "password": "loses", "email": "e"}
    assert secret({"ghcr.io": entry}).candidates("ghcr.io/x") == (Credential("u", "p:with:colons"), ANONYMOUS)
    old = parse_pull_secret("old", DOCKER_CFG, {".dockercfg": encoded({"ghcr.io": {"username": "u", "password": "p"}})})
    assert isinstance(old, Keyring)
    assert old.candidates("ghcr.io/x")[0] == Credential("u", "p")
    tokens = {"identitytoken": "refresh", "registrytoken": "bearer"}
    assert secret({"r.io": tokens}).candidates("r.io/x")[0] == Credential("", "", "refresh", "bearer")
    unpadded = auth("ab", "cde").rstrip("=")
    assert secret({"r.io": {"auth": unpadded}}).candidates("r.io/x")[0] == Credential("ab", "cde")


@pytest.mark.parametrize(
    ("secret_type", "data", "part"),
    [
        ("Opaque", {}, "has type 'Opaque'"),
        (DOCKER_CONFIG_JSON, {}, "has no key .dockerconfigjson"),
        (DOCKER_CONFIG_JSON, {".dockerconfigjson": "not base64!"}, "contains no JSON"),
        (DOCKER_CONFIG_JSON, {".dockerconfigjson": encoded("{")}, "contains no JSON"),
        (DOCKER_CONFIG_JSON, {".dockerconfigjson": encoded("[" * 100_000)}, "contains no JSON"),
        (DOCKER_CONFIG_JSON, {".dockerconfigjson": encoded([])}, "contains no registries"),
        (DOCKER_CONFIG_JSON, {".dockerconfigjson": encoded({"auths": []})}, "contains no registries"),
        (DOCKER_CFG, {".dockercfg": encoded("1")}, "contains no registries"),
    ],
)
def test_a_secret_that_is_none_says_why(secret_type: str, data: dict[str, str], part: str) -> None:
    failure = parse_pull_secret("regcred", secret_type, data)
    assert isinstance(failure, RegistryFailure)
    assert (failure.problem, failure.reason) == (Problem.AUTH, "ImagePullAuthFailure")
    assert failure.message.startswith("Secret regcred ")
    assert part in failure.message


def test_an_entry_that_cannot_be_read_is_left_out_and_remembered() -> None:
    keyring = secret(
        {"a.io": {"auth": "%%%"}, "b.io": {"auth": auth("u", "p")}, "c.io": 5, "d.io": {"auth": encoded("x")}}
    )
    assert users(keyring, "b.io/x") == ["u"]
    assert keyring.unreadable == (
        "Secret regcred, entry 'a.io'", "Secret regcred, entry 'c.io'", "Secret regcred, entry 'd.io'",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "name", "covers"),
    [
        ("ghcr.io", "ghcr.io/org/x", True),
        ("https://ghcr.io", "ghcr.io/org/x", True),
        ("http://ghcr.io/v2/", "ghcr.io/org/x", True),
        ("GHCR.io", "ghcr.io/org/x", True),
        ("ghcr.io/org", "ghcr.io/org/x", True),
        ("ghcr.io/org", "ghcr.io/other/x", False),
        ("ghcr.io/v1/org", "ghcr.io/org/x", True),
        ("*.example.com", "a.example.com/x", True),
        ("*.example.com", "a.b.example.com/x", False),
        ("*.example.com", "example.com/x", False),
        ("registry*.example.com/team", "registry7.example.com/team/x", True),
        ("r.io:5000", "r.io:5000/x", True),
        ("r.io:5000", "r.io/x", False),
        ("r.io", "r.io:5000/x", False),
        ("[::1]:5000", "[::1]:5000/x", True),
        ("https://index.docker.io/v1/", "docker.io/library/ubuntu", True),
        ("docker.io", "docker.io/library/ubuntu", True),
        ("registry-1.docker.io", "docker.io/org/x", True),
        ("docker.io/org", "docker.io/other/x", False),
        ("https://index.docker.io/v1/", "ghcr.io/x", False),
        ("", "ghcr.io/x", False),
    ],
)
def test_entries_cover_what_kubelet_says(pattern: str, name: str, covers: bool) -> None:
    """Prove REG-CRD-1."""
    keyring = secret({pattern: {"auth": auth("u", "p")}})
    assert users(keyring, name) == (["u"] if covers else [])


def test_the_most_specific_comes_first_across_secrets_and_nobody_last() -> None:
    """Prove REG-CRD-2."""
    entries = {
        host: {"auth": auth(user, "p")} for host, user in (("r.io", "host"), ("r.io/team", "path"), ("*.io", "glob"))
    }
    keyring = secret(entries) + secret(
        {"r.io/team/x": {"auth": auth("image", "p")}, "r.io": {"auth": auth("second", "p")}}
    )
    assert users(keyring, "r.io/team/x") == ["image", "path", "host", "second", "glob"]
    assert users(keyring + keyring, "r.io/other") == ["host", "second", "glob"]
    assert Keyring().candidates("r.io/x") == (ANONYMOUS,)


def test_secrets_are_not_shown() -> None:
    keyring = secret({"r.io": {"auth": auth("user", "hunter2"), "identitytoken": "idtoken"}})
    assert "hunter2" not in repr(keyring)
    assert "idtoken" not in repr(keyring)


_TEXT = st.text(max_size=8)


@given(_TEXT, _TEXT, _TEXT, _TEXT)
def test_fingerprints_are_equal_only_for_equal_credentials(user: str, password: str, other: str, token: str) -> None:
    first, second = Credential(user, password, token), Credential(user, other, token)
    assert (first.fingerprint == second.fingerprint) == (first == second)
    assert (first.fingerprint == "") == (first == ANONYMOUS)
    rings = [keyring_of({"r.io": {"username": user, "password": text}}, "") for text in (password, other)]
    same = rings[0].candidates("r.io/x") == rings[1].candidates("r.io/x")
    assert (rings[0].fingerprint("r.io/x") == rings[1].fingerprint("r.io/x")) == same
    assert rings[0].fingerprint("other.io/x") == ""


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
)


@given(_JSON | st.dictionaries(_TEXT, st.fixed_dictionaries({"auth": _JSON})).map(lambda hosts: {"auths": hosts}))
def test_no_document_raises(document: object) -> None:
    parsed = parse_pull_secret("s", DOCKER_CONFIG_JSON, {".dockerconfigjson": encoded(document)})
    if isinstance(parsed, Keyring):
        parsed.candidates("docker.io/library/x")


def test_the_process_has_a_docker_configuration_or_not(tmp_path: Path) -> None:
    assert process_keyring({}) == Keyring()
    assert process_keyring({"HOME": str(tmp_path)}) == Keyring()
    folder = tmp_path / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {"r.io": {"auth": auth("u", "p")}}}))
    assert users(process_keyring({"HOME": str(tmp_path)}), "r.io/x") == ["u"]
    assert users(process_keyring({"DOCKER_CONFIG": str(folder)}), "r.io/x") == ["u"]
    (folder / "config.json").write_text("{")
    assert process_keyring({"HOME": str(tmp_path)}) == Keyring()
