"""Trials that are fitted by several workers on two machines: what they say is what one process says."""

import io
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import ray
from mlflow.entities import Run

from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.split import Split, SplitSettings, make_split
from fraud_assets.ml.study import StudyData, run_trial
from fraud_assets.resources.feature_blocks import encode, unpacked
from fraud_assets.resources.object_store import locate
from fraud_assets.resources.stored_features import StoredFeatures
from tests.integration.graph import ASSETS, Finished, Workplace, statuses, the_study, workplace
from tests.integration.transactions import ROLES, transactions
from tests.ml.tables import dataset_of
from tests.servers import S3Server, free_ports

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

# XGBoost's defaults, and the search's own start.
TRIALS = 2
SEED = 1025
# As few CPUs as one trial needs: a trial that held one itself would wait for ever.
MACHINES = 2
CONFIG: dict[str, Any] = {
    "raw_dataset": ROLES,
    "dataset_split": {"folds": 2},
    "tuning_results": {
        "trials": TRIALS,
        "seed": SEED,
        "workers_per_trial": MACHINES,
        "search_space": "fraud_distributed",
        "max_concurrent": 4,
    },
    "execution": {"config": {"in_process": {}}},
}


def few_values(rows: int = 4000) -> pd.DataFrame:
    """With fewer values a column than XGBoost has bins, so that its bins don't depend on where the rows are."""
    frame = transactions(rows)
    return frame.assign(amount=frame["amount"].clip(upper=200).round())


@dataclass(frozen=True)
class Tuned:
    """A tuning on a cluster of two machines with one CPU each, whose storage is an S3 bucket.

    Attributes:
        place: where the command was given.
        home: where the cluster was started.
        address: of the cluster.
    """

    place: Workplace
    home: Workplace
    address: str
    finished: Finished
    server: S3Server
    bucket: str

    @property
    def study(self) -> tuple[Run, list[Run]]:
        return the_study(f"sqlite:///{self.place.folder / '.fraud_assets' / 'mlflow.db'}")

    def objects(self) -> dict[str, bytes]:
        client = self.server.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def table(self, asset: str) -> Any:
        return pq.read_table(io.BytesIO(self.objects()[f"graph/assets/{asset}.parquet"]))


@pytest.fixture(scope="module")
def tuned(seaweedfs: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuned]:
    folder, bucket = tmp_path_factory.mktemp("two-machines"), seaweedfs.make_bucket()
    raw = folder / "raw.parquet"
    few_values().to_parquet(raw, index=False)
    seaweedfs.client().upload_file(str(raw), bucket, "raw/transactions.parquet")
    with free_ports(1) as (port,):
        address = f"127.0.0.1:{port}"
    # Every machine of the cluster has the keys in its environment, as README asks for.
    common = {
        **seaweedfs.environment,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        "RAY_AUTH_MODE": "disabled",
        # Otherwise a machine that is told to stop waits half a minute for Ray Data's own actors, which don't.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    }
    storage = {"FRAUD_DATASET_URI": f"s3://{bucket}/raw", "FRAUD_STORAGE_URI": f"s3://{bucket}/graph"}
    with (
        workplace(folder / "cluster", **common) as home,
        workplace(folder / "driver", **common, **storage, RAY_ADDRESS=address) as place,
    ):
        machines: list[subprocess.Popen[str]] = []
        start = ["ray", "start", "--block", "--num-cpus=1", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        of_head = [f"--port={port}", "--include-dashboard=false", f"--temp-dir={home.ray_folder}"]
        try:
            for number, options in enumerate((["--head", *of_head], [f"--address={address}"]), 1):
                machines.append(home.start(*start, *options))
                _await_machines(home, address, number)
            finished = place.materialize(",".join(ASSETS[:4]), CONFIG)
            yield Tuned(place, home, address, finished, seaweedfs, bucket)
        finally:
            for machine in machines:
                machine.terminate()
            for machine in machines:
                machine.wait(60)


def _await_machines(home: Workplace, address: str, number: int) -> None:
    deadline = time.monotonic() + 60
    while f"/{number}.0 CPU" not in home.run("ray", "status", "--address", address).log:
        assert time.monotonic() < deadline, f"machine {number} doesn't join"


def test_every_trial_is_fitted_on_both_machines(tuned: Tuned) -> None:
    assert tuned.finished.code == 0, tuned.finished.log
    parent, children = tuned.study
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS
    assert [child.data.metrics["machines"] for child in children] == [MACHINES] * TRIALS


def test_nothing_of_a_trial_stays_on_the_cluster(tuned: Tuned) -> None:
    status = tuned.home.run("ray", "status", "--address", tuned.address)
    assert [command for command in tuned.home.processes() if re.match("ray::.*(Train|Trial|Cleaner)", command)] == []
    assert re.search(r"0\.0/2\.0 CPU", status.log), status.log


def test_trials_say_what_one_process_says(tuned: Tuned) -> None:
    dataset = Dataset.from_arrow(tuned.table("raw_dataset"))
    study = StudyData.prepare(dataset, Split.from_arrow(tuned.table("dataset_split"), dataset), SEED)
    grid, objects = tuned.table("tuning_results").to_pandas(), tuned.objects()
    assert list(grid["status"]) == ["finished"] * TRIALS
    for _, trial in grid.iterrows():
        params = json.loads(trial["params"])
        report, unseen = run_trial(params, Matrices(study, lambda f, r: study.resample(f, r, 1), 1))
        (key,) = [k for k in objects if k.endswith("out_of_fold.npy") and f"/{trial['trial_id']}/" in k]
        alone, spread = np.concatenate(unseen.predictions), np.load(io.BytesIO(objects[key]))
        # Each worker draws a subsample of its own.
        same = params["subsample"] == 1
        assert trial["average_precision"] == pytest.approx(report["average_precision"], abs=1e-3 if same else 0.05)
        assert np.corrcoef(alone, spread)[0, 1] > (0.9999 if same else 0.95)
        if same:
            assert trial["rounds"] == report["rounds"]
    assert any(json.loads(params)["subsample"] == 1 for params in grid["params"])


def test_the_keys_are_found_nowhere(tuned: Tuned) -> None:
    folders = [tuned.place.folder.parent.parent, tuned.place.ray_folder, tuned.home.ray_folder]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    places = {"log": tuned.finished.log.encode(), **tuned.objects()}
    places |= {str(file): file.read_bytes() for file in files}
    assert any(name.endswith("tuner.pkl") for name in places)
    assert any("session_" in name for name in places), "Ray's logs are not where they are looked for"
    for key in (tuned.server.access_key.encode(), tuned.server.secret_key.encode()):
        assert [name for name, content in places.items() if key in content or key.hex().encode() in content] == []


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("rows_per_group", [150, 100_000])
def test_spread_features_are_those_of_one_process(tmp_path: Path, rows_per_group: int) -> None:
    dataset = dataset_of(transactions(1000).astype({"is_fraud": int}), entity="customer", time="at")
    split = make_split(dataset, SplitSettings(folds=2, strategy="stratified"))
    pq.write_table(dataset.to_arrow(), tmp_path / "raw.parquet", row_group_size=rows_per_group)
    roles = dataset.roles
    place = locate(str(tmp_path / "raw.parquet"))
    blocks = encode(StoredFeatures(place, split.tuning, roles.features, roles.categorical), least=5)
    study = StudyData.prepare(dataset, split, SEED)
    assert blocks.encoder == study.encoder
    assert len(blocks.blocks) >= 5
    parts = [unpacked(ray.get(reference)) for reference in blocks.blocks]
    np.testing.assert_array_equal(np.concatenate([positions for positions, _ in parts]), np.arange(len(study.y)))
    np.testing.assert_array_equal(np.concatenate([X for _, X in parts]), study.X)
