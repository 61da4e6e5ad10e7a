"""Both S3 clients mean the same: certificates, endpoints, profiles and proxies, against a real server on loopback."""

import datetime
import http.client
import ipaddress
import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from halfiqa_ray import storage
from halfiqa_ray.storage import s3_settings
from halfiqa_ray.storage.object_store import ATTEMPTS, StorageError
from halfiqa_ray.storage.s3_settings import S3Settings, endpoint

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
ALL = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_CONFIG_FILE")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in (*ALL, *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and a certificate of one's own for 127.0.0.1, as a lab's MinIO has."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, plain, serialization.NoEncryption()))
    return folder


@pytest.fixture(scope="module")
def secure(certificate, s3_server):
    """The S3 server's application once more, over TLS."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    files = (str(certificate / "cert.pem"), str(certificate / "key.pem"))
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), True, ssl_context=files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()


def round_trip(bucket):
    """pyarrow writes and lists, s3fs reads."""
    storage.write_bytes(f"{bucket}/a/b", b"text")
    assert storage.list_files(f"{bucket}/a") == [f"{bucket}/a/b"]
    assert storage.read_bytes(f"{bucket}/a/b") == b"text"


@pytest.mark.parametrize("variable", s3_settings.CERTIFICATES)
def test_a_certificate_of_ones_own(bucket, secure, certificate, monkeypatch, variable):
    monkeypatch.setenv("AWS_ENDPOINT_URL", secure)
    monkeypatch.setenv(variable, str(certificate / "cert.pem"))
    round_trip(bucket)


def test_a_certificate_named_in_the_profile(bucket, secure, certificate, monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        f"[profile lab]\nca_bundle = {certificate / 'cert.pem'}\nendpoint_url = {secure}/\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    round_trip(bucket)


@pytest.mark.parametrize("case", ["untrusted", "http to https", "https to http"])
def test_a_certificate_problem_is_called_one(bucket, secure, s3_server, monkeypatch, case):
    """Soon, in words that name the variable: not "does not answer"."""
    server = {"untrusted": secure, "http to https": secure, "https to http": s3_server.replace("http:", "https:")}[case]
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.replace("https:", "http:") if case == "http to https" else server)
    start = time.monotonic()
    with pytest.raises((StorageError, OSError)) as raised:
        storage.list_files(f"{bucket}/a")
    assert time.monotonic() - start < 20
    if case != "http to https":
        assert "certificate that is not trusted" in str(raised.value)
        assert "AWS_CA_BUNDLE" in str(raised.value)


@pytest.mark.parametrize("variable", s3_settings.CERTIFICATES)
def test_a_certificate_file_that_is_not_there(bucket, monkeypatch, variable):
    monkeypatch.setenv(variable, "/is/not/there.pem")
    with pytest.raises(ValueError, match=rf"{variable} is '/is/not/there\.pem', and there is no such file"):
        storage.list_files(bucket)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("http://minio:9000", "http://minio:9000"),
        ("http://minio:9000/", "http://minio:9000"),
        (" HTTPS://Minio ", "https://minio"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("", None),
    ],
)
def test_spellings_of_an_endpoint(monkeypatch, told, meant):
    monkeypatch.setenv("AWS_ENDPOINT_URL", told)
    assert endpoint() == meant


@pytest.mark.parametrize(
    "told",
    ["minio:9000", "minio", "s3://minio", "http://", "http://minio/path", "http://a?b=c", "http://a:b:c", "http://a:x"],
)
def test_what_is_no_endpoint(monkeypatch, told):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", told)
    with pytest.raises(ValueError, match=r"AWS_ENDPOINT_URL_S3 .*: write http://HOST:PORT or https://HOST:PORT"):
        storage.exists("s3://bucket/x")


def test_a_password_in_an_endpoint_is_not_printed(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:secret@minio:9000")
    with pytest.raises(ValueError) as raised:
        storage.exists("s3://bucket/x")
    assert "secret" not in str(raised.value)


def test_the_trailing_slash_and_the_more_special_variable(bucket, s3_server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"{s3_server}/")
    round_trip(bucket)


def test_variables_go_before_the_profile_and_s3_before_all(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        "[default]\nregion = eu-central-1\nendpoint_url = http://all\n"
        "[profile lab]\nservices = mine\nendpoint_url = http://all\n[services mine]\ns3 =\n  endpoint_url = http://ours\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert endpoint() == os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert endpoint() == "http://all"
    assert s3_settings.s3_settings(ATTEMPTS).region == "eu-central-1"
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert endpoint() == "http://ours"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert endpoint() is None


def test_credentials_of_a_profile(bucket, monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[profile lab]\naws_access_key_id = A\naws_secret_access_key = B\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert s3_settings.s3_settings(ATTEMPTS).credentials == ("A", "B", None)
    round_trip(bucket)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ValueError, match=r"\(nobody\).*set AWS_PROFILE"):
        storage.exists(bucket)


@contextmanager
def forward_proxy(server):
    """A proxy that brings every host's requests to ``server``, and keeps what it was asked for."""
    asked, where = [], server.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self):
            asked.append(self.path)
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
            onward = http.client.HTTPConnection(where)
            headers |= {"Host": where, "Content-Length": str(len(body))}
            onward.request(self.command, self.path.split("lab.invalid", 1)[1], body, headers)
            answer = onward.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "server", "date"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = pass_on

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{proxy.server_address[1]}", asked
        proxy.shutdown()


def test_both_go_through_the_proxy(bucket, s3_server, monkeypatch):
    """There is no such host but for the proxy; NO_PROXY takes servers out."""
    with forward_proxy(s3_server) as (proxy, asked):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://lab.invalid")
        round_trip(bucket)
        assert sum("/a/b" in path for path in asked) >= 2
        del asked[:]
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        round_trip(bucket)
        assert asked == []


def test_the_proxys_scheme_may_be_left_out(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "proxy:3128")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio")
    found = s3_settings.s3_settings(ATTEMPTS)
    assert found == S3Settings("http://minio", None, "http://proxy:3128", "us-east-1", ("test", "test", None), ATTEMPTS)
