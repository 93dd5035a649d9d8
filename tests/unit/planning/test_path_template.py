import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.path_template import InvalidPathTemplate, default_path, render_path

ACCEPTED_BY_GATEWAY_API = re.compile(r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$")
SERVICE = {
    "metadata": {
        "namespace": "Testing",
        "name": "chat",
        "generation": 3,
        "labels": {"team": "Workload-42", "org.example/unit": "a.b_c"},
        "annotations": {"group": "Team-A/B"},
    },
    "spec": {"model": {"name": "qwen"}, "items": [{"flag": True}, {"ratio": 1.5}], "nothing": None},
    "status": {"resolvedModel": {"name": "Meta/Llama-3 8B"}},
}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/{.metadata.namespace}/chat/{.metadata.name}", "/testing/chat/chat"),
        ("/{.metadata.namespace}/{.metadata.labels['team']}/", "/testing/workload-42"),
        ('{.metadata.labels["org.example/unit"]}', "/a.b_c"),
        ("/{.metadata.annotations['group']}", "/team-a/b"),
        ("/{.status.resolvedModel.name}", "/meta/llama-3%208b"),
        ("/v{.metadata.generation}/{.spec.items[0].flag}/{.spec.items[1].ratio}", "/v3/true/1.5"),
        ("/{ .metadata.name }//x", "/chat/x"),
        ("/Grüße", "/gr%C3%BC%C3%9Fe"),
        ("/100%", "/100%25"),
        ("/", "/"),
    ],
)
def test_templates_that_give_a_path(template: str, path: str) -> None:
    """Prove SVC-RTE-3."""
    assert render_path(template, SERVICE) == path


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("/{.metadata.labels['nope']}", "label 'nope'"),
        ("/{.metadata.annotations['nope']}", "annotation 'nope'"),
        ("/{.metadata.nope}", "field .metadata.nope"),
        ("/{.spec.nothing}", "field .spec.nothing"),
        ("/{.spec.items[7].flag}", "field .spec.items[7]"),
        ("/{.spec.items}", "not a single value"),
        ("/{.metadata[}", "not valid JSONPath"),
        ("/{.spec.items[*].flag}", "names, quoted keys and indexes"),
        ("/{.spec.items[0:1]}", "names, quoted keys and indexes"),
        ("/{..name}", "names, quoted keys and indexes"),
        ("/{.spec.items[?(@.flag)]}", "not valid JSONPath"),
        ("/{metadata.name}", "begin with a dot"),
        ("/{}", "begin with a dot"),
        ("/{.metadata.name", "unmatched brace"),
        ("/../x", "'..'"),
        ("/a/.", "'.'"),
        ("/" + "x" * 200, "more than 200"),
        ("/\ud800", "cannot be encoded"),
    ],
)
def test_templates_that_give_none_say_why(template: str, names: str) -> None:
    """Prove SVC-RTE-4."""
    with pytest.raises(InvalidPathTemplate, match=re.escape(names)):
        render_path(template, SERVICE)


def test_a_long_template_is_refused_before_it_is_parsed() -> None:
    """Prove OBJ-BND-2."""
    for template in ("/{" + ".a" * 500_000 + "}", "/" * 1025):
        with pytest.raises(InvalidPathTemplate, match="more than 1024: shorten it"):
            render_path(template, SERVICE)


def test_expressions_without_text_are_no_route_to_everything() -> None:
    with pytest.raises(InvalidPathTemplate, match="empty path"):
        render_path("/{.metadata.labels['x']}", {"metadata": {"labels": {"x": ""}}})


def test_the_default_path_is_namespace_and_name() -> None:
    """Prove SVC-RTE-2."""
    assert default_path("ml-team", "qwen-chat") == "/ml-team/qwen-chat"


@given(template=st.text(max_size=60), value=st.text(max_size=60))
def test_a_rendered_path_is_always_one_that_a_gateway_takes(template: str, value: str) -> None:
    """Prove SVC-RTE-3."""
    service = {"metadata": {"labels": {"x": value}}}
    for text in (template, f"/{{.metadata.labels['x']}}/{template}"):
        try:
            path = render_path(text, service)
        except InvalidPathTemplate:
            continue
        assert ACCEPTED_BY_GATEWAY_API.match(path)
        assert path.startswith("/")
        assert len(path) <= 200
        assert not {".", ".."} & set(path.split("/"))
        assert "//" not in path
        assert "%2f" not in path.lower()
