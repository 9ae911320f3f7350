"""Figure 1: the whole process against the script that it replaces, and what both ways of searching find."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.model_selection import train_test_split

from benchmarks.article import run_graph, run_script
from benchmarks.conftest import Recorder, data_file
from benchmarks.searches import best, search
from benchmarks.sides import FIGURES, PROCESS, SAME_SPLIT
from fraud_assets.ml.evaluate import score
from fraud_assets.ml.schema import ColumnRoles, Dataset
from fraud_assets.ml.search_space import SEARCH_SPACES
from fraud_assets.ml.split import TRAIN, Split, SplitSettings
from fraud_assets.ml.study import StudyData, out_of_fold
from tests.ml.studies import matrices_of

SEEDS = range(5)
DATA = "data/article_training_data.csv"
LABEL, IDS = "is_fraud", ("entity_id", "event_timestamp")


@pytest.mark.parametrize("side", [FIGURES[PROCESS].second, FIGURES[PROCESS].first])
def test_whole_process(
    recorder: Recorder, request: pytest.FixtureRequest, trials: int, tmp_path_factory: Any, side: str
) -> None:
    """Both as their users run them: see `article`."""
    data, script = data_file(request, DATA), data_file(request, "article_baseline.py")

    def run() -> None:
        folder = tmp_path_factory.mktemp("process")
        if side == FIGURES[PROCESS].first:
            run_script(script, data, trials or 100, folder)
        else:
            run_graph(data, trials or 100, folder)

    recorder.seconds(PROCESS, side, run)


def test_same_split(recorder: Recorder, request: pytest.FixtureRequest, trials: int, tmp_path_factory: Any) -> None:
    """Five seeds of each search, an equal number of trials, the same fitting and validating rows, the same score.

    The script's side is its own space and pipeline, one trial after the other, so that its sampler knows more than the
    four workers of the script let it know. Its results are those of the script for less: AllKNN, which draws nothing,
    is remembered, and dart without dropout is fitted as the gbtree that it is.
    """
    import joblib

    script = _module(data_file(request, "article_baseline.py"))
    study, parts = script_study(data_file(request, DATA), script.SEED)
    plain = {"resampler": "passthrough", "booster": "gbtree", "max_depth": 9, "random_state": script.SEED}
    same = [fitted_f1(script, plain, parts), study.report(out_of_fold(plain, matrices_of(study)).predictions)["f1"]]
    assert same[0] == pytest.approx(same[1]), f"one configuration without chance in it has two scores: {same}"
    number = trials or 100
    memory = joblib.Memory(tmp_path_factory.mktemp("resampled"), verbose=0)
    ours, theirs = list[float](), list[float]()

    def compare() -> None:
        for seed in SEEDS:
            folder, space = tmp_path_factory.mktemp("search"), SEARCH_SPACES["article"]
            found = search(study, space, folder, metric="f1", trials=number, seed=seed)
            ours.append(best(found.trials, "f1").metrics["f1"])
            theirs.append(best_of_script(script, parts, number, seed, memory))

    recorder.seconds(SAME_SPLIT, "both searches of all seeds", compare)
    for mine, other in zip(ours, theirs, strict=True):
        recorder.add(SAME_SPLIT, FIGURES[SAME_SPLIT].first, mine, "")
        recorder.add(SAME_SPLIT, FIGURES[SAME_SPLIT].second, other, "")
    recorder.note(
        SAME_SPLIT, f"{number} trials a seed; four of five validating rows have a copy among the fitting ones"
    )


def script_study(data: Path, seed: int) -> tuple[StudyData, list[Any]]:
    """The script's own split: 80 % of the rows fit, the others validate, copies of rows stay in.

    Returns:
        The study of it; and the same rows as the script has them: X to fit, X to validate, y to fit, y to validate.
        With other types, or in another order, its resamplers would do something else.
    """
    frame = pd.read_csv(data).drop(columns=list(IDS))
    parts = train_test_split(
        frame.drop(columns=LABEL), frame[LABEL], test_size=0.2, stratify=frame[LABEL], random_state=seed
    )
    features = tuple(name for name in frame.columns if name != LABEL)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    dataset = Dataset(table, ColumnRoles(LABEL, 1, features=features), "article")
    roles = np.full(len(dataset), TRAIN, dtype=object)
    roles[parts[1].index] = "fold_0"
    split = Split.of_parts(roles, SplitSettings(folds=1), "stratified", dataset.version)
    return StudyData.prepare(dataset, split, seed), parts


def best_of_script(script: Any, parts: list[Any], trials: int, seed: int, memory: Any) -> float:
    """The best F1 that the script's space and pipelines reach under Optuna's sampler with its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    searched = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(trials):
        trial = searched.ask()
        config = {**script.suggest(trial), **trial.params}
        if config["booster"] == "dart":
            config["booster"] = "gbtree"
        searched.tell(trial, fitted_f1(script, config, parts, memory if config["resampler"] == "allknn" else None))
    return float(searched.best_value)


def fitted_f1(script: Any, config: dict[str, Any], parts: list[Any], memory: Any = None) -> float:
    """The F1 of the script's pipeline for `config`; `memory` keeps what its resampler made."""
    X_fit, X_validate, y_fit, y_validate = parts
    pipeline = script.build(config).set_params(memory=memory).fit(X_fit, y_fit)
    return score(y_validate.to_numpy(), pipeline.predict_proba(X_validate)[:, 1])["f1"]


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
