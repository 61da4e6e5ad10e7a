"""Paths and URIs as a user gives them: what is nearly a URI is refused, for it would be taken for a folder's name."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

BUCKETS = ("s3", "gs", "gcs")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(/*)(.*)", re.DOTALL)
# A colon after one of these is meant as a URI's; after another word only with slashes: "run:1" is a folder.
KNOWN = {
    *BUCKETS,
    "s3a",
    "s3n",
    "file",
    "http",
    "https",
    "ftp",
    "hdfs",
    "viewfs",
    "abfs",
    "abfss",
    "az",
    "wasb",
    "wasbs",
}
VARIABLE = re.compile(r"(?:^|/)(\$(?:\w+|\{\w+\}))(?=/|$)")
LOCAL = "file://"


def checked_uri(uri: str) -> str:
    """``uri`` as it is. Raises ValueError, without the user part of a URI, for what is neither a path nor a URI."""
    if not uri.strip():
        raise ValueError("it is empty: name a folder, or '.' for this one")
    if "\0" in uri:
        raise ValueError("it has a zero byte in it")
    found = SCHEME.fullmatch(uri.lstrip())
    if not found or not (found[1].lower() in KNOWN or found[2]):
        return uri
    scheme, slashes, rest = found[1], found[2], found[3]
    right = scheme.lower()
    if uri != uri.lstrip() or scheme != right or (right not in ("file",) and slashes != "//"):
        raise ValueError(f"it is not quite a URI: {_meant(right, rest)}")
    if right == "file":
        if slashes != "///":
            raise ValueError(f"it is not quite a URI: write the path alone, or {LOCAL}/PATH with three slashes")
        return uri
    authority = rest.partition("/")[0]
    if "@" in authority and (right in BUCKETS or ":" in authority.rpartition("@")[0]):
        raise ValueError(
            f"it has a user or password in it, which would be printed and stored: write {right}://BUCKET/PATH, and set "
            f"credentials in the environment"
        )
    if right in ("http", "https", "ftp"):
        raise ValueError(f"{right}:// is not a store: download it, or use s3://BUCKET/PATH or a folder")
    if right in ("s3a", "s3n"):
        raise ValueError(f"write s3:// in place of {right}://")
    if right in BUCKETS and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", authority):
        raise ValueError(f"there is no bucket in it: write {right}://BUCKET/PATH")
    return uri


def checked_setting(uri: str) -> str:
    """`checked_uri`, and a variable of the shell that nobody has filled in is refused too."""
    if found := VARIABLE.search(uri):
        raise ValueError(
            f"{found[1]} is not filled in here: write out what it stands for, or give it on the command line"
        )
    return checked_uri(uri)


def shown(text: str) -> str:
    """A path or URI for a message: in quotes, on one line, and without the user part of a URI."""
    return repr(re.sub(r":/*[^@\s]*@", "://***@", " ".join(text.split())))


def _meant(scheme: str, rest: str) -> str:
    # Not `rest` itself: it may have a password.
    if scheme in KNOWN:
        return f"write {scheme}://BUCKET/PATH" if scheme in BUCKETS else f"write {scheme}://..., in small letters"
    return f"write {scheme}://... for a store, or ./{scheme}:... for a folder of that name"


Uri = Annotated[str, AfterValidator(checked_setting)]
