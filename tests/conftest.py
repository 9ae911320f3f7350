"""Servers that live as long as the session, started by the first test that asks for one."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.servers import S3Server
from tests.tls import ServerCertificate, make_certificate

UseS3 = Callable[[S3Server], None]


def pytest_configure() -> None:
    # A CI that cancels a job sends SIGTERM, which would leave the servers behind; Ctrl-C stops them.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with servers.minio(_minio_binary(), tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session", params=["seaweedfs", "minio"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each of both S3 servers in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session", params=["seaweedfs", "minio"])
def s3_tls_server(
    request: pytest.FixtureRequest, certificate: ServerCertificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    """Each of both S3 servers in turn, over https with a certificate of our own authority."""
    folder = tmp_path_factory.mktemp(f"{request.param}-tls")
    if request.param == "minio":
        context = servers.minio(_minio_binary(), folder, certificate)
    else:
        context = servers.seaweedfs(folder, certificate)
    with context as server:
        yield server


@pytest.fixture
def use_s3(monkeypatch: pytest.MonkeyPatch) -> UseS3:
    """A function that makes the environment that of a user of one server, and of nothing else of AWS."""

    def use(server: S3Server) -> None:
        for name in os.environ:
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real tracking server over HTTP."""
    with servers.mlflow(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


def _minio_binary() -> Path:
    binary = servers.minio_binary()
    if binary is None:
        pytest.skip("MinIO skipped: no binary; build it with tests/build_minio.sh, or name one in FRAUD_MINIO_BINARY")
    return binary
