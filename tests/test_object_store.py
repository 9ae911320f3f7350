import os
import pickle
from pathlib import Path

import pytest
from pyarrow import fs

from fraud_assets.resources.object_store import (
    ObjectNotFoundError,
    ObjectStore,
    StorageError,
    explain_errors,
    locate,
    s3_endpoint,
)


@pytest.fixture(autouse=True)
def _no_storage_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "FRAUD_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_without_a_name_the_storage_is_a_folder_of_the_working_directory(tmp_path: Path) -> None:
    store = ObjectStore()
    assert store.is_default
    assert store.root.path == str(tmp_path / ".fraud_assets")
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore()
    monkeypatch.setenv("FRAUD_STORAGE_URI", str(tmp_path / "named"))
    assert not store.is_default
    assert store.root.path == str(tmp_path / "named")


def test_the_config_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_STORAGE_URI", str(tmp_path / "environment"))
    assert ObjectStore(uri=str(tmp_path / "config")).root.path == str(tmp_path / "config")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_STORAGE_URI", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    assert ObjectStore().is_default
    assert s3_endpoint() is None


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("s3://bucket", "bucket"),
        ("s3://bucket/", "bucket"),
        ("S3://bucket/a/b/", "bucket/a/b"),
        ("s3://bucket/a b+c%20d=é@1:2", "bucket/a b+c%20d=é@1:2"),
        ("file:///data/a%20b", "/data/a b"),
        ("file:/data", "/data"),
        ("/data/../other", "/other"),
        ("/data/a%20b", "/data/a%20b"),
    ],
)
def test_a_uri_is_read_as_its_scheme_means_it(uri: str, path: str) -> None:
    location = locate(uri)
    assert location.path == path
    assert locate(location.uri).path == path


def test_a_relative_path_is_made_absolute_because_ray_workers_run_elsewhere(tmp_path: Path) -> None:
    assert locate("some/folder").path == str(tmp_path / "some/folder")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("gs://bucket/prefix", "gs:// is no known storage"),
        ("s3a://bucket/prefix", "s3a:// is no known storage"),
        ("http://user:hidden@host/bucket", "http:// is no known storage"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3:/bucket/prefix", "names no bucket"),
        ("s3://key:hidden@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("s3://key:hid/den@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("s3:///key:hidden@bucket", "names no bucket"),
        ("s3://bucket/prefix?access_key=hidden", "AWS_SECRET_ACCESS_KEY"),
        ("s3://localhost:9000/bucket", "AWS_ENDPOINT_URL"),
        ("s3://bucket/a//b", "empty part"),
        ("s3://bucket/../other", "'..'"),
        ("file://host/folder", "file:///folder"),
        ("file://folder", "file:///folder"),
        (" ", "is empty"),
    ],
)
def test_a_uri_that_cannot_work_is_refused_without_repeating_its_secret(uri: str, expected: str) -> None:
    with pytest.raises(StorageError, match=expected.replace(".", r"\.")) as caught:
        locate(uri)
    assert "hid" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_endpoint_for_s3_goes_before_the_endpoint_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://general:9000")
    assert s3_endpoint() == "http://general:9000"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://storage:9000/")
    assert s3_endpoint() == "https://storage:9000"


@pytest.mark.parametrize(
    "value", ["localhost:9000", "localhost", "http://host/path", "http://key:hidden@host", "ftp://h"]
)
def test_an_endpoint_that_pyarrow_would_misread_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", value)
    with pytest.raises(
        StorageError, match="AWS_ENDPOINT_URL has to be http://host:port or https://host:port"
    ) as caught:
        locate("s3://bucket")
    assert "hidden" not in str(caught.value)


def test_a_missing_ca_bundle_is_told_before_the_connection_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://storage:9000")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(StorageError, match=r"AWS_CA_BUNDLE names no file: /nowhere/ca\.pem"):
        locate("s3://bucket")


def test_the_pickled_filesystem_carries_the_server_but_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray Tune writes the pickle into its experiment state.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage:9000")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY-OF-SOMEONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET-OF-SOMEONE")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "TOKEN-OF-SOMEONE")
    store = ObjectStore(uri="s3://bucket/prefix")
    pickled = pickle.dumps(store.root)
    assert b"storage:9000" in pickled
    assert b"eu-central-1" in pickled
    assert b"OF-SOMEONE" not in pickled
    assert "OF-SOMEONE" not in store.model_dump_json()


def test_a_child_has_the_path_and_the_uri_below_its_parent(tmp_path: Path) -> None:
    child = ObjectStore(uri=str(tmp_path)).child("assets", "a b.json")
    assert child.path == f"{tmp_path}/assets/a b.json"
    assert child.uri == f"file://{tmp_path}/assets/a%20b.json"
    assert locate("s3://bucket").child("a", "b").uri == "s3://bucket/a/b"
    assert locate("/").child("a").path == "/a"


def test_a_folder_that_is_not_there_yet_is_accessible(tmp_path: Path) -> None:
    ObjectStore(uri=str(tmp_path / "new")).check_access()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"file://{tmp_path}/file"):
        ObjectStore(uri=str(tmp_path / "file")).check_access()


def test_a_missing_file_is_told_by_its_uri(tmp_path: Path) -> None:
    location = locate(str(tmp_path / "missing"))
    with pytest.raises(ObjectNotFoundError, match=f"file://{tmp_path}/missing doesn't exist"), explain_errors(location):
        location.filesystem.open_input_file(location.path)


def test_other_errors_pass_through_unchanged() -> None:
    with pytest.raises(KeyError), explain_errors(locate("/")):
        raise KeyError("a bug, not a storage")


def test_a_server_too_old_for_trailing_checksums_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage:9000")
    error = "When uploading part for key 'k' in bucket 'b': AWS Error UNKNOWN (HTTP status 411) during UploadPart"
    with (
        pytest.raises(StorageError, match="set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
        explain_errors(locate("s3://b/k")),
    ):
        raise OSError(error)


def test_nothing_is_contacted_until_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert isinstance(ObjectStore(uri="s3://bucket").root.filesystem, fs.S3FileSystem)
