"""The sensor on real S3 servers: what uploads, bursts, wrong keys and a server that is away look like to it."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from fraud_assets.resources.new_data_policy import NewDataPolicy
from fraud_assets.resources.object_store import StorageError
from tests.conftest import UseS3
from tests.sensor_daemon import Daemon
from tests.servers import S3Server

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Bucket:
    """Where somebody else writes, by boto3."""

    client: Any
    name: str

    def write(self, name: str, *labels: int) -> bytes:
        """A Parquet object with these labels; returns its bytes."""
        sink = io.BytesIO()
        pd.DataFrame({"label": labels, "amount": range(len(labels))}).to_parquet(sink)
        self.put(name, sink.getvalue())
        return sink.getvalue()

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"raw/{name}", Body=content)


@pytest.fixture
def bucket(s3_server: S3Server, use_s3: UseS3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    use_s3(s3_server)
    name = s3_server.make_bucket()
    monkeypatch.setenv("FRAUD_DATASET_URI", f"s3://{name}/raw")
    monkeypatch.setenv("FRAUD_STORAGE_URI", f"s3://{name}/graph")
    monkeypatch.setenv("FRAUD_LABEL", "label")
    return Bucket(s3_server.client(), name)


@pytest.fixture
def daemon(bucket: Bucket) -> Iterator[Daemon]:
    bucket.write("2026-01-01.parquet", 0, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        ours = Daemon(instance)
        assert ours.tick() is None
        yield ours


def last(daemon: Daemon) -> dict[str, str]:
    return {name: value for name, value in daemon.asked[-1].tags.items() if name.startswith("new_")}


def test_half_an_upload_is_nothing_new_and_its_end_is(bucket: Bucket, daemon: Daemon) -> None:
    content = bucket.write("whole.parquet", *[0] * 100)
    daemon.tick()
    key = {"Bucket": bucket.name, "Key": "raw/2026-01-02.parquet"}
    upload = bucket.client.create_multipart_upload(**key)["UploadId"]
    part = bucket.client.upload_part(**key, UploadId=upload, PartNumber=1, Body=content)
    assert "nothing new among the 2 objects" in str(daemon.tick())
    bucket.client.complete_multipart_upload(
        **key, UploadId=upload, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    )
    assert daemon.tick() is None
    assert last(daemon) == {"new_objects": "2026-01-02.parquet", "new_rows": "100", "new_frauds": "0"}


def test_a_burst_of_500_objects_makes_one_run(bucket: Bucket, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1e9]
    monkeypatch.setattr("fraud_assets.object_watch.time.time", lambda: now[0])
    daemon.policy = NewDataPolicy(settle_seconds=60, min_interval=0)
    for i in range(500):
        bucket.write(f"burst/{i:03}.parquet", 0, 0, 1)
        if i % 100 == 0:
            now[0] += 30
            assert "waits until nothing was written for 60 s" in str(daemon.tick())
    reasons = []
    for _ in range(6):
        now[0] += 30
        reasons.append(daemon.tick())
    assert len(daemon.asked) == 2, reasons
    few = "burst/000.parquet, burst/001.parquet, burst/002.parquet and 497 more"
    assert last(daemon) == {"new_objects": few, "new_rows": "1500", "new_frauds": "500"}


def test_the_same_bytes_again_are_nothing_new_and_others_are(bucket: Bucket, daemon: Daemon) -> None:
    bucket.write("2026-01-01.parquet", 0, 1)
    assert "nothing new" in str(daemon.tick())
    bucket.write("2026-01-01.parquet", 0, 0, 1)
    assert daemon.tick() is None
    assert daemon.asked[-1].tags["changed_objects"] == "2026-01-01.parquet"


def test_a_deleted_object_is_told(bucket: Bucket, daemon: Daemon) -> None:
    bucket.write("2026-01-02.parquet", 1)
    daemon.tick()
    bucket.client.delete_object(Bucket=bucket.name, Key="raw/2026-01-01.parquet")
    assert daemon.tick() is None
    assert daemon.asked[-1].tags["deleted_objects"] == "2026-01-01.parquet"


def test_an_object_that_turns_bad_asks_once_for_a_run_that_says_why(bucket: Bucket, daemon: Daemon) -> None:
    bucket.put("2026-01-01.parquet", b"no Parquet")
    assert daemon.tick() is None
    assert "2026-01-01.parquet" in daemon.asked[-1].tags["problem"]
    assert "nothing new" in str(daemon.tick())
    bucket.write("2026-01-01.parquet", 0, 1, 1)
    assert daemon.tick() is None
    assert "problem" not in daemon.asked[-1].tags


def test_a_cursor_that_is_reset_asks_for_nothing_twice(bucket: Bucket, daemon: Daemon) -> None:
    daemon.cursor = None
    assert "nothing new" in str(daemon.tick())
    assert len(daemon.asked) == 1


def test_wrong_keys_fail_the_tick(bucket: Bucket, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.write("2026-01-02.parquet", 1)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError, match="access denied; check AWS_ACCESS_KEY_ID"):
        daemon.tick()


def test_a_missing_bucket_fails_the_tick(bucket: Bucket, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_DATASET_URI", "s3://no-such-bucket/raw")
    with pytest.raises(StorageError, match="the bucket 'no-such-bucket' doesn't exist"):
        daemon.tick()
