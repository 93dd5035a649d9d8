import re
from collections.abc import Callable
from random import Random
from string import ascii_lowercase, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.service import ServiceOverrides
from aimd.planning.service.child_names import (
    InvalidImageReference,
    InvalidServiceName,
    autoscaler_name,
    dedicated_cache_name,
    derived_template_name,
    former_http_route_name,
    former_inference_service_name,
    http_route_name,
    inference_service_name,
    model_name_from_image,
    predictor_name,
    profile_config_map_name,
    shared_cache_name,
)
from tests.unit.planning.service.makers import Maker

LONG = "qwen-qwen3-32b-instruct-production-canary-blue"
DNS_LABEL_TEXT = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
DNS_LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "namespace", "expected"),
    [
        ("qwen-chat", "ml-team", "qwen-chat-a04542d9"),
        ("svc", "ns", "svc-e2c6bafc"),
        ("test-service", "default", "test-service-1080a608"),
    ],
)
def test_a_service_name_that_fits_keeps_the_reference_name(name: str, namespace: str, expected: str) -> None:
    assert inference_service_name(name, namespace) == expected
    assert http_route_name(name, namespace) == expected
    assert former_inference_service_name(name, namespace) == expected


def test_former_names_are_those_of_the_reference_even_when_truncated() -> None:
    """Prove SVC-NAM-2."""
    assert former_inference_service_name("my-service", "n" * 42) == "m-70a2a165"
    assert former_inference_service_name(LONG, "ml-team") == "qwen-qwen3-32b-instruct-production-c-a04542d9"
    emea = "customer-support-assistant-for-the-emea-region"
    assert former_inference_service_name(emea, "ml-team") == "customer-support-assistant-for-the-e-a04542d9"
    assert former_http_route_name(emea, "ml-team") == f"{emea}-a04542d9"


def test_two_truncated_names_of_one_namespace_differ() -> None:
    """Prove SVC-NAM-2."""
    first, second = inference_service_name(LONG, "ml-team"), inference_service_name(LONG + "-2", "ml-team")
    assert first != second
    assert first[:-9] == second[:-9]


DOTTED = st.from_regex(r"[a-z]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True)


@given(DOTTED, st.data())
def test_names_that_are_alike_but_for_a_replaced_character_differ(name: str, data: st.DataObject) -> None:
    """Prove SVC-NAM-2: of two services, or two templates, whatever the length of their names."""
    places = [index for index, letter in enumerate(name) if letter in ".-"]
    other = list(name)
    for index in data.draw(st.lists(st.sampled_from(places), unique=True)) if places else []:
        other[index] = "-" if name[index] == "." else "."
    twin, metric = "".join(other), ServiceOverrides(metric="latency")
    rules: tuple[Callable[[str], str], ...] = (
        lambda text: inference_service_name(text, "ml-team"),
        lambda text: http_route_name(text, "ml-team"),
        lambda text: shared_cache_name(text, "ml-team"),
        lambda text: profile_config_map_name(text),
        lambda text: derived_template_name(text, metric),
    )
    for rule in rules:
        assert (rule(name) == rule(twin)) == (name == twin)


def test_the_names_of_reference_objects_with_a_dot_are_former_ones() -> None:
    """Prove SVC-NAM-2."""
    assert former_inference_service_name("a.b", "ns") == former_inference_service_name("a-b", "ns") == "a-b-e2c6bafc"
    assert inference_service_name("a-b", "ns") == "a-b-e2c6bafc"
    assert inference_service_name("a.b", "ns") != "a-b-e2c6bafc"


def test_caches_profiles_and_what_hangs_on_the_inference_service(service: Maker) -> None:
    assert shared_cache_name("qwen3-32b-latency", "ml-team") == "qwen3-32b-latency-a04542d9"
    assert dedicated_cache_name("qwen3-32b-latency", service()) == "qwen3-32b-latency-qwen-chat-16b81fda"
    assert profile_config_map_name("llama-custom") == "llama-custom-custom-profile-8cf11a2d"
    assert profile_config_map_name("my-service") == "my-service-custom-profile-1dd8f211"
    assert predictor_name("qwen-chat-a04542d9") == "qwen-chat-a04542d9-predictor"
    assert autoscaler_name("qwen-chat-a04542d9") == "keda-hpa-qwen-chat-a04542d9-predictor"


def test_caches_of_two_templates_with_long_names_differ(service: Maker) -> None:
    """Templates that a model makes end in a hash, which is what truncation takes away first."""
    one, other = (f"aim-meta-llama-llama-3-3-70b-instruct-mi300x-latency-fp8-{end}" for end in ("3c0f", "91aa"))
    assert shared_cache_name(one, "ml-team") != shared_cache_name(other, "ml-team")
    assert dedicated_cache_name(one, service()) != dedicated_cache_name(other, service())


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("amdenterpriseai/aim-qwen-qwen3-32b:0.8.5", "aim-qwen-qwen3-32b-0-8-5-cdc1fb22"),
        ("ghcr.io/amd/llama-3-8b:v1.0.0", "llama-3-8b-v1-0-0-f15afcca"),
        ("registry.example.com:5000/models/mistral:latest", "mistral-latest-cc9c0d55"),
        ("ghcr.io/amd/model@sha256:abc123def456", "model-abc123-cbd63f4c"),
        ("ghcr.io/amd/model", "model-latest-962085c9"),
        ("ghcr.io/silogen/aim-dummy@sha256:0123456789abcdef", "aim-dummy-012345-66d101d9"),
    ],
)
def test_a_model_is_named_after_its_image(image: str, expected: str) -> None:
    """Prove SVC-NAM-3."""
    assert model_name_from_image(image) == expected


@pytest.mark.parametrize("image", ["", ":::invalid", "repo/name:", "repo/name@sha256", "repo/name@:abc", "repo/"])
def test_an_image_that_cannot_be_split_is_refused(image: str) -> None:
    """Prove SVC-NAM-3."""
    with pytest.raises(InvalidImageReference):
        model_name_from_image(image)


def test_names_that_kserve_refuses_say_what_to_change() -> None:
    """Prove SVC-NAM-1."""
    with pytest.raises(InvalidServiceName, match="begins with a letter"):
        inference_service_name("1-service", "ns")
    with pytest.raises(InvalidServiceName, match="at most 42 characters"):
        inference_service_name("service", "n" * 43)


@given(name=DNS_LABEL, namespace=st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True))
def test_every_valid_name_leaves_room_for_the_host_label(name: str, namespace: str) -> None:
    """Prove SVC-NAM-1."""
    derived = inference_service_name(name, namespace)
    assert len(f"{predictor_name(derived)}-{namespace}") <= 63
    assert len(http_route_name(name, namespace)) <= 63
    assert derived == inference_service_name(name, namespace)


def generated_texts(count: int) -> list[str]:
    """Distinct names as people and generators give them: families with long common beginnings, and random ones."""
    random = Random(20)
    families = [f"aim-{vendor}-llama-3-3-70b-instruct-throughput-mi300x-fp8" for vendor in ("meta", "acme", "qwen")]
    texts: set[str] = set()
    while len(texts) < count:
        tail = "".join(random.choices(ascii_lowercase + digits, k=random.randint(1, 12)))
        texts.add(f"{random.choice(families)}-{tail}" if random.random() < 0.2 else f"{tail}-{random.randrange(10**6)}")
    return sorted(texts)


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_names_do_not_collide(service: Maker, count: int) -> None:
    texts, owner = generated_texts(count), service()
    metric = ServiceOverrides(metric="latency")
    rules: tuple[Callable[[str], str], ...] = (
        lambda text: inference_service_name(f"s{text}", "ml-team"),
        lambda text: http_route_name(text, "ml-team"),
        lambda text: shared_cache_name(text, "ml-team"),
        lambda text: dedicated_cache_name(text, owner),
        lambda text: profile_config_map_name(text),
        lambda text: model_name_from_image(f"registry/{text}:1"),
        lambda text: derived_template_name(text, metric),
    )
    for derive in rules:
        names = [derive(text) for text in texts]
        assert len(set(names)) == len(texts)
        assert all(len(name) <= 63 and DNS_LABEL_TEXT.fullmatch(name) for name in names)
        assert names[:100] == [derive(text) for text in texts[:100]]
