# make materialize   the whole graph on generated data, then where to look
# make dev           the Dagster UI, and MLflow's beside it
# make stack         the services of deploy/compose as plain processes, with generated data, until Ctrl-C
# make test          lint, types, fast and integration tests: a quarter of an hour
# make test-long     outages one by one, the UI in a browser, the whole stack, each example: as long again
# make bench         what speed and search are worth, each figure against another side: three quarters of an hour
# make bench-handbook  the Fraud Detection Handbook's protocol, five seeds: half an hour or more
# make bench-growth  what a row costs from 50,000 to 1,750,000 rows, in seconds and memory: a quarter of an hour
# make faults        searches that are broken at random moments, 200 times: two hours
# make soak       two weeks of deliveries in fast motion, with the daemon and nobody at a keyboard: ten minutes
# make honesty       holdout intervals against fresh data, twenty repetitions
# make lock          resolve the dependencies anew

PYTHON ?= python3
BIN := .venv/bin
HOME_FOLDER := $(CURDIR)/.fraud_assets

# Dagster keeps its history here; MLflow's database and the object store of the embedded default are its neighbours.
export DAGSTER_HOME ?= $(HOME_FOLDER)/dagster_home

INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: materialize dev test lint types test-fast test-integration test-long bench bench-handbook bench-growth faults soak stack honesty lock clean

.venv/runtime: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.11"'
	$(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

.venv/development: .venv/runtime requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	touch $@

.venv/bench: .venv/development requirements-bench.lock
	$(INSTALL) --require-hashes -r requirements-bench.lock
	touch $@

$(DAGSTER_HOME)/dagster.yaml: deploy/dagster.yaml
	mkdir -p $(@D)
	cp $< $@

materialize: .venv/runtime $(DAGSTER_HOME)/dagster.yaml
	$(BIN)/dagster asset materialize --select '*' -m fraud_assets.definitions
	@$(BIN)/python -m fraud_assets.summary

# What is not shown: dagster advises another command of its own, and mlflow uses a part of starlette that will go.
dev: .venv/runtime $(DAGSTER_HOME)/dagster.yaml
	@echo "Dagster: http://127.0.0.1:3000   MLflow: http://127.0.0.1:5000"
	@trap 'kill 0' EXIT; \
	PYTHONWARNINGS="ignore:starlette.middleware.wsgi is deprecated" \
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow server --workers 1 --port 5000 \
		--backend-store-uri sqlite:///$(HOME_FOLDER)/mlflow.db & \
	PYTHONWARNINGS='ignore:Function `dev_command` is superseded:FutureWarning' $(BIN)/dagster dev --port 3000

test: lint types test-fast test-integration

lint: .venv/development
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/development
	$(BIN)/mypy

# A worker a core, and a thread a worker: more threads than cores wait for each other.
test-fast: .venv/development
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto -m "not integration"

# Most of their time is waiting for processes that start; a file's servers and Ray are started once.
test-integration: .venv/development
	$(BIN)/pytest -q -n 2 --dist loadfile -m "integration and not cluster and not long"
	$(BIN)/pytest -q -m "cluster and not long"

# What would make `test` longer than a quarter of an hour.
test-long: .venv/development
	$(BIN)/pytest -q -n 2 --dist loadfile -m "long and not cluster"
	$(BIN)/pytest -q -m "long and cluster"

# A part of it: make bench BENCH="-k overhead"; the options are in benchmarks/README.md.
bench: .venv/bench
	$(BIN)/pytest benchmarks -o python_files='bench_*.py' --benchmark-only --benchmark-columns=median,rounds $(BENCH)

bench-handbook: .venv/runtime
	$(BIN)/python benchmarks/handbook.py

bench-growth: .venv/runtime
	$(BIN)/python -m benchmarks.growth

# Fewer of them: make faults FAULTS="--kills 20 --storage folder".
faults: .venv/development
	$(BIN)/python -m tests.faults.run $(FAULTS)

# Others: make soak SOAK="--days 30 --every 5 --seed 1".
soak: .venv/development
	$(BIN)/python -m tests.soak.run $(SOAK)

# PostgreSQL is used where it is installed, SQLite otherwise.
stack: .venv/development
	@$(BIN)/python -m tests.stack.run

honesty: .venv/runtime
	$(BIN)/python benchmarks/honesty.py

# Each lock file agrees with the ones before it on everything that both have. Extras stay in: without them pip takes
# gql[requests] for something that has no pinned version.
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-emit-index-url --no-header \
	--python-version 3.11 pyproject.toml

lock: .venv/runtime
	$(INSTALL) uv
	$(COMPILE) --extra build -o requirements.lock
	$(COMPILE) --extra build --extra image -c requirements.lock -o requirements-image.lock
	$(COMPILE) --extra build --extra dev -c requirements-image.lock -o requirements-dev.lock
	$(COMPILE) --extra build --extra dev --extra bench -c requirements-dev.lock -o requirements-bench.lock

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
