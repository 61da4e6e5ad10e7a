"""An S3 server on loopback, a process of its own, for as long as a ``with`` block lasts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret12345"}
ENVIRONMENT = CREDENTIALS | {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
START_SECONDS = 120


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, different ones."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def s3_server(weed: str = "") -> Iterator[str]:
    """The URL of moto's server, which takes any secret; or of seaweedfs, which does not, with the program ``weed``."""
    with tempfile.TemporaryDirectory() as where:
        port, master, volume, filer = free_ports(4)
        command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
        if weed:
            identity = {
                "accessKey": CREDENTIALS["AWS_ACCESS_KEY_ID"],
                "secretKey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            }
            actions = ["Admin", "Read", "Write", "List", "Tagging"]
            known = {"identities": [{"name": "t", "credentials": [identity], "actions": actions}]}
            (Path(where) / "s3.json").write_text(json.dumps(known))
            # Its defaults bind every address and report home.
            command = [
                *(weed, "server", f"-dir={where}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
                *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=50", "-filer", "-s3"),
                *(f"-s3.config={where}/s3.json", f"-s3.port={port}", "-s3.iam=false", "-s3.port.iceberg=0"),
                *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
            ]
        with (Path(where) / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(process, port, Path(where) / "log")
            if weed:
                time.sleep(3)  # it listens before it can store
            yield f"http://{LOOPBACK}:{port}"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def make_bucket(url: str, name: str) -> str:
    """Make a bucket; returns its URI."""
    import boto3

    key, secret = CREDENTIALS.values()
    client = boto3.client("s3", "us-east-1", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret)
    client.create_bucket(Bucket=name)
    return f"s3://{name}"


def use(url: str) -> None:
    """Let this process, and those that it starts, use a server."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=url)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the S3 server did not start:\n{log.read_text()}")
        time.sleep(0.2)
