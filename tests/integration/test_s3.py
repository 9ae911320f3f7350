"""The object store and the IO managers on real S3 servers."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fraud_assets.io_manager import JsonIOManager, ParquetIOManager
from fraud_assets.resources.object_store import ObjectNotFoundError, ObjectStore, StorageError, locate
from tests.conftest import UseS3
from tests.servers import S3Server, free_ports
from tests.stored_values import FailingParquet, load, names, store, table

pytestmark = pytest.mark.integration

# More than one part of a multipart upload, so that a half of it is with the server before the writer ends.
BIG = 3_000_000


@pytest.fixture
def s3_store(s3_server: S3Server, use_s3: UseS3) -> ObjectStore:
    use_s3(s3_server)
    return ObjectStore(uri=f"s3://{s3_server.make_bucket()}/a prefix")


@pytest.fixture
def tls_store(s3_tls_server: S3Server, use_s3: UseS3) -> ObjectStore:
    use_s3(s3_tls_server)
    return ObjectStore(uri=f"s3://{s3_tls_server.make_bucket()}/prefix")


def test_a_table_of_many_parts_comes_back(s3_store: ObjectStore, s3_server: S3Server) -> None:
    manager = ParquetIOManager(store=s3_store)
    value = table(BIG).replace_schema_metadata({b"fraud_assets": b"{}"})
    metadata = store(manager, ["raw_dataset"], value)
    assert load(manager, ["raw_dataset"]).schema.metadata == {b"fraud_assets": b"{}"}
    assert load(manager, ["raw_dataset"]).equals(value)
    bucket, key = s3_store.child("assets", "raw_dataset.parquet").path.split("/", 1)
    size = s3_server.client().head_object(Bucket=bucket, Key=key)["ContentLength"]
    assert metadata["size (bytes)"].value == size > 5 * 2**20


def test_a_value_is_replaced_and_leaves_nothing_behind(s3_store: ObjectStore) -> None:
    manager = JsonIOManager(store=s3_store)
    store(manager, ["best_params"], {"eta": 0.1})
    store(manager, ["best_params"], {"eta": 0.2})
    assert load(manager, ["best_params"]) == {"eta": 0.2}
    assert names(s3_store) == ["assets/best_params.json"]


@pytest.mark.parametrize("odd", ["a/b", "2026-01-01T00:00", "é +%20#?&=", "..", ".hidden", "k=v|w", "~'\"*"])
def test_any_key_has_an_object_of_its_own(s3_store: ObjectStore, odd: str) -> None:
    manager = JsonIOManager(store=s3_store)
    store(manager, ["values", odd], {"key": odd})
    store(manager, ["values", "plain"], {"key": "plain"})
    assert load(manager, ["values", odd]) == {"key": odd}
    assert len(names(s3_store)) == 2


@pytest.mark.parametrize("prefix", ["", "/deep/er", "/é +%20#&="])
def test_any_prefix_of_a_bucket_can_be_the_storage(s3_server: S3Server, use_s3: UseS3, prefix: str) -> None:
    use_s3(s3_server)
    storage = ObjectStore(uri=f"s3://{s3_server.make_bucket()}{prefix}")
    storage.check_access()
    manager = JsonIOManager(store=storage)
    store(manager, ["value"], {"a": 1})
    assert load(manager, ["value"]) == {"a": 1}


def test_a_value_that_was_never_made_is_told_by_asset_and_uri(s3_store: ObjectStore) -> None:
    expected = rf"asset best_params has no value: {s3_store.root.uri}/assets/best_params\.json .*; materialize it first"
    with pytest.raises(ObjectNotFoundError, match=expected):
        load(JsonIOManager(store=s3_store), ["best_params"])


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_told_by_the_variables_to_check_and_not_by_their_values(
    s3_store: ObjectStore, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv(wrong, "WRONG-AND-HIDDEN")
    manager = JsonIOManager(store=s3_store)
    for use in (
        s3_store.check_access,
        lambda: load(manager, ["value"]),
        lambda: store(manager, ["value"], {"a": 1}),
    ):
        with pytest.raises(StorageError, match="access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_AC") as caught:
            use()
        message = str(caught.value)
        assert s3_server.endpoint in message
        assert s3_store.root.uri in message
        for hidden in ("WRONG-AND-HIDDEN", s3_server.access_key, s3_server.secret_key):
            assert hidden not in message


def test_a_failed_run_reveals_no_key_in_its_events(
    s3_store: ObjectStore, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "WRONG-AND-HIDDEN")

    @dg.asset(io_manager_key="json")
    def value() -> dict[str, Any]:
        return {"a": 1}

    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"json": JsonIOManager(store=s3_store)}
        result = dg.materialize([value], resources=resources, instance=instance, raise_on_error=False)
        events = "\n".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert not result.success
    assert "check AWS_ACCESS_KEY_ID" in events
    assert "WRONG-AND-HIDDEN" not in events
    assert s3_server.access_key not in events


def test_a_missing_bucket_is_told_and_not_made(s3_server: S3Server, use_s3: UseS3) -> None:
    use_s3(s3_server)
    storage = ObjectStore(uri="s3://no-such-bucket/prefix")
    manager = JsonIOManager(store=storage)
    for use in (storage.check_access, lambda: load(manager, ["value"]), lambda: store(manager, ["value"], {"a": 1})):
        with pytest.raises(StorageError, match="the bucket 'no-such-bucket' doesn't exist there") as caught:
            use()
        assert s3_server.endpoint in str(caught.value)
    assert "no-such-bucket" not in [bucket["Name"] for bucket in s3_server.client().list_buckets()["Buckets"]]


def test_a_server_that_is_down_is_told_by_its_address(
    seaweedfs: S3Server, use_s3: UseS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(seaweedfs)
    with free_ports(1) as (port,):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(StorageError, match=f"http://127.0.0.1:{port} can't be reached; check AWS_ENDPOINT_URL"):
            ObjectStore(uri="s3://bucket/prefix").check_access()


def test_a_writer_that_fails_half_way_leaves_the_old_value_and_nothing_else(s3_store: ObjectStore) -> None:
    store(ParquetIOManager(store=s3_store), ["raw_dataset"], table(10))
    with pytest.raises(RuntimeError, match="the writer broke"):
        store(FailingParquet(store=s3_store), ["raw_dataset"], table(BIG, seed=1))
    assert load(ParquetIOManager(store=s3_store), ["raw_dataset"]).equals(table(10))
    assert names(s3_store) == ["assets/raw_dataset.parquet"]


def test_a_writer_that_is_killed_half_way_leaves_the_old_value(s3_store: ObjectStore) -> None:
    store(ParquetIOManager(store=s3_store), ["raw_dataset"], table(10))
    script = f"""
from tests.stored_values import *
store(KilledParquet(store=ObjectStore(uri={s3_store.uri!r})), ["raw_dataset"], table({BIG}, seed=1))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert load(ParquetIOManager(store=s3_store), ["raw_dataset"]).equals(table(10))
    store(ParquetIOManager(store=s3_store), ["raw_dataset"], table(20))
    assert load(ParquetIOManager(store=s3_store), ["raw_dataset"]).equals(table(20))


def test_a_pickled_location_works_in_another_process_that_has_the_keys(s3_store: ObjectStore, tmp_path: Path) -> None:
    store(JsonIOManager(store=s3_store), ["value"], {"a": 1})
    (tmp_path / "location").write_bytes(pickle.dumps(s3_store.child("assets", "value.json")))
    script = f"""
import pickle
location = pickle.load(open({str(tmp_path / "location")!r}, "rb"))
print(location.filesystem.open_input_file(location.path).read().decode())
"""
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert '"a": 1' in output


def test_the_data_set_is_found_by_the_same_function(s3_server: S3Server, use_s3: UseS3) -> None:
    use_s3(s3_server)
    bucket = s3_server.make_bucket()
    s3_server.client().put_object(Bucket=bucket, Key="raw/2026-01-01 é.csv", Body=b"a\n1\n")
    location = locate(f"s3://{bucket}/raw").child("2026-01-01 é.csv")
    assert location.filesystem.open_input_file(location.path).read() == b"a\n1\n"


def test_https_works_with_the_authority_that_the_environment_names(tls_store: ObjectStore) -> None:
    tls_store.check_access()
    manager = ParquetIOManager(store=tls_store)
    store(manager, ["raw_dataset"], table(1000))
    assert load(manager, ["raw_dataset"]).equals(table(1000))


def test_https_with_an_unknown_authority_is_refused(tls_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(StorageError, match=r"no trusted TLS connection; .* AWS_CA_BUNDLE names the certificate"):
        tls_store.check_access()


def test_https_to_a_server_of_plain_http_is_told(
    seaweedfs: S3Server, use_s3: UseS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(seaweedfs)
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs.endpoint.replace("http:", "https:"))
    with pytest.raises(StorageError, match="no trusted TLS connection; check that the server speaks https"):
        ObjectStore(uri="s3://bucket").check_access()
