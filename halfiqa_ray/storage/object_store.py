"""Clients of object stores: how patient they are, and what is said to a person when a store cannot be used.

A store that fails for a moment is asked again, by its client. pyarrow makes a client from a URI, but a URI cannot say
how patient it is: an S3 client is then asked 30 times, 0.2 s apart, waiting at most 3 s each time for an answer.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs as pafs

from halfiqa_ray.storage.s3_files import S3Files
from halfiqa_ray.storage.s3_settings import S3Settings, endpoint, s3_settings

# Attempts at one request, unless AWS_MAX_ATTEMPTS says otherwise. The waits in between double, 15 s in all on average.
# Where one request in 20 fails, one in 60 million then fails for good.
ATTEMPTS = 6
# To connect; and without a byte of an answer (a store may think for seconds before it completes a large upload).
CONNECT_SECONDS, ANSWER_SECONDS = 5, 30
# A process's first request to a bucket shows quickly when there is no such store.
FIRST_ATTEMPTS, FIRST_CONNECT_SECONDS, FIRST_ANSWER_SECONDS = 2, 3, 10
GOOGLE_SECONDS = 60  # Google's client goes on for 15 minutes by default


class StorageError(OSError):
    """An object store that cannot be used: the URI, what is wrong, and what to set."""


def open_bucket(scheme: str, bucket: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem of a bucket and the bucket's path in it; credentials and endpoint are the environment's.

    Raises OSError in the client's words (see `explain`) when the store does not answer or has no such bucket, and
    ValueError for a scheme that pyarrow does not know, or where the environment is wrong (`s3_settings`).
    """
    return _open(scheme, bucket, s3_settings(ATTEMPTS) if scheme == "s3" else None)


@functools.lru_cache(maxsize=16)
def _open(scheme: str, bucket: str, how: S3Settings | None) -> tuple[pafs.FileSystem, str]:
    # Kept: opening a bucket asks its server for the region.
    if how is None:
        more = f"?retry_limit_seconds={GOOGLE_SECONDS}" if scheme in ("gs", "gcs") else ""
        return pafs.FileSystem.from_uri(f"{scheme}://{bucket}{more}")
    # Amazon's clients want the region of the bucket, which it tells whom it knows; not through a proxy.
    region = how.region if how.endpoint or how.proxy else pafs.resolve_s3_region(bucket)
    if region is None:
        raise ValueError("the region of a bucket cannot be asked for through a proxy: set AWS_DEFAULT_REGION")
    how = replace(how, region=region)
    _look_for(bucket, _s3(replace(how, attempts=FIRST_ATTEMPTS), FIRST_CONNECT_SECONDS, FIRST_ANSWER_SECONDS))
    store = _s3(how, CONNECT_SECONDS, ANSWER_SECONDS)
    return pafs.PyFileSystem(S3Files(store, _reading(how))), bucket


def _s3(how: S3Settings, connect: float, answer: float) -> pafs.S3FileSystem:
    key, secret, token = how.credentials or (None, None, None)
    return pafs.S3FileSystem(
        access_key=key,
        secret_key=secret,
        session_token=token,
        region=how.region,
        endpoint_override=how.endpoint,
        scheme=urlsplit(how.endpoint or "https://").scheme,
        proxy_options=how.proxy,
        tls_ca_file_path=how.certificates,
        connect_timeout=connect,
        request_timeout=answer,
        allow_delayed_open=True,  # a file below 5 MB is then one request, not the three of an upload in parts
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=how.attempts),
    )


def _reading(how: S3Settings) -> dict[str, Any]:
    """The same for s3fs."""
    key, secret, token = how.credentials or (None, None, None)
    config: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "retries": {"mode": "standard", "total_max_attempts": how.attempts},
        "proxies": {"http": how.proxy, "https": how.proxy} if how.proxy else {},
        # Without an endpoint of ours none of the variables or the profile is to be taken either.
        "ignore_configured_endpoint_urls": how.endpoint is None,
    }
    if how.endpoint:
        config["s3"] = {"addressing_style": "path"}
    client = {"region_name": how.region} | ({"verify": how.certificates} if how.certificates else {})
    return {
        "key": key,
        "secret": secret,
        "token": token,
        "endpoint_url": how.endpoint,
        "client_kwargs": client,
        "config_kwargs": config,
    }


def _look_for(bucket: str, store: pafs.S3FileSystem) -> None:
    """Raise OSError when the store does not answer or has no such bucket: later that would look like missing files."""
    try:
        there = store.get_file_info(bucket).type != pafs.FileType.NotFound
    except OSError as error:
        if re.search(f"NETWORK_CONNECTION|{CERTIFICATE}", str(error)):
            raise
        return  # it answers; whoever may not look at the bucket may still read and write in it
    if not there:
        raise OSError("NO_SUCH_BUCKET")


# curl's numbers 35, 51, 58, 60, 77 and 83, and the words of OpenSSL, botocore and aiohttp.
CERTIFICATE = r"curlCode: (35|51|58|60|77|83)\b|SSL|[Cc]ertificate"
# What a client (pyarrow's, s3fs' and Google's) says, what it means, and what to do.
MEANINGS = (
    (
        r"NO_SUCH_BUCKET|Bucket '.*' not found",
        "{store} has no bucket {bucket!r}",
        "create it, or correct the name{endpoint}",
    ),
    (
        CERTIFICATE,
        "{store} shows a certificate that is not trusted, or speaks no TLS",
        "set AWS_CA_BUNDLE to a file with its certificate or its authority's (PEM), or correct http:// and https://"
        "{endpoint}",
    ),
    (
        r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE|EXPIRED_TOKEN|status 40[13]|PermissionError|Credentials|OAuth2",
        "{store} refuses the credentials, or they do not allow this",
        "set {credentials}",
    ),
    (
        r"NETWORK_CONNECTION|REQUEST_TIMEOUT|Connect|Timeout|PayloadError|CURL error",
        "{store} does not answer",
        "look at the network and the server{endpoint}, then run the same command again",
    ),
    (
        r"SLOW_DOWN|THROTTLING|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|status 5\d\d|while reading: \[Errno|UNAVAILABLE",
        "{store} failed every attempt at one request, as one that is overloaded",
        "run the same command again later{attempts}",
    ),
)
S3_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN if there is one), or AWS_PROFILE"


def explain(uri: str, error: str) -> str:
    """What is wrong with the store of ``uri`` and what to set, from the words of its client, which come last."""
    scheme, _, rest = uri.partition("://")
    server = endpoint() if scheme == "s3" else None
    words = {
        "store": f"the object store at {server}" if server else "the object store",
        "bucket": rest.partition("/")[0],
        "endpoint": " or AWS_ENDPOINT_URL" if scheme == "s3" else "",
        "credentials": S3_CREDENTIALS if scheme == "s3" else "the credentials of this kind of store",
        "attempts": "; AWS_MAX_ATTEMPTS sets how many there are" if scheme == "s3" else "",
    }
    told = " ".join(error.split())
    for pattern, wrong, remedy in MEANINGS:
        if re.search(pattern, error):
            return f"{uri}: {wrong.format(**words)}; {remedy.format(**words)} ({told})"
    return f"{uri}: {told}"
