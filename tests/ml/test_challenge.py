"""A challenger wins only where it is surely better, on rows that neither of the two has seen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fraud_assets.ml.challenge import CHAMPION, Challenge, Contender, Rule, challenge
from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.seen_rows import SeenRows
from tests.ml.tables import LABEL, dataset_of, permuted, transactions

ROWS = 2000
DATA = dataset_of(transactions(ROWS, signal=1.0))
FIT, HOLDOUT = np.arange(1200), np.arange(1200, ROWS)
GOOD = {"booster": "gbtree", "max_depth": 3, "n_estimators": 40, "eta": 0.2}
RULE = Rule("average_precision", resamples=200)


def contender(data: Dataset = DATA, rows: np.ndarray = FIT, **params: object) -> Contender:
    """A model of these rows."""
    X, y = data.X.iloc[rows], data.y[rows]
    members = [Member({**GOOD, **params})]
    fitted = FraudClassifier.fit(X, y, data.roles.categorical, members, threshold=0.3, seed=0, threads=1)
    return Contender(fitted, SeenRows.of(data, rows, by_time=False))


@pytest.fixture(scope="module")
def good() -> Contender:
    return contender()


@pytest.fixture(scope="module")
def blind() -> Contender:
    return contender(permuted(DATA))


def outcome(challenger: Contender, champion: Contender, rule: Rule = RULE, data: Dataset = DATA) -> Challenge:
    return challenge(data, HOLDOUT, challenger, champion, Scoring(), rule)


def test_one_that_is_better_wins(good: Contender, blind: Contender) -> None:
    result = outcome(good, blind)
    assert result.won
    assert result.judgement is not None
    assert result.judgement.baselines[CHAMPION].gain["average_precision"].low > 0
    assert result.judgement.rows == len(HOLDOUT)


def test_one_that_is_worse_does_not(good: Contender, blind: Contender) -> None:
    result = outcome(blind, good)
    assert not result.won
    assert "no gain above min_gain (0)" in result.reason


def test_one_that_is_the_same_does_not(good: Contender) -> None:
    assert not outcome(good, good).won


def test_a_gain_that_may_be_luck_does_not_suffice(good: Contender) -> None:
    # One more tree: better or worse by next to nothing.
    other = contender(n_estimators=41)
    results = [outcome(good, other), outcome(other, good)]
    assert [result.won for result in results] == [False, False]
    assert any("no sure gain, its interval holds zero" in result.reason for result in results)


def test_a_sure_gain_below_min_gain_does_not_suffice(good: Contender, blind: Contender) -> None:
    result = outcome(good, blind, replace(RULE, min_gain=0.9))
    assert not result.won
    assert "no gain above min_gain (0.9)" in result.reason


def test_of_a_metric_of_which_less_is_better_less_wins(good: Contender, blind: Contender) -> None:
    rule = replace(RULE, metric="log_loss")
    assert outcome(good, blind, rule).won
    assert not outcome(blind, good, rule).won


def test_rows_that_the_champion_has_seen_judge_neither(good: Contender) -> None:
    # It knows half of the holdout by heart, and nothing else.
    rows = np.arange(1600)
    labels = permuted(DATA).y
    labels[1200:1600] = DATA.y[1200:1600]
    frame = DATA.table.to_pandas().assign(**{LABEL: labels})
    knows_half = contender(dataset_of(frame), rows, max_depth=12, n_estimators=200)
    result = outcome(good, knows_half)
    assert result.judgement is not None
    assert result.judgement.rows == 400
    assert result.won


def test_with_too_few_frauds_on_unseen_rows_the_champion_stays(good: Contender, blind: Contender) -> None:
    frauds = np.flatnonzero(DATA.y == 1)
    saw_most = SeenRows.of(DATA, np.union1d(FIT, frauds[frauds >= 1200][4:]), by_time=False)
    result = outcome(good, replace(blind, seen=saw_most))
    assert not result.won
    assert "with 4 frauds; 5 frauds at least are needed" in result.reason


def test_a_champion_of_other_columns_stays_and_the_reason_says_so(good: Contender, blind: Contender) -> None:
    frame: pd.DataFrame = DATA.table.to_pandas()
    at = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(ROWS), unit="h")
    timed = dataset_of(frame.assign(at=at), time="at")
    without = dataset_of(frame.drop(columns="amount").assign(at=at), time="at")
    champion, challenger = (
        Contender(part.classifier, SeenRows.of(timed, FIT, by_time=True)) for part in (blind, contender(without))
    )
    result = outcome(challenger, champion, data=without)
    assert not result.won
    assert "the champion can't score this data" in result.reason
    assert "amount" in result.reason
