"""A repository of a hub: its addresses, and that its library takes every source URI that is valid."""

from botocore.handlers import validate_bucket_name
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.source_uri import SOURCE_URI_PATTERN, InvalidSourceUri, Scheme, SourceUri
from aimd.downloads.hub import HubOrigin
from aimd.downloads.snapshot import RemoteFile


@given(
    st.from_regex(SOURCE_URI_PATTERN)
    | st.builds("hf://{}/{}".format, *[st.text("aB1_.-", min_size=1, max_size=99)] * 2)
)
def test_the_libraries_refuse_no_valid_source_uri(text: str) -> None:
    try:
        source = SourceUri.parse(text)
    except InvalidSourceUri:
        return
    if source.scheme is Scheme.HF:
        validate_repo_id(source.path)
    else:
        validate_bucket_name({"Bucket": source.bucket})


def test_urls_are_quoted_and_pinned() -> None:
    origin = HubOrigin("http://hub", "org/name", "c0ffee", "hf_secret")
    assert "hf_secret" not in repr(origin)
    assert origin.url_of(RemoteFile("a b#?.json", 1)) == "http://hub/org/name/resolve/c0ffee/a%20b%23%3F.json"
