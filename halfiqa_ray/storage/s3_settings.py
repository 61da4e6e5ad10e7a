"""Where S3 is and how to reach it: read once, as botocore reads it, for both clients (pyarrow's and s3fs).

Left to themselves they differ: pyarrow's takes no proxy, no AWS_CA_BUNDLE, no endpoint and no role of a profile; s3fs
takes them. So botocore, which is what the AWS command line and boto3 are made of, says what holds: variables before
the profile (AWS_PROFILE) of ~/.aws/config.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Certificates to trust: boto3's variable, and those of requests and OpenSSL, which people have set for other programs.
CERTIFICATES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
OTHERS = ("HOME", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", *CERTIFICATES)
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class S3Settings:
    """What both clients are made with; None is a client's own default."""

    endpoint: str | None
    certificates: str | None
    proxy: str | None
    region: str | None
    credentials: tuple[str, str, str | None] | None  # key, secret, token
    attempts: int


def s3_settings(default_attempts: int) -> S3Settings:
    """Those of now: credentials that expire are renewed. Raises ValueError that names what is set wrongly."""
    return S3Settings(*_lasting(_variables()), _credentials(), _attempts(default_attempts))


def endpoint() -> str | None:
    """The S3 server, where it is not Amazon's. Raises ValueError as `s3_settings` does."""
    return _lasting(_variables())[0]


def _variables() -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_") or name.upper() in OTHERS)
    )


@functools.lru_cache(maxsize=8)
def _lasting(variables: tuple[tuple[str, str], ...]) -> tuple[str | None, str | None, str | None, str | None]:
    """Endpoint, certificates, proxy and region, for as long as no variable changes."""
    from botocore.utils import get_environ_proxies

    session = _session(variables)
    server, certificates = _endpoint(session), _certificates(session)
    proxies = get_environ_proxies(server or "https://s3.amazonaws.com")
    proxy = proxies.get(urlsplit(server or "https://").scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    region = session.get_config_variable("region") or os.environ.get("AWS_REGION")
    return server, certificates, proxy, region or (DEFAULT_REGION if server else None)


@functools.lru_cache(maxsize=8)
def _session(variables: tuple[tuple[str, str], ...]) -> Any:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    session = Session()
    try:
        session.get_scoped_config()
    except BotoCoreError as error:  # no such profile, or a file that is not one
        raise ValueError(f"{error}: set AWS_PROFILE to a profile of ~/.aws/config, or unset it") from None
    return session


def _credentials() -> tuple[str, str, str | None] | None:
    from botocore.exceptions import BotoCoreError

    try:
        found = _session(_variables()).get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise ValueError(f"the credentials of S3 cannot be had: {error}") from None
    return (frozen.access_key, frozen.secret_key, frozen.token) if frozen else None


def _attempts(default: int) -> int:
    told = os.environ.get("AWS_MAX_ATTEMPTS", str(default)).strip()
    if not (told.isascii() and told.isdigit() and int(told)):
        raise ValueError(f"AWS_MAX_ATTEMPTS is {told!r}: set it to a whole number from 1")
    return int(told)


def _endpoint(session: Any) -> str | None:
    if str(session.get_config_variable("ignore_configured_endpoint_urls")).lower() == "true":
        return None
    for name in ENDPOINTS:
        if told := os.environ.get(name, "").strip():
            return _url(told, name)
    profile = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    told = (services.get("s3") or {}).get("endpoint_url") or profile.get("endpoint_url")
    return _url(told.strip(), "endpoint_url of the profile") if told else None


def _url(told: str, name: str) -> str:
    """An endpoint as SCHEME://HOST:PORT. Raises ValueError, without the user part that it may have."""
    advice = "write http://HOST:PORT or https://HOST:PORT"
    try:
        parts = urlsplit(told)
        scheme, port = parts.scheme.lower(), parts.port
    except ValueError:
        raise ValueError(f"{name} is no address of a server: {advice}") from None
    if "@" in told:
        raise ValueError(f"{name} has a user or password in it: {advice}, and set AWS_ACCESS_KEY_ID")
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} is {told!r}: {advice}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{name} is {told!r}, with something after the server: {advice}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{scheme}://{host}" + (f":{port}" if port else "")


def _certificates(session: Any) -> str | None:
    for name in CERTIFICATES:
        told = os.environ.get(name, "").strip()
        if name == CERTIFICATES[0] and not told:
            told, name = session.get_scoped_config().get("ca_bundle", ""), "ca_bundle of the profile"
        if told:
            if not Path(told).expanduser().is_file():
                raise ValueError(
                    f"{name} is {told!r}, and there is no such file: set it to a file of certificates (PEM)"
                )
            return str(Path(told).expanduser())
    return None
