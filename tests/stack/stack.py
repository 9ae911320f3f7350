"""The services of deploy/compose/compose.yaml as plain processes of this machine, each by its own command and check.

What differs from containers is written here: addresses and ports, folders in place of volumes, PostgreSQL set up as its
image would, and what Ray needs for two nodes on one machine.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.servers import REPOSITORY, S3Server, free_ports
from tests.stack.compose import COMPOSE, Service, services

_START_WITHIN_S = 180
# Ray takes longer where a run is under way; its data goes with it.
_STOP_WITHIN_S = 10
# A check that is a command of Dagster costs seconds of a core, which the services that start could use.
_CHECK_EACH_S = 3.0
_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD", "RAY_AUTH_TOKEN")
# What the session may have set for itself.
_FOREIGN = ("AWS_", "DAGSTER_", "FRAUD_", "MLFLOW_", "PG", "PYTHON", "RAY_", "S3_", "TUNE_", "WEED_")


@dataclass(frozen=True)
class Stack:
    """The running services.

    Attributes:
        folder: of everything that they write, PostgreSQL aside; its path marks every process that they start.
        ports: of 127.0.0.1, by service and the port inside the network.
        secrets: the values of compose's variables.
        settings: FRAUD_* variables in place of those in settings.env.
        database: the folder of PostgreSQL's data, None where it isn't installed.
        processes: by service.
    """

    folder: Path
    ports: dict[tuple[str, int], int]
    secrets: dict[str, str]
    settings: Mapping[str, str]
    database: Path | None
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def url(self, service: str, port: int) -> str:
        """Where this machine finds a service's port."""
        return f"http://127.0.0.1:{self.ports[service, port]}"

    @property
    def s3(self) -> S3Server:
        """The S3 server, and its keys."""
        keys = self.secrets["AWS_ACCESS_KEY_ID"], self.secrets["AWS_SECRET_ACCESS_KEY"]
        return S3Server("seaweedfs", self.url("s3", 8333), None, *keys)

    @property
    def instance(self) -> Path:
        """Where webserver, daemon and runs have the Dagster instance."""
        return self.folder / "dagster"

    def log(self, service: str) -> Path:
        """What a service prints."""
        return self.folder / f"{service}.log"

    def ended(self) -> list[str]:
        """Services that don't run any more."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def left_over(self) -> list[int]:
        """Processes that services started and that live on, whoever is their parent now."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                zombie = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                if str(self.folder).encode() in (process / "environ").read_bytes() and not zombie:
                    found.append(int(process.name))
        return found

    def start(self) -> None:
        """Start each service as soon as those that it waits for are healthy, and wait until all are.

        Raises:
            RuntimeError: a service ended or isn't healthy in time; the message has the tail of its log.
        """
        known = services(self.secrets)
        if self.database is None:
            del known["postgres"]
        healthy: set[str] = set()
        give_up = time.monotonic() + _START_WITHIN_S
        while len(healthy) < len(known):
            for name, service in known.items():
                if name not in self.processes:
                    if healthy.issuperset(set(service.waits_for) & set(known)):
                        self.processes[name] = self._started(service)
                elif name not in healthy and self._is_healthy(service):
                    if name == "postgres":
                        self._make_databases(service)
                    healthy.add(name)
            failed = self.ended() or ([*known.keys() - healthy] if time.monotonic() > give_up else [])
            if failed:
                tail = "\n".join(self.log(failed[0]).read_text(errors="replace").splitlines()[-20:])
                raise RuntimeError(f"{failed[0]} is not healthy; the end of its log:\n{tail}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End all services and whatever they started, the last ones first."""
        for name, process in reversed(self.processes.items()):
            # The fast shutdown, as its image asks for: by SIGTERM it would wait for its clients.
            polite = signal.SIGINT if name == "postgres" else signal.SIGTERM
            with suppress(ProcessLookupError):
                os.killpg(process.pid, polite)
        give_up = time.monotonic() + _STOP_WITHIN_S
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, give_up - time.monotonic()))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # A run's driver, or a worker of Ray, is in a session of its own.
        while pids := self.left_over():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def environment(self, service: Service) -> dict[str, str]:
        """The environment of a service's process."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        own = {name: self.here(value, service) for name, value in service.environment.items()}
        if any(name.startswith("FRAUD_") for name in own):
            own.update(self.settings)
        if self.database is None:
            own.pop("DAGSTER_POSTGRES_URL", None)
        return {
            **clean,
            "HOME": str(self.folder),
            # As in the image: a job of Ray finds the commands, and XGBoost's temporary files go with the rest.
            "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "TMPDIR": str(self.folder / "tmp"),
            "RAY_TMPDIR": str(self.folder / "ray"),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
            "no_proxy": "127.0.0.1,localhost",
            **own,
        }

    def here(self, text: str, service: Service) -> str:
        """A piece of the compose file as it has to be on this machine."""
        if self.database is None:
            text = re.sub(r"postgresql\S+@postgres:\d+/mlflow", f"sqlite:///{self.folder / 'mlflow.db'}", text)
        for (name, inside), outside in self.ports.items():
            text = re.sub(rf"(?<![\w-]){name}:{inside}(?!\d)", f"127.0.0.1:{outside}", text)
            if name == service.name:
                text = re.sub(rf"(?<!\d){inside}(?!\d)", str(outside), text)
        for inside_path, volume in service.mounts.items():
            text = text.replace(inside_path, str(self.folder / volume))
        text = text.replace("/opt/dagster", str(self.instance))
        return re.sub(r"\blocalhost\b|\b0\.0\.0\.0\b", "127.0.0.1", text)

    def _started(self, service: Service) -> "subprocess.Popen[bytes]":
        for volume in service.mounts.values():
            (self.folder / volume).mkdir(exist_ok=True)
        command = [self.here(argument, service) for argument in service.command]
        user = None
        if service.name.startswith("ray-"):
            # Nodes of one machine differ by their address only if they are told to.
            command.append("--node-ip-address=127.0.0.1")
        if service.name == "ray-head":
            command.append(f"--temp-dir={self.folder / 'ray'}")
        if service.name == "s3":
            # Sockets would otherwise stay in /tmp. The names are relative, because a socket's path can't be long.
            command += ["-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock", *self._inner_ports()]
        if service.name == "postgres":
            command, user = self._postgres(service), _unprivileged()
        with self.log(service.name).open("wb") as output:
            return subprocess.Popen(
                command, cwd="/" if user else self.folder, env=self.environment(service), user=user,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def _is_healthy(self, service: Service) -> bool:
        """What its own health check says; it is not asked while a port is closed."""
        for port in service.listens:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.ports[service.name, port])) != 0:
                    return False
        check = [self.here(argument, service) for argument in service.check]
        if check[0] == "wget":
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(check[-1], timeout=5) as response:
                    return bool(response.status == 200)
            except (OSError, urllib.error.URLError):
                return False
        done = subprocess.run(
            check, env=self.environment(service), cwd=self.folder, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode != 0:
            time.sleep(_CHECK_EACH_S)
        return done.returncode == 0

    def _postgres(self, service: Service) -> list[str]:
        """Set its data up, as the image does; returns the command that serves it."""
        assert self.database is not None
        user = _unprivileged()
        if user:
            shutil.chown(self.database, user)
        initdb, data = Path(shutil.which("initdb") or "initdb").resolve(), self.database / "data"
        with tempfile.NamedTemporaryFile("w", dir=self.database) as password:
            password.write(service.environment["POSTGRES_PASSWORD"])
            password.flush()
            if user:
                shutil.chown(password.name, user)
            subprocess.run(
                [str(initdb), "-D", str(data), "-U", service.environment["POSTGRES_USER"], "-A", "scram-sha-256",
                 "--pwfile", password.name, "-N"],
                check=True, user=user, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        port = self.ports["postgres", 5432]
        options = ["-p", str(port), "-k", str(self.database), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        return [str(initdb.with_name("postgres")), "-D", str(data), *options]

    def _make_databases(self, service: Service) -> None:
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.ports["postgres", 5432], dbname="postgres",
            user=service.environment["POSTGRES_USER"], password=service.environment["POSTGRES_PASSWORD"],
        )  # fmt: skip
        # A database can't be made inside a transaction.
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {service.environment['POSTGRES_DB']}")
            cursor.execute((COMPOSE / "databases.sql").read_text())
        connection.close()

    def _inner_ports(self) -> list[str]:
        """Ports of SeaweedFS's other parts: a container has its own, this machine may have others there."""
        parts = ["s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port"]
        parts += ["filer.port.grpc", "admin.port", "admin.port.grpc"]
        with free_ports(len(parts)) as ports:
            return [f"-{part}={port}" for part, port in zip(parts, ports, strict=True)]


@contextmanager
def stack(settings: Mapping[str, str], *, published: bool = False) -> Iterator[Stack]:
    """All services, healthy, until the context ends; then nothing of them is left, data included.

    Args:
        settings: FRAUD_* variables that go before those of settings.env.
        published: take the ports for people that compose publishes, instead of any that are free.

    Raises:
        RuntimeError: a service isn't healthy in time, or ended.
    """
    values = {name: secrets.token_hex(16) for name in _SECRETS}
    # With characters that break where a secret is put into a URL or a shell without quoting.
    values["AWS_SECRET_ACCESS_KEY"] += "/+="
    values["POSTGRES_PASSWORD"] += "@/:"
    known = services(values)
    with free_ports(sum(len(service.listens) for service in known.values())) as free:
        inside = [(service.name, port) for service in known.values() for port in service.listens]
        ports = dict(zip(inside, free, strict=True))
    if published:
        ports.update({(s.name, port): outside for s in known.values() for port, outside in s.published.items()})
    # The path of a socket can't be long.
    folder = Path(tempfile.mkdtemp(prefix="fraud-"))
    database = Path(tempfile.mkdtemp(prefix="fraud-pg-")) if shutil.which("initdb") else None
    found = Stack(folder, ports, values, settings, database)
    try:
        for name in ("dagster", "tmp", "ray"):
            (folder / name).mkdir()
        _write_instance(found)
        try:
            found.start()
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if database:
            shutil.rmtree(database, ignore_errors=True)


def _write_instance(found: Stack) -> None:
    """DAGSTER_HOME: compose's own files; without PostgreSQL its place is taken by SQLite in this folder."""
    instance = yaml.safe_load((COMPOSE / "dagster.yaml").read_text())
    if found.database is None:
        del instance["storage"]
    (found.instance / "dagster.yaml").write_text(yaml.safe_dump(instance))
    workspace = yaml.safe_load((COMPOSE / "workspace.yaml").read_text())
    server = workspace["load_from"][0]["grpc_server"]
    server.update(host="127.0.0.1", port=found.ports[server["host"], server["port"]])
    (found.instance / "workspace.yaml").write_text(yaml.safe_dump(workspace))


def _unprivileged() -> str | None:
    """PostgreSQL refuses to be root."""
    return "nobody" if os.geteuid() == 0 else None
