"""`make stack`: the services of deploy/compose as processes of this machine, until Ctrl-C; all data goes with them.

FRAUD_* variables of the shell go before those of deploy/compose/settings.env. Where FRAUD_DATASET_URI is none of them,
generated transactions are put where the settings expect some.
"""

import os
import signal
import sys
import threading

import pyarrow.fs

from fraud_assets.ml.sample_data import generate, write_daily_objects
from tests.stack.compose import settings
from tests.stack.stack import Stack, stack


def main() -> int:
    """Exit code 1 where a service isn't healthy in time, or ended by itself."""
    over = threading.Event()
    # While services start, either signal ends that.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = {name: value for name, value in os.environ.items() if name.startswith("FRAUD_")}
    try:
        with stack(given, published=True) as running:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: over.set())
            if "FRAUD_DATASET_URI" not in given:
                _put_transactions(running)
            _tell(running)
            while not over.wait(1):
                if ended := running.ended():
                    print(f"{', '.join(ended)} ended; the logs are in {running.folder}", file=sys.stderr)
                    return 1
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _put_transactions(running: Stack) -> None:
    keys = running.s3
    s3 = pyarrow.fs.S3FileSystem(
        access_key=keys.access_key, secret_key=keys.secret_key, endpoint_override=keys.endpoint, region="us-east-1"
    )
    write_daily_objects(generate(), s3, settings()["FRAUD_DATASET_URI"].removeprefix("s3://"))


def _tell(running: Stack) -> None:
    secrets = running.folder / "env"
    secrets.touch(mode=0o600)
    secrets.write_text("".join(f"export {name}='{value}'\n" for name, value in running.secrets.items()))
    print(f"Dagster  {running.url('dagster-webserver', 3000)}  (Materialize all)")
    print(f"MLflow   {running.url('mlflow', 5000)}")
    print(f"Ray      {running.url('ray-head', 8265)}")
    print(f"S3       {running.url('s3', 8333)}")
    print(f"keys     {secrets}  (the Ray dashboard asks for RAY_AUTH_TOKEN)")
    print(f"logs     {running.folder}")
    if running.database is None:
        print("PostgreSQL is not installed: Dagster and MLflow are on SQLite here.")
    print("Ctrl-C ends it, and its data.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
