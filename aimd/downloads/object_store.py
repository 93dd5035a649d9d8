"""Objects of an S3-compatible store below a prefix: their list, and presigned URLs to download them from.

botocore does what is specific to Amazon's API: it finds credentials (environment, web identity, …), signs with version
4, lists and decodes errors. The bytes come over plain HTTP ranges from presigned URLs, so that the same code downloads
from hubs and object stores. botocore reads the credentials from the environment; no argument and no log line has them.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aimd.api.source_uri import SourceUri
from aimd.downloads.backoff import Retryable, is_transient
from aimd.downloads.checksums import Checksum, Kind
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.snapshot import RemoteFile, Snapshot, require_safe_paths

_SIGNED_SECONDS = 3600
_HEADS_AT_ONCE = 8
_MD5 = re.compile(r"[0-9a-f]{32}")
_PARTS = re.compile(r"[0-9a-f]{32}-(\d+)")
_CODE = re.compile(rb"<Code>(\w+)</Code>")
_AUTH_CODES = frozenset(
    {
        *("AccessDenied", "AllAccessDisabled", "ExpiredToken", "Forbidden", "InvalidAccessKeyId", "InvalidToken"),
        *("RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired", "Unauthorized", "401", "403"),
    }
)
_MISSING_CODES = frozenset({"NoSuchBucket", "NoSuchKey", "NotFound", "404"})
_TRANSIENT_CODES = frozenset(
    {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "ThrottlingException"}
)


@dataclass(frozen=True, slots=True)
class ObjectStoreAccess:
    """How to reach the store (ART-RUN-10); an empty value means botocore's default.

    `endpoint` is a URL; if it is set, buckets are addressed by path. `ca_bundle` is a file of PEM certificates.
    """

    endpoint: str = ""
    region: str = ""
    ca_bundle: str = ""


class BucketOrigin:
    """Objects of one bucket, at URLs that are signed when they are needed."""

    def __init__(self, client: Any, source: SourceUri) -> None:
        self._client = client
        self._source = source

    def url_of(self, file: RemoteFile) -> str:
        """Return a URL that is valid for an hour. Blocks if botocore renews its credentials."""
        where = {"Bucket": self._source.bucket, "Key": self._source.prefix + file.path}
        url: str = self._client.generate_presigned_url("get_object", Params=where, ExpiresIn=_SIGNED_SECONDS)
        return url

    def headers(self, file: RemoteFile) -> Mapping[str, str]:
        """Return a condition on the version that was listed, so that a replaced object is not mixed in."""
        return {"If-Match": f'"{file.etag}"'} if file.etag else {}

    def failure_of(self, file: RemoteFile, status: int, _headers: Mapping[str, str], body: bytes) -> Exception:
        """Return the failure that an error response of the store means."""
        found = _CODE.search(body)
        code = found.group(1).decode() if found else str(status)
        if status == 412:
            return DownloadFailure(Reason.VERIFICATION, f"{file.path} was replaced during the download")
        return _failure(code, f"{self._source}{file.path}", status)


def list_objects(
    source: SourceUri, access: ObjectStoreAccess, active: Callable[[], None], *, checksums: bool = True
) -> Snapshot:
    """Return the objects below the prefix; `checksums` adds those that the store knows, at a request per object.

    `active` is called with each response. Blocks. Raises DownloadFailure, or Retryable for a temporary problem.
    """
    from botocore import exceptions

    try:
        client = _client(access)
        entries, region = _list(client, source, active)
        if region and region != client.meta.region_name and not access.endpoint:
            client = _client(access, region)  # presigned URLs must name the bucket's own region
        files = [RemoteFile(key, size, etag=etag) for key, size, etag in entries]
        require_safe_paths([file.path for file in files])
        if checksums:
            with ThreadPoolExecutor(_HEADS_AT_ONCE) as heads:
                files = list(heads.map(lambda file: _with_checksum(client, source, file, active), files))
    except exceptions.ClientError as error:
        raise _failure_of(error, source) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise DownloadFailure(
            Reason.AUTH, f"AWS credentials are incomplete: {error}. Set both AWS keys, or none for anonymous access"
        ) from error
    except (exceptions.ParamValidationError, ValueError) as error:
        raise DownloadFailure(Reason.BAD_REQUEST, f"{source}: {error}") from error
    except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
        raise Retryable(f"request to the object store for {source} failed: {error}") from error
    listing = "".join(f"{file.path}\0{file.size}\0{file.etag}\n" for file in files)
    revision = hashlib.sha256(listing.encode()).hexdigest()[:40]
    return Snapshot(revision, tuple(files), BucketOrigin(client, source))


def _client(access: ObjectStoreAccess, region: str = "") -> Any:
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config

    session = botocore.session.get_session()
    session.set_config_variable("metadata_service_num_attempts", 1)
    anonymous = session.get_credentials() is None
    # `Backoff` is the only place that retries, hence the single attempt here.
    config = Config(
        signature_version=UNSIGNED if anonymous else "s3v4",
        s3={"addressing_style": "path" if access.endpoint else "auto"},
        retries={"total_max_attempts": 1},
        connect_timeout=20,
        read_timeout=60,
        max_pool_connections=_HEADS_AT_ONCE,
        user_agent_extra="aimd",
    )
    return session.create_client(
        "s3",
        region_name=region or access.region or session.get_config_variable("region") or "us-east-1",
        endpoint_url=access.endpoint or None,
        verify=access.ca_bundle or None,
        config=config,
    )


def _list(client: Any, source: SourceUri, active: Callable[[], None]) -> tuple[list[tuple[str, int, str]], str]:
    """Return each object as path below the prefix, size and ETag, sorted; and the region, if the store returns it."""
    region = ""
    entries: list[tuple[str, int, str]] = []
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=source.prefix)
    for page in pages:
        active()
        region = page["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
        entries.extend(_entries(page, source.prefix))
    return sorted(entries), region


def _entries(page: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, int, str]]:
    for item in page.get("Contents") or ():
        path = str(item["Key"])[len(prefix) :]
        if path and not path.endswith("/"):  # empty objects that represent folders
            yield path, int(item["Size"]), str(item.get("ETag") or "").strip('"')


def _with_checksum(client: Any, source: SourceUri, file: RemoteFile, active: Callable[[], None]) -> RemoteFile:
    """Return the file with its checksum: a stored one, the ETag of a plain upload, or that of a multipart upload."""
    active()
    where = {"Bucket": source.bucket, "Key": source.prefix + file.path}
    head = client.head_object(**where, ChecksumMode="ENABLED")
    checksum = _stored_checksum(head) or _checksum_of_etag(head, file.etag)
    parts = _PARTS.fullmatch(file.etag)
    if checksum is None and parts and not _is_encrypted(head):
        first = int(client.head_object(**where, PartNumber=1)["ContentLength"])
        if first > 0 and -(-file.size // first) == int(parts.group(1)):
            checksum = Checksum(Kind.MD5_OF_PARTS, file.etag, first)
    return RemoteFile(file.path, file.size, checksum, file.etag)


def _stored_checksum(head: Mapping[str, Any]) -> Checksum | None:
    """Return a stored checksum of the whole object; one composed of parts does not say where the parts end."""
    from base64 import b64decode

    if head.get("ChecksumType") == "COMPOSITE":
        return None
    for name, kind in (("ChecksumSHA256", Kind.SHA256), ("ChecksumCRC32", Kind.CRC32)):
        text = str(head.get(name) or "")
        if text and "-" not in text:
            return Checksum(kind, b64decode(text).hex())
    return None


def _checksum_of_etag(head: Mapping[str, Any], etag: str) -> Checksum | None:
    return Checksum(Kind.MD5, etag) if _MD5.fullmatch(etag) and not _is_encrypted(head) else None


def _is_encrypted(head: Mapping[str, Any]) -> bool:
    """Return whether the object is encrypted with a key for which ETags are not checksums of the content."""
    return bool(head.get("SSECustomerAlgorithm")) or str(head.get("ServerSideEncryption") or "").startswith("aws:kms")


def _failure_of(error: Any, source: SourceUri) -> Exception:
    code = str(error.response.get("Error", {}).get("Code") or "")
    return _failure(code, str(source), int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0))


def _failure(code: str, where: str, status: int) -> Exception:
    """Return the failure for an error code, with the phrases that log classifiers know (ART-RUN-8)."""
    if code in _MISSING_CODES or status == 404:
        return DownloadFailure(
            Reason.NOT_FOUND, f"{code}: {where} not found (404). Correct the bucket, the path or AWS_ENDPOINT_URL"
        )
    if code in _AUTH_CODES or status in (401, 403):
        return DownloadFailure(
            Reason.AUTH,
            f"Access Denied ({code}) for {where}, s3 returned {status}. Correct AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or their permissions",
        )
    if code in _TRANSIENT_CODES or is_transient(status):
        return Retryable(f"{where}: the object store returned {status} {code}")
    return DownloadFailure(
        Reason.BAD_REQUEST,
        f"the object store returned {status} {code} for {where}. Check AWS_ENDPOINT_URL and the region",
    )
