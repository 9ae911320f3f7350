"""MinIO, any other S3, or a folder: one pyarrow filesystem and a root."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pydantic import Field

DEFAULT_FOLDER = ".fraud_assets"

# They outlast a restart of the server (9 s), and a wrong address is still told soon.
_ATTEMPTS = 5


class StorageError(Exception):
    """The storage can't be used as asked; the message names the object and the server, and says what to check."""


class StorageAwayError(StorageError):
    """The storage doesn't answer: it may be back soon, and nothing is wrong with keys or names."""


class ObjectNotFoundError(StorageError):
    """The storage answers, but nothing is stored under this name."""


@dataclass(frozen=True)
class Location:
    """A place in a storage.

    Attributes:
        filesystem: what reads and writes there; picklable, and holds no credential.
        path: the place as `filesystem` understands it: `bucket/prefix`, or an absolute path.
        endpoint: URL of the S3 server, None for AWS itself and for a folder.
    """

    filesystem: fs.FileSystem
    path: str
    endpoint: str | None = None

    @property
    def is_s3(self) -> bool:
        """Whether objects live in a bucket: no folders to make, no partial objects to see."""
        return bool(self.filesystem.type_name == "s3")

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix` or `file:///folder`; `locate` takes it back."""
        return f"s3://{self.path}" if self.is_s3 else Path(self.path).as_uri()

    @property
    def bucket(self) -> str | None:
        """The bucket, or None for a folder."""
        return self.path.partition("/")[0] if self.is_s3 else None

    def child(self, *parts: str) -> "Location":
        """The place `parts` below this one."""
        return Location(self.filesystem, "/".join([self.path.rstrip("/"), *parts]), self.endpoint)

    def __str__(self) -> str:
        return f"{self.uri} (server {self.endpoint})" if self.endpoint else self.uri


class ObjectStore(dg.ConfigurableResource["ObjectStore"]):
    """Where everything that the graph makes is kept. Nothing is opened before the first use."""

    uri: str | None = Field(
        default=None,
        description=(
            "Where the graph keeps its values and Ray Tune's experiments: s3://bucket/prefix, file:///folder or a "
            f"path. Default: the environment variable FRAUD_STORAGE_URI, else the folder {DEFAULT_FOLDER}/ in the "
            "working directory. S3 keys and the endpoint come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
            "AWS_ENDPOINT_URL only."
        ),
    )

    @property
    def is_default(self) -> bool:
        """Whether nobody named a storage, so that it is the embedded folder."""
        return not (self.uri or os.environ.get("FRAUD_STORAGE_URI"))

    @property
    def root(self) -> Location:
        """The storage's root, on a new filesystem.

        Raises:
            StorageError: the URI or a variable of the environment can't be understood.
        """
        return locate(self.uri or os.environ.get("FRAUD_STORAGE_URI") or str(Path.cwd() / DEFAULT_FOLDER))

    def child(self, *parts: str) -> Location:
        """The place `parts` below the root."""
        return self.root.child(*parts)

    def check_access(self) -> None:
        """Ask the storage for one listing, so that a wrong key is told before hours of work and not after.

        Raises:
            StorageError: server, keys or bucket are wrong; see `explain_errors`.
        """
        check_access(self.root)


def locate(uri: str, *, attempts: int = _ATTEMPTS) -> Location:
    """The place that `uri` names: `s3://bucket/prefix`, `file:///folder`, or a path, absolute or relative.

    Nothing is contacted. S3 keys are literal (no percent-encoding), as in the AWS command line. A server that doesn't
    answer is asked so many times in all.

    Raises:
        StorageError: unknown scheme, no bucket, or something inside that belongs into the environment. The
            message doesn't repeat the URI: it may hold a secret.
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", uri)
    scheme = match[1].lower() if match else None
    if scheme == "s3":
        path = _bucket_and_key(uri)
        endpoint = s3_endpoint()
        return Location(_s3_filesystem(endpoint, attempts), path, endpoint)
    if scheme == "file":
        path = unquote(re.sub(r"^[^:]+:(//)?", "", uri))
        if not path.startswith("/"):
            raise StorageError("a file URI has three slashes and an absolute path: file:///folder")
        return Location(fs.LocalFileSystem(), str(Path(path).resolve()))
    if scheme is not None:
        raise StorageError(f"{scheme}:// is no known storage: give s3://bucket/prefix, file:///folder or a path")
    if not uri.strip():
        raise StorageError("the storage URI is empty: give s3://bucket/prefix, file:///folder or a path")
    return Location(fs.LocalFileSystem(), str(Path(uri).expanduser().resolve()))


def _bucket_and_key(uri: str) -> str:
    """`bucket/prefix` of an s3 URI."""
    bucket, _, key = re.sub(r"^[^:]+:/", "", uri).removeprefix("/").partition("/")
    if re.search(r"[:@]", bucket) or "?" in uri:
        raise StorageError(
            "an s3 URI is s3://bucket/prefix and nothing else: keys go into AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, the server into AWS_ENDPOINT_URL"
        )
    if not bucket or not re.match(r"[^:]+://", uri):
        raise StorageError("the s3 URI names no bucket: give s3://bucket/prefix")
    parts = key.rstrip("/").split("/") if key.rstrip("/") else []
    if any(part in ("", ".", "..") for part in parts):
        raise StorageError("the key of an s3 URI can't have an empty part, '.' or '..' between its slashes")
    return "/".join([bucket, *parts])


def s3_endpoint() -> str | None:
    """The S3 server's URL from AWS_ENDPOINT_URL_S3, else AWS_ENDPOINT_URL; None means AWS.

    Raises:
        StorageError: the value isn't http(s)://host[:port].
    """
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        value = os.environ.get(name, "").strip()
        if not value:
            continue
        if not re.fullmatch(r"https?://[^/@?#\s]+/?", value, re.IGNORECASE):
            # With a path behind the host, pyarrow answers "not found" to everything.
            raise StorageError(
                f"{name} has to be http://host:port or https://host:port, with no path and no keys in it"
            )
        return value.rstrip("/")
    return None


def _s3_filesystem(endpoint: str | None, attempts: int) -> fs.S3FileSystem:
    """A client that takes its keys from the environment by itself.

    A key given as an argument would be written into Tune's experiment state, which pickles the filesystem.
    """
    parts = urlsplit(endpoint or "https://")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ("us-east-1" if endpoint else None)
    ca_bundle = os.environ.get("AWS_CA_BUNDLE") or None
    if parts.scheme == "https" and ca_bundle is not None and not Path(ca_bundle).is_file():
        raise StorageError(f"AWS_CA_BUNDLE names no file: {ca_bundle}")
    return fs.S3FileSystem(
        endpoint_override=parts.netloc or None,  # With an override, pyarrow addresses buckets by path.
        scheme=parts.scheme,
        region=region,
        tls_ca_file_path=ca_bundle,
        # The default gives up on a silent server after 3 s: too soon to complete a big upload on a busy disk.
        # (pyarrow's documentation says that Linux ignores the request timeout; version 25 heeds it.)
        connect_timeout=10,
        request_timeout=30,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=attempts),
    )


def check_access(location: Location) -> None:
    """List `location` once; that it is empty or not there yet is fine.

    Raises:
        StorageError: see `explain_errors`.
    """
    try:
        with explain_errors(location):
            # A listing, because a HEAD request is answered without a body: no reason, only "denied".
            location.filesystem.get_file_info(fs.FileSelector(location.path))
    except ObjectNotFoundError:
        return


def read_object(location: Location) -> bytes:
    """The whole of a small object.

    Raises:
        ObjectNotFoundError: there is none.
        StorageError: the storage refused it.
    """
    with explain_errors(location), location.filesystem.open_input_stream(location.path) as source:
        return bytes(source.read())


def replace_object(location: Location, content: bytes) -> None:
    """Write a small object whole: whoever reads it, even after a crash, finds the old content or the new.

    Raises:
        StorageError: the storage refused it.
    """
    filesystem = location.filesystem
    with explain_errors(location):
        if location.is_s3:
            # What one call writes is buffered, and sent when the stream is closed.
            with filesystem.open_output_stream(location.path) as sink:
                sink.write(content)
            return
        folder, _, name = location.path.rpartition("/")
        filesystem.create_dir(folder, recursive=True)
        incomplete = f"{folder}/.{name}.{uuid.uuid4().hex}"
        try:
            with filesystem.open_output_stream(incomplete) as sink:
                sink.write(content)
            filesystem.move(incomplete, location.path)
        except BaseException:
            with suppress(OSError):
                filesystem.delete_file(incomplete)
            raise


@contextmanager
def replacing(location: Location, incomplete: Location) -> Iterator[pa.NativeFile]:
    """An open stream; what was written to it becomes the object at `location` as the block ends, or none of it does.

    Leaving an output stream by an exception, or losing it, completes the upload of what was sent so far. So the stream
    goes to another object, which is moved at the end; an S3 server may refuse to move one beyond 5 GB.

    Args:
        location: the object, which stays as it is until the new one is complete.
        incomplete: a place on the same filesystem that nobody else writes to; a killed process may leave it behind.

    Raises:
        StorageError: the storage refused it.
    """
    filesystem = location.filesystem
    with explain_errors(location):
        if not location.is_s3:
            for place in (incomplete, location):
                filesystem.create_dir(place.path.rpartition("/")[0], recursive=True)
        try:
            with filesystem.open_output_stream(incomplete.path) as sink:
                yield sink
            filesystem.move(incomplete.path, location.path)
        except BaseException:
            # The first error is the one to tell; where the storage is gone, the rest can't be cleaned either.
            with suppress(OSError):
                filesystem.delete_file(incomplete.path)
            raise


def read_table(location: Location) -> pa.Table:
    """The whole of a small Parquet object; errors as of `read_object`."""
    return pq.read_table(pa.BufferReader(read_object(location)))


def replace_table(location: Location, table: pa.Table, *, compression: str = "zstd") -> None:
    """Write a small table as Parquet; whole or not at all, as `replace_object`."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression)
    replace_object(location, sink.getvalue().to_pybytes())


def delete_object(location: Location) -> None:
    """Delete an object; it is no error if there is none."""
    with suppress(ObjectNotFoundError), explain_errors(location):
        location.filesystem.delete_file(location.path)


@contextmanager
def explain_errors(location: Location) -> Iterator[None]:
    """Turn pyarrow's OSError inside the block into one sentence about `location`.

    Raises:
        ObjectNotFoundError: nothing is there.
        StorageAwayError: the server doesn't answer.
        StorageError: anything else that failed, a missing bucket included.
    """
    try:
        yield
    except FileNotFoundError as error:
        # A missing bucket and a missing key are the same error when an object is opened.
        with explain_errors(location):
            if location.is_s3 and location.filesystem.get_file_info(location.bucket).type == fs.FileType.NotFound:
                raise StorageError(_no_bucket(location)) from error
        raise ObjectNotFoundError(f"{location} doesn't exist") from error
    except OSError as error:
        message = str(error)
        if location.is_s3 and "NETWORK_CONNECTION" in message and not _NO_TLS.search(message):
            server = location.endpoint or "AWS"
            raise StorageAwayError(
                f"{location}: {server} can't be reached; check AWS_ENDPOINT_URL and that it is up ({message})"
            ) from error
        raise StorageError(_explanation(location, message)) from error


_NO_TLS = re.compile(r"curlCode: (35|58|59|60|66|77|80|83|91)\b")


def _no_bucket(location: Location) -> str:
    return f"{location}: the bucket '{location.bucket}' doesn't exist there; create it, or correct its name"


def _explanation(location: Location, message: str) -> str:
    """One sentence about an OSError of pyarrow; it tells errors apart by the AWS SDK's names in the text."""
    if not location.is_s3:
        return f"{location}: {message}"
    if "NO_SUCH_BUCKET" in message or re.search(r"Bucket '.*' not found", message):
        return _no_bucket(location)
    if re.search(r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|HTTP status 40[13]", message):
        return (
            f"{location}: access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may use "
            f"the bucket '{location.bucket}' ({message})"
        )
    if _NO_TLS.search(message):
        return (
            f"{location}: no trusted TLS connection; check that the server speaks https, and that AWS_CA_BUNDLE names "
            f"the certificate of its authority ({message})"
        )
    if "HTTP status 411" in message:
        return (
            f"{location}: the server doesn't know uploads with trailing checksums, as MinIO before RELEASE.2025-01-20; "
            f"set AWS_REQUEST_CHECKSUM_CALCULATION=when_required ({message})"
        )
    return f"{location}: {message}"
