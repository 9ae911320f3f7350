"""What is resampled once for all trials, on real Ray."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fraud_assets.ml.resample import Resampled, Resampler
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData
from tests.ml.tables import dataset_of, split_by_group, transactions

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("local_ray")]

SMOTE, UNDER = Resampler("smote"), Resampler("random_under")
Ask = Callable[[int, Resampler], Resampled]


@pytest.fixture(scope="module")
def study() -> StudyData:
    dataset = dataset_of(transactions())
    return StudyData.prepare(dataset, split_by_group(dataset, SplitSettings(folds=2)), seed=1)


def actor_and_ask(study: StudyData, memory_bytes: float) -> tuple[Any, Ask]:
    import ray

    from fraud_assets.resources.shared_work import SharedWork

    actor = ray.remote(SharedWork).options(num_cpus=0, max_concurrency=8).remote(study, memory_bytes, 0)

    def ask(fold: int, resampler: Resampler) -> Resampled:
        value: Resampled = ray.get(ray.get(actor.resampled.remote(fold, resampler))[0])
        return value

    return actor, ask


def assert_equal(ours: Resampled, theirs: Resampled) -> None:
    for name in ("kept", "made_up", "made_up_labels"):
        # Missing values are equal to each other here.
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)


def test_a_fold_is_resampled_once_for_all_who_ask(study: StudyData) -> None:
    import ray

    actor, ask = actor_and_ask(study, 1e9)
    questions = [actor.resampled.remote(0, SMOTE) for _ in range(6)]
    assert len({reference for (reference,) in ray.get(questions)}) == 1
    assert_equal(ask(0, SMOTE), study.resample(0, SMOTE, 1))
    assert ask(1, SMOTE).kept.shape == study.folds[1][0].shape
    assert ray.get(actor.kept.remote()) == [(0, SMOTE), (1, SMOTE)]


def test_what_passes_the_bound_goes_oldest_first_and_is_resampled_again_alike(study: StudyData) -> None:
    import ray

    values = [study.resample(fold, SMOTE, 1) for fold in range(2)]
    sizes = [v.kept.nbytes + v.made_up.nbytes + v.made_up_labels.nbytes for v in values]
    actor, ask = actor_and_ask(study, max(sizes) + 1)
    for _ in range(2):
        for fold in range(2):
            assert_equal(ask(fold, SMOTE), values[fold])
            assert ray.get(actor.kept.remote()) == [(fold, SMOTE)]
    assert_equal(ask(0, SMOTE), values[0])


def test_resampling_that_fails_tells_every_trial_why_and_spoils_no_other(study: StudyData) -> None:
    _, ask = actor_and_ask(study, 1)
    for _ in range(2):
        with pytest.raises((DataError, ValueError), match="resampler 'no_such' is unknown"):
            ask(0, Resampler("no_such"))
    assert_equal(ask(0, UNDER), study.resample(0, UNDER, 1))


def test_resampling_has_all_cores_of_its_machine() -> None:
    import ray

    def threads() -> tuple[int, set[int]]:
        from threadpoolctl import threadpool_info

        from fraud_assets.resources.shared_work import all_cores

        with all_cores() as cores:
            return cores, {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}

    assert ray.get(ray.remote(num_cpus=0)(threads).remote()) == (2, {2})
