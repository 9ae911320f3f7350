"""Scored objects in a folder: where they belong, that they appear whole or not at all, and what is left behind."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.assets.scoring import check_apart
from fraud_assets.ml.batch_scoring import score_pieces
from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.ml.ingest.objects import StoredObject, list_objects
from fraud_assets.ml.schema import DataError
from fraud_assets.resources import scored_objects
from fraud_assets.resources.object_store import Location, locate
from fraud_assets.resources.scored_objects import Task, delete_left_behind, is_scored, plan, read_ledger, score_object

FRAME = pd.DataFrame({"amount": [1.0, 2.0, 3.0, 400.0], "card": list("abcd")})


@pytest.fixture(scope="module")
def classifier() -> FraudClassifier:
    X = pd.DataFrame({"amount": [float(i) for i in range(200)]})
    params = {"booster": "gbtree", "n_estimators": 3, "resampler": "passthrough"}
    y = (X["amount"] > 100).to_numpy().astype(int)
    return FraudClassifier.fit(X, y, [], [Member(params)], threshold=0.5, seed=1, threads=1)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Location, Location]:
    """A folder with one object, and the one for scores."""
    (tmp_path / "in").mkdir()
    FRAME.to_parquet(tmp_path / "in" / "a.parquet", row_group_size=2)
    return locate(str(tmp_path / "in")), locate(str(tmp_path / "out"))


def the_task(places: tuple[Location, Location]) -> Task:
    source, output = places
    tasks, clashes = plan(source, list_objects(source.filesystem, source.path, source.uri), output)
    assert clashes == []
    return tasks[0]


def files(place: Location) -> list[str]:
    return sorted(str(f.relative_to(place.path)) for f in Path(place.path).rglob("*") if f.is_file())


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a.csv", "a.parquet"),
        ("a.CSV.GZ", "a.parquet"),
        ("day=1/a.pq", "day=1/a.parquet"),
        ("day=1/part.0.csv.gz", "day=1/part.0.parquet"),
        ("v1.2/a b.parquet", "v1.2/a b.parquet"),
    ],
)
def test_scores_belong_at_the_same_path_with_the_extension_parquet(name: str, target: str) -> None:
    source, output = locate("/in"), locate("/out")
    tasks, clashes = plan(source, [StoredObject(f"/in/{name}", f"file:///in/{name}", 1, 1)], output)
    assert clashes == []
    assert tasks[0].source.path == f"/in/{name}"
    assert tasks[0].target.path == f"/out/{target}"


def test_objects_that_would_be_scored_into_one_place_are_all_refused() -> None:
    names = ["a.csv", "a.csv.gz", "b.csv"]
    stored = [StoredObject(f"/in/{name}", name, 1, 1) for name in names]
    tasks, clashes = plan(locate("/in"), stored, locate("/out"))
    assert [task.stored.name for task in tasks] == ["b.csv"]
    assert [clash.partition(":")[0] for clash in clashes] == ["a.csv", "a.csv.gz"]


def test_the_footer_says_what_was_scored_until_the_object_changes(
    places: tuple[Location, Location], classifier: FraudClassifier
) -> None:
    task = the_task(places)
    assert not is_scored(task, read_ledger(places[1]))
    entry, first = score_object(task, places[1], classifier, 3)
    assert read_ledger(places[1]) == {task.target.path: entry}
    assert (entry.rows, entry.frauds, entry.model_version, entry.threshold) == (4, 1, 3, 0.5)
    assert first is not None
    assert first.num_rows == 2
    assert is_scored(task, read_ledger(places[1]))
    FRAME.head(3).to_parquet(task.source.path)
    assert not is_scored(the_task(places), read_ledger(places[1]))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_breaks_half_way_leaves_the_old_scores_and_nothing_else(
    places: tuple[Location, Location],
    classifier: FraudClassifier,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    task = the_task(places)
    score_object(task, places[1], classifier, 1)
    before = Path(task.target.path).read_bytes()

    def breaking(*args: Any) -> Iterator[pa.Table]:
        yield next(score_pieces(*args))
        raise error

    monkeypatch.setattr(scored_objects, "score_pieces", breaking)
    with pytest.raises(error):
        score_object(task, places[1], classifier, 2)
    assert Path(task.target.path).read_bytes() == before
    assert files(places[1]) == ["a.parquet"]


def test_an_object_that_was_deleted_after_it_was_listed_is_a_bad_object(
    places: tuple[Location, Location], classifier: FraudClassifier
) -> None:
    task = the_task(places)
    Path(task.source.path).unlink()
    with pytest.raises(DataError, match=r"in/a\.parquet doesn't exist"):
        score_object(task, places[1], classifier, 1)


@pytest.mark.parametrize("content", [b"", b"no Parquet", None])
def test_what_scoring_has_not_written_is_not_replaced(places: tuple[Location, Location], content: bytes | None) -> None:
    target = Path(places[1].path) / "a.parquet"
    target.parent.mkdir()
    if content is None:
        pq.write_table(pa.table({"a": [1]}), target)
    else:
        target.write_bytes(content)
    with pytest.raises(DataError, match="stands where its scores belong, and scored_transactions didn't write it"):
        is_scored(the_task(places), read_ledger(places[1]))


def test_what_was_left_half_written_is_deleted_after_a_day_and_never_read(places: tuple[Location, Location]) -> None:
    incomplete = Path(places[1].path) / "_incomplete"
    incomplete.mkdir(parents=True)
    for name, age_h in (("old", 25), ("new", 23)):
        (incomplete / f"{name}.parquet").touch()
        then = time.time() - age_h * 3600
        os.utime(incomplete / f"{name}.parquet", (then, then))
    assert read_ledger(places[1]) == {}
    delete_left_behind(places[1])
    assert files(places[1]) == ["_incomplete/new.parquet"]


def test_nothing_is_left_behind_where_nothing_was_scored(places: tuple[Location, Location]) -> None:
    delete_left_behind(places[1])
    assert not Path(places[1].path).exists()


@pytest.mark.parametrize(("source", "output"), [("/a", "/a"), ("/a", "/a/b"), ("/a/b", "/a"), ("/a/b.csv", "/a")])
def test_locations_that_hold_each_other_are_refused(source: str, output: str) -> None:
    with pytest.raises(DataError, match="none is inside the other"):
        check_apart(locate(source), locate(output))


@pytest.mark.parametrize(("source", "output"), [("/a", "/ab"), ("/a/b", "/a/c"), ("/a", "s3://a")])
def test_locations_apart_are_fine(source: str, output: str) -> None:
    check_apart(locate(source), locate(output))
