"""Source URIs: what is accepted, what is refused and why."""

import ast
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import aimd.api.source_uri
from aimd.api.source_uri import SOURCE_URI_PATTERN, InvalidSourceUri, Scheme, SourceUri, scheme_of

PUBLISHED = re.compile(r"^(hf|s3)://[^ \t\r\n]+$")
ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint:weights"

VALID = {
    "hf://org/name": SourceUri(Scheme.HF, "org", "name"),
    "hf://org/name/": SourceUri(Scheme.HF, "org", "name"),
    "hf://gpt2": SourceUri(Scheme.HF, repository="gpt2"),
    "hf://amd/Llama-3.1-8B_FP8-KV": SourceUri(Scheme.HF, "amd", "Llama-3.1-8B_FP8-KV"),
    "hf://org/name@v1.0": SourceUri(Scheme.HF, "org", "name", "v1.0"),
    "hf://gpt2@main": SourceUri(Scheme.HF, repository="gpt2", revision="main"),
    "hf://org/name@refs/pr/7": SourceUri(Scheme.HF, "org", "name", "refs/pr/7"),
    "hf://org/name@refs/convert/parquet/": SourceUri(Scheme.HF, "org", "name", "refs/convert/parquet"),
    "hf://org/name@fix#1@home": SourceUri(Scheme.HF, "org", "name", "fix#1@home"),
    "s3://bucket": SourceUri(Scheme.S3, bucket="bucket"),
    "s3://bucket/": SourceUri(Scheme.S3, bucket="bucket"),
    "s3://my-bucket/weights/": SourceUri(Scheme.S3, bucket="my-bucket", key="weights"),
    "s3://models/a/b@c": SourceUri(Scheme.S3, bucket="models", key="a/b@c"),
    f"s3://{ARN}/weights": SourceUri(Scheme.S3, bucket=ARN, key="weights"),
}
INVALID = [
    *("", "x", "plain", "hf:/org/name", "org/name", "ftp://x", "HF://org/name", "S3://bucket/x", "https://hf.co/a/b"),
    *("hf://", "hf:///org/name", "hf://acme/tiny@", "hf://acme/tiny/extra", "hf://acme/tiny//", "hf://../x"),
    *("hf://a/..", "hf://a/.b", "hf://a/b.", "hf://a/b-", "hf://-a/b", "hf://_a/b", "hf://a//b", "hf://a/b?x"),
    *("hf://a/b--c", "hf://a/b..c", "hf://a/b.git", "hf://org/na me", f"hf://a/{'b' * 97}", "hf://a/ü", "hf://a/b\n"),
    *(
        "hf://a/b@rev:1",
        "hf://a/b@../c",
        "hf://org/name@",
        "hf://a/b@c..d",
        "hf://a/b@.c",
        "hf://a/b@c/.d",
        "hf://a/b@c//d",
    ),
    *("hf://a/b@/c", "hf://a/b@c.lock", "hf://a/b@c.lock/d", "hf://a/b@c.", "hf://a/b@@", "hf://a/b@c@{1}"),
    *("hf://a/b@c^", "hf://a/b@c~1", "hf://a/b@c\\d", "hf://a/b@c[d", "hf://a/b@c*", "hf://a/b@c\u00a0d"),
    *("s3://", "s3:///nobucket", "s3://bu cket/x", "s3:/bucket", "s3://b", "s3://tenant:bucket/x", "s3://.b/x"),
    *(f"s3://{'b' * 256}", "s3://arn:aws:s3:::bucket/x", "s3://bucket/a b", "s3://bucket/a\x7fb"),
]


@pytest.mark.parametrize(("text", "uri"), VALID.items())
def test_what_is_accepted(text: str, uri: SourceUri) -> None:
    assert SourceUri.parse(text) == uri
    assert SourceUri.parse(str(uri)) == uri
    assert re.search(SOURCE_URI_PATTERN, text)
    assert PUBLISHED.search(text)


@pytest.mark.parametrize("text", INVALID)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(InvalidSourceUri) as raised:
        SourceUri.parse(text)
    assert repr(text)[:100] in str(raised.value) or len(text) > 200


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            "acme/tiny",
            "write hf://organization/repository or hf://organization/repository@revision or s3://bucket/prefix",
        ),
        ("hf://acme/tiny@", "write hf://organization/repository or hf://organization/repository@revision"),
        ("s3:///x", "write s3://bucket/prefix"),
        ("s3://a:b/x", "correct the bucket, which has 2 to 255 letters, digits, '.', '_' or '-'"),
        (
            "hf://acme/a--b",
            "correct the name of the repository (at most 96 characters, no '--' or '..', no '.git' at the end)",
        ),
        ("hf://acme/a@b.lock", "correct the part after @, which git does not allow as a branch or tag"),
    ],
)
def test_the_message_says_what_to_change(text: str, advice: str) -> None:
    with pytest.raises(InvalidSourceUri, match=re.escape(f"{text!r} is not a valid source URI: {advice}")):
        SourceUri.parse(text)


@pytest.mark.parametrize(
    "text", ["hf://acme/tiny@", "hf://acme/tiny/extra", "hf://../x", "s3:///nobucket", "hf://a/b@rev:1", "hf://a b"]
)
def test_the_schema_refuses_malformed_uris_by_itself(text: str) -> None:
    assert not re.search(SOURCE_URI_PATTERN, text)


def test_the_parts() -> None:
    """The prefix ends with a slash: `models/a` must not count `models/a-v2/` (ART-RUN-3)."""
    hub, bucket = SourceUri.parse("hf://org/name@v1"), SourceUri.parse("s3://bucket//models/a/")
    assert (hub.path, hub.location, str(hub)) == ("org/name", "org/name@v1", "hf://org/name@v1")
    assert (bucket.path, bucket.location, str(bucket)) == (
        "bucket/models/a",
        "bucket/models/a",
        "s3://bucket/models/a/",
    )
    assert (bucket.prefix, SourceUri.parse("s3://bucket").prefix) == ("models/a/", "")
    assert SourceUri.parse("s3://bucket/a/b").prefix == "a/b/"
    assert SourceUri.parse("hf://gpt2").path == "gpt2"


@pytest.mark.parametrize(
    ("text", "scheme"),
    [("hf://a/b@", Scheme.HF), ("S3://b/k", Scheme.S3), ("x-evil-1://", None), ("hf", None), ("", None)],
)
def test_the_scheme_of_any_text(text: str, scheme: Scheme | None) -> None:
    assert scheme_of(text) is scheme


texts = st.one_of(
    st.text(),
    st.from_regex(SOURCE_URI_PATTERN),
    st.builds("{}://{}".format, st.sampled_from(["hf", "s3", "HF"]), st.text("aB1_.-/@:~{}[ \n\x7fü", max_size=30)),
)


def test_messages_are_short() -> None:
    with pytest.raises(InvalidSourceUri) as raised:
        SourceUri.parse("hf://" + "\0" * 100_000)
    assert len(str(raised.value)) < 1200


@given(texts)
@example(f"hf://{'a/' * 5000}@{'..' * 5000}")
def test_parsing_raises_nothing_else_and_is_undone_by_str(text: str) -> None:
    try:
        uri = SourceUri.parse(text)
    except InvalidSourceUri:
        return
    assert SourceUri.parse(str(uri)) == uri
    assert scheme_of(text) is uri.scheme
    assert ".." not in f"{uri.organization}/{uri.repository}"
    assert "/" not in uri.organization + uri.repository + uri.bucket
    assert re.search(SOURCE_URI_PATTERN, text)
    assert PUBLISHED.search(text)


@pytest.mark.parametrize("module", [aimd, aimd.api, aimd.api.source_uri])
def test_the_download_job_loads_nothing_else_with_it(module: ModuleType) -> None:
    """Pydantic and the API types would cost a download half a second."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    imports = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    imports += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in imports} <= sys.stdlib_module_names
