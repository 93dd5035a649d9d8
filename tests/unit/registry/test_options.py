"""Options of the registry client: where requests of a registry go."""

from aimd.registry.options import RegistryOptions


def test_a_registry_is_at_its_own_name_unless_it_has_a_mirror() -> None:
    options = RegistryOptions(endpoints={"ghcr.io": "http://mirror:5000/ghcr/"})
    assert options.endpoint("quay.io") == "https://quay.io"
    assert options.endpoint("docker.io") == "https://registry-1.docker.io"
    assert options.endpoint("ghcr.io") == "http://mirror:5000/ghcr"
    assert [options.mirrored(name) for name in ("quay.io", "docker.io", "ghcr.io")] == [False, False, True]


def test_docker_hub_can_have_a_mirror() -> None:
    options = RegistryOptions(endpoints={"docker.io": "https://mirror.example"})
    assert (options.endpoint("docker.io"), options.mirrored("docker.io")) == ("https://mirror.example", True)


def test_without_an_observer_nothing_happens() -> None:
    assert RegistryOptions().observer("r.io", "manifest", "200", 0.1) is None  # type: ignore[func-returns-value]


def test_what_an_administrator_has_set() -> None:
    assert RegistryOptions().configured == ()
    options = RegistryOptions(endpoints={"ghcr.io": "http://mirror:5000"}, github_api="https://github.local/api")
    assert options.configured == ("http://mirror:5000", "https://github.local/api")
