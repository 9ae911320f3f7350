"""`make soak`: some weeks in fast motion, with the daemon and nobody at a keyboard; prints a row a day and what failed.

A generator drops a day of transactions every few seconds into a bucket, and in the middle the pattern of fraud changes.
The sensor retunes; each new model is promoted or refused. Exit code 1 where something did not hold.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import yaml

from tests.integration.dev_server import dagster_dev
from tests.integration.graph import workplace
from tests.servers import seaweedfs
from tests.soak.record import Record
from tests.soak.world import World, put_day

# Small enough for a retune within a minute on two cores; by time, as the data is.
CONFIG = {
    "ops": {
        "dataset_split": {"config": {"folds": 1, "test_days": 3, "delay_days": 0, "holdout_fraction": 0.08}},
        "tuning_results": {"config": {"trials": 6, "members": 2}},
        "fraud_model": {"config": {"resamples": 500}},
    }
}


def main() -> int:
    """Exit code 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--history", type=int, default=30, help="days that are there at first")
    parser.add_argument("--days", type=int, default=18, help="days that are delivered")
    parser.add_argument("--change", type=int, default=7, help="delivery from which on the pattern of fraud is another")
    parser.add_argument("--every", type=float, default=20, help="seconds between two deliveries")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    options = parser.parse_args()
    world = World(options.history, options.days, options.change, options.seed)
    frame = world.frame()
    with ExitStack() as stack:
        server = stack.enter_context(seaweedfs(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        client, bucket = server.client(), server.make_bucket()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        (folder / "retune.yaml").write_text(yaml.safe_dump(CONFIG))
        settings = {
            "FRAUD_DATASET_URI": f"s3://{bucket}/raw",
            "FRAUD_STORAGE_URI": f"s3://{bucket}/graph",
            "FRAUD_LABEL": "tx_fraud",
            "FRAUD_ENTITY": "customer_id",
            "FRAUD_TIME": "tx_datetime",
            "FRAUD_EXCLUDE": "transaction_id,terminal_id",
            "FRAUD_AUTOMATION": "sensor",
            "FRAUD_SENSOR_INTERVAL": "2",
            "FRAUD_SETTLE_SECONDS": "3",
            "FRAUD_MIN_INTERVAL": "0",
            "FRAUD_RUN_CONFIG": str(folder / "retune.yaml"),
        }
        place = stack.enter_context(workplace(folder, **server.environment, **settings))
        for _, day in frame[frame["day"] < world.history].groupby("day"):
            put_day(client, bucket, day)
        with dagster_dev(place) as dev:
            record = Record(dev)
            record.until_idle(within_s=600)
            for number, (_, day) in enumerate(frame[frame["day"] >= world.history].groupby("day"), start=1):
                record.delivered(number, put_day(client, bucket, day), changed=number >= world.change)
                time.sleep(options.every)
            record.until_idle(within_s=900)
        violations = record.violations(world)
    lines = [*record.table(world), *(f"VIOLATION: {line}" for line in violations), f"{len(violations)} violations"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
