"""Elasticsearch with passwords and TLS: authentication, and messages for rejected credentials."""

import base64
import hashlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scripts.elasticsearch import Node

from lookalike.errors import BadSetting
from lookalike.indexes.elasticsearch.client import probe
from lookalike.indexes.elasticsearch.index import open_index
from lookalike.types import FeatureSpec, Rows
from tests.index_contract import random_features
from tests.support.engines.elasticsearch import nodes
from tests.support.requirements import skip_or_fail

SPEC = FeatureSpec("phash", "hamming", 8, "security 1")
PASSWORD = "s3cret:with/odd@signs"
QUOTED = "s3cret%3Awith%2Fodd%40signs"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, created for this run."""
    if shutil.which("openssl") is None:
        skip_or_fail("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "http.key", "-out", "http.crt"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def node(certificate: Path) -> Iterator[Node]:
    settings = {
        "xpack.security.http.ssl.enabled": "true",
        "xpack.security.http.ssl.key": "http.key",
        "xpack.security.http.ssl.certificate": "http.crt",
        "xpack.security.transport.ssl.enabled": "false",
    }
    files = {name: (certificate / name).read_bytes() for name in ("http.key", "http.crt")} | user_files()
    with nodes(settings=settings, files=files, password=PASSWORD, scheme="https", heap_mb=384) as started:
        yield started[0]


def user_files() -> dict[str, bytes]:
    """A user with all privileges on our indexes, in files: this build has no users in an index."""
    salt = b"0123456789abcdef0123456789abcdef"
    digest = hashlib.pbkdf2_hmac("sha512", b"changeme-1", salt, 10_000, 32)
    hashed = "$".join(["{PBKDF2}10000", *(base64.b64encode(part).decode() for part in (salt, digest))])
    role = 'lookalike:\n  cluster: ["monitor"]\n  indices:\n  - names: ["lookalike-*"]\n    privileges: ["all"]\n'
    return {
        "users": f"lookalike:{hashed}\n".encode(),
        "users_roles": b"lookalike:lookalike\n",
        "roles.yml": role.encode(),
    }


def test_the_right_password_over_tls(node: Node, certificate: Path) -> None:
    """Trusted by the CA certificate, and by the fingerprint of the server's certificate."""
    der = ssl.PEM_cert_to_DER_cert((certificate / "http.crt").read_text())
    for trust in (f"ca={certificate / 'http.crt'}", f"fingerprint={hashlib.sha256(der).hexdigest()}"):
        url = f"elasticsearch://elastic:{QUOTED}@127.0.0.1:{node.port}?{trust}"
        index = open_index(SPEC, f"{url}&name=secure", "security")
        rows = Rows(np.arange(1, 11), random_features(SPEC, np.random.default_rng(1), 10), np.ones(10, np.int64))
        index.upsert(rows)
        index.flush(1)
        assert index.search(rows.features, 1).distances[:, 0].tolist() == [0] * 10
        assert probe(url)["health"] in ("green", "yellow")
        assert PASSWORD not in repr(index) + repr(vars(index))
        index.close()


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("", "without a password"),
        ("elastic:wrong-one@", "user 'elastic' and its password"),
        ("nobody:wrong-one@", "nobody"),
    ],
)
def test_rejected_credentials_are_reported_with_the_remedy(
    node: Node, certificate: Path, user: str, message: str
) -> None:
    url = f"elasticsearch://{user}127.0.0.1:{node.port}?ca={certificate / 'http.crt'}"
    for attempt in (lambda: open_index(SPEC, f"{url}&name=secure", "security"), lambda: probe(url)):
        with pytest.raises(BadSetting, match="USER:PASSWORD@HOST:PORT") as caught:
            attempt()
        assert message in str(caught.value)
        assert "wrong-one" not in str(caught.value)


def test_an_api_key_is_sent_as_such(node: Node, certificate: Path) -> None:
    """This build of the server issues none; that it is rejected as an API key shows that it was sent as one."""
    url = f"elasticsearch://127.0.0.1:{node.port}?ca={certificate / 'http.crt'}&api_key=bm90OmFrZXk="
    with pytest.raises(BadSetting, match="the API key") as caught:
        open_index(SPEC, url, "security")
    assert "bm90OmFrZXk" not in str(caught.value)


def test_an_unknown_certificate_is_refused(node: Node) -> None:
    for trust in ("tls=true", f"fingerprint={'0' * 64}"):
        with pytest.raises(BadSetting, match=r"TLS|certificate"):
            open_index(SPEC, f"elasticsearch://elastic:{QUOTED}@127.0.0.1:{node.port}?{trust}", "security")


def test_missing_privileges_are_reported(node: Node, certificate: Path) -> None:
    """Privileges on our own indexes are sufficient there, and only there."""
    url = f"elasticsearch://lookalike:changeme-1@127.0.0.1:{node.port}?ca={certificate / 'http.crt'}"
    index = open_index(SPEC, url, "security")
    index.upsert(Rows(np.array([1]), np.zeros((1, 8), np.uint8), np.array([1])))
    with index.rebuilding() as fresh:
        fresh.upsert(Rows(np.array([1, 2]), np.zeros((2, 8), np.uint8), np.array([1, 1])))
        fresh.flush(2)
    assert (index.count(), index.sequence) == (2, 2)
    assert probe(url)["nodes"] == 1
    index.close()
    with pytest.raises(BadSetting, match="privileges"):
        open_index(SPEC, f"{url}&name=theirs", "security")
