"""Notifications as Dagster's daemon sends them: once a run, an undelivered one seen in the UI, the URL nowhere."""

from pathlib import Path

import pytest
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from tests.integration.dev_server import Dev, dagster_dev, until
from tests.integration.graph import Workplace, workplace
from tests.webhook_server import TOKEN, Answer, webhook_server

pytestmark = [pytest.mark.integration, pytest.mark.long]


def ticks(place: Workplace) -> list[InstigatorTick]:
    """The finished ticks of `notify_failure`, the newest first."""
    with place.instance() as instance:
        found = [state for state in instance.all_instigator_state() if state.name == "notify_failure"]
        return [
            tick
            for state in found
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
            if tick.status != TickStatus.STARTED
        ]


def fail(dev: Dev, data: Path) -> str:
    run_id = dev.launch({"raw_dataset": {"uri": str(data), "label": "fraud"}}, ["raw_dataset"])
    assert dev.wait(run_id, {"FAILURE", "SUCCESS"}, 60) == "FAILURE"
    return run_id


def test_a_failed_run_is_told_once_and_the_urls_secret_is_in_no_file_or_log(tmp_path: Path) -> None:
    with webhook_server() as server, workplace(tmp_path, FRAUD_WEBHOOK_URL=server.url) as place:
        with dagster_dev(place) as dev:
            until(lambda: ticks(place), 60, "the sensor has begun, by itself")
            first = fail(dev, tmp_path / "nothing-here")
            until(lambda: server.requests, 60, "the failure is told\n" + "".join(dev.log))
            server.answers = [Answer(404, body="")]
            second = fail(dev, tmp_path / "nothing-here")
            failed = until(
                lambda: [tick for tick in ticks(place) if tick.status == TickStatus.FAILURE], 60, "a tick has failed"
            )
            until(lambda: ticks(place)[0].tick_id != failed[0].tick_id, 60, "the next tick")

        assert [told["fields"]["run"] for told in server.told] == [first, second]
        assert str(tmp_path / "nothing-here") in server.told[0]["text"]
        assert [tick.error.message for tick in ticks(place) if tick.error] == [
            f"the webhook at 127.0.0.1 was not told of this failure: it answered 404 Not Found (run {second})"
        ]
        assert f"told 127.0.0.1 of the failure of run {first}" in [tick.skip_reason for tick in ticks(place)]
        kept = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert len(kept) > 3
        for part in TOKEN.split("/"):
            assert [file for file in kept if part.encode() in file.read_bytes()] == []
            assert part not in "".join(dev.log)
