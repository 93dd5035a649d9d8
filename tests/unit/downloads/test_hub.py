"""A repository of a hub: its addresses, and that its library takes every source URI that is valid."""

import httpx
import pytest
from botocore.handlers import validate_bucket_name
from huggingface_hub import get_session
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.source_uri import SOURCE_URI_PATTERN, InvalidSourceUri, Scheme, SourceUri
from aimd.downloads.failures import DownloadFailure
from aimd.downloads.hub import HubOrigin, hub_api, refuse_downgrade
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


@pytest.mark.parametrize(
    ("url", "status", "location", "refused"),
    [
        ("https://hub/a", 302, "http://hub/a", True),
        ("https://hub/a", 307, "http://other/a", True),
        ("https://hub/a", 302, "https://other/a", False),
        ("https://hub/a", 302, "/b", False),
        ("http://hub/a", 302, "http://other/a", False),
        ("https://hub/a", 200, "", False),
    ],
)
def test_https_does_not_become_http(url: str, status: int, location: str, refused: bool) -> None:
    """Prove ART-RUN-11."""
    response = httpx.Response(status, headers={"Location": location} if location else {})
    response.request = httpx.Request("GET", url)
    if refused:
        with pytest.raises(DownloadFailure, match="plain HTTP"):
            refuse_downgrade(response)
    else:
        refuse_downgrade(response)


def test_the_library_asks_with_this_check() -> None:
    for _ in range(2):
        hub_api("https://hub", "")
    assert get_session().event_hooks["response"].count(refuse_downgrade) == 1
