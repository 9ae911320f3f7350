"""People hear of a failed run and of a decision on the champion, once, and the webhook's URL stays secret."""

import json
import logging
import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from fraud_assets.notifications import notify_champion, notify_failure
from fraud_assets.resources.notification import Notification
from fraud_assets.resources.webhook import Webhook, WebhookError
from tests.webhook_server import HANG, TOKEN, Answer, WebhookServer, webhook_server

NOTIFICATION = Notification("failure", "a job failed", "DataError: no rows.", {"job": "a job"}, {})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    with webhook_server() as running:
        for name in ("FRAUD_WEBHOOK_FORMAT", "FRAUD_DAGSTER_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("FRAUD_WEBHOOK_URL", running.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield running


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def quick(tries: int = 4, timeout_s: float = 5) -> Webhook:
    return Webhook(wait_s=0.001, tries=tries, timeout_s=timeout_s)


@dataclass
class Ticks:
    """A sensor that is evaluated as the daemon does it, from its first tick on."""

    sensor: dg.SensorDefinition
    instance: dg.DagsterInstance
    webhook: Webhook
    cursor: str | None = None

    def __post_init__(self) -> None:
        assert "Initiating" in str(self.tick().skip_message)

    def tick(self) -> SensorExecutionData:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"webhook": self.webhook}
        )
        data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor
        return data


def failures(tick: SensorExecutionData) -> list[str]:
    """Why the daemon will call the tick failed."""
    return [reaction.error.message for reaction in tick.dagster_run_reactions or () if reaction.error]


def run_champion(instance: dg.DagsterInstance, **metadata: Any) -> str:
    """A successful run that has materialized an asset of this name."""

    @dg.asset
    def champion_model() -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(metadata=metadata)

    return dg.materialize([champion_model], instance=instance).run_id


def run_failing(instance: dg.DagsterInstance, message: str) -> str:
    @dg.asset
    def raw_dataset() -> None:
        try:
            raise KeyError("what was below")
        except KeyError as error:
            raise ValueError(message) from error

    return dg.materialize([raw_dataset], instance=instance, raise_on_error=False).run_id


PROMOTED = {"decision": "promoted", "reason": "It finds more frauds.", "model": "models:/fraud_model/3"}


def test_a_failed_run_is_told_with_step_cause_and_link(
    server: WebhookServer, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_DAGSTER_URL", "https://me:pass@dagster.example.org/")
    ticks = Ticks(notify_failure, instance, quick())
    run_id = run_failing(instance, "s3://key:secret@fraud/a.csv has no rows. Put some in.\nMore of it")

    assert not failures(ticks.tick())
    (told,) = server.told
    assert told == {
        "event": "failure",
        "title": "__ephemeral_asset_job__ failed at raw_dataset",
        "text": "ValueError: s3://fraud/a.csv has no rows.",
        "fields": {"job": "__ephemeral_asset_job__", "run": run_id, "step": "raw_dataset"},
        "links": {"Dagster run": f"https://dagster.example.org/runs/{run_id}"},
    }
    assert server.requests[0][:2] == ("POST", f"/services/T0/{TOKEN}")


@pytest.mark.parametrize(
    ("decision", "event"), [("promoted", "promotion"), ("kept", "refusal"), ("rolled_back", "rollback")]
)
def test_a_decision_on_the_champion_is_told_with_its_reason_and_links(
    server: WebhookServer, instance: dg.DagsterInstance, decision: str, event: str
) -> None:
    ticks = Ticks(notify_champion, instance, quick())
    parent = {"MLflow parent run": dg.MetadataValue.url("https://me:pass@mlflow.example.org/#/runs/1")}
    run_id = run_champion(instance, **{**PROMOTED, "decision": decision}, **parent)

    tick = ticks.tick()
    assert tick.skip_message == f"told 127.0.0.1 of the {event} of run {run_id}"
    (told,) = server.told
    assert (told["event"], told["text"]) == (event, "It finds more frauds.")
    assert told["fields"] == {"job": "__ephemeral_asset_job__", "run": run_id, "model": "models:/fraud_model/3"}
    assert told["links"] == {"MLflow parent run": "https://mlflow.example.org/#/runs/1"}


def test_a_run_that_decided_on_the_champion_and_then_failed_tells_both(
    server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    @dg.asset
    def champion_model() -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(metadata=PROMOTED)

    @dg.asset(deps=[champion_model])
    def later() -> None:
        raise ValueError("no")

    ticks = Ticks(notify_failure, instance, quick())
    dg.materialize([champion_model, later], instance=instance, raise_on_error=False)

    assert not failures(ticks.tick())
    (told,) = server.told
    assert told["fields"].items() >= {"step": "later", **PROMOTED}.items()


def test_a_failure_outside_of_every_step_is_told_in_dagsters_words(
    server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(notify_failure, instance, quick())
    run = instance.create_run_for_job(dg.job(name="lost")(lambda: None))
    instance.report_run_failed(run, message="This run has been marked as failed from outside.")

    assert not failures(ticks.tick())
    (told,) = server.told
    assert (told["title"], told["text"]) == ("lost failed", "This run has been marked as failed from outside.")


def test_other_runs_are_not_told(server: WebhookServer, instance: dg.DagsterInstance) -> None:
    champion, failure = Ticks(notify_champion, instance, quick()), Ticks(notify_failure, instance, quick())

    @dg.asset
    def other() -> None: ...

    dg.materialize([other], instance=instance)
    assert "did not materialize champion_model" in str(champion.tick().skip_message)
    failure.tick()
    assert server.requests == []


def test_without_a_url_nothing_is_sent_and_the_tick_says_so(
    server: WebhookServer, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FRAUD_WEBHOOK_URL")
    champion, failure = Ticks(notify_champion, instance, quick()), Ticks(notify_failure, instance, quick())
    run_champion(instance, **PROMOTED)
    run_failing(instance, "no")
    assert champion.tick().skip_message == failure.tick().skip_message == "FRAUD_WEBHOOK_URL is not set"
    assert server.requests == []


def test_each_run_is_told_once_one_a_tick(server: WebhookServer, instance: dg.DagsterInstance) -> None:
    ticks = Ticks(notify_failure, instance, quick())
    runs = [run_failing(instance, str(number)) for number in range(3)]
    for _ in range(5):
        ticks.tick()
    assert [told["fields"]["run"] for told in server.told] == runs


def test_an_undelivered_run_fails_its_tick_and_neither_it_nor_the_next_is_told_twice(
    server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(notify_failure, instance, quick())
    first, second = run_failing(instance, "1"), run_failing(instance, "2")
    server.answers = [Answer(404)]

    assert failures(ticks.tick()) == [
        f"the webhook at 127.0.0.1 was not told of this failure: it answered 404 Not Found (run {first})"
    ]
    assert not failures(ticks.tick())
    ticks.tick()
    assert [told["fields"]["run"] for told in server.told] == [first, second]


def test_a_decision_of_another_name_fails_the_tick(server: WebhookServer, instance: dg.DagsterInstance) -> None:
    ticks = Ticks(notify_champion, instance, quick())
    run_champion(instance, decision="postponed")
    (message,) = failures(ticks.tick())
    assert "'postponed', which is none of promoted, kept, rolled_back" in message
    assert server.requests == []


def test_a_server_that_recovers_is_told_in_the_end(server: WebhookServer) -> None:
    server.answers = [Answer(500), Answer(503)]
    assert quick().send(NOTIFICATION) == "127.0.0.1"
    assert server.told == [NOTIFICATION.to_json()] * 3


def test_a_server_that_does_not_recover_is_tried_four_times(server: WebhookServer) -> None:
    server.answers = [Answer(500)] * 9
    with pytest.raises(WebhookError, match=r"^the webhook at 127\.0\.0\.1 was not told .* 500 Internal Server Error$"):
        quick().send(NOTIFICATION)
    assert len(server.requests) == 4


def test_too_many_requests_waits_as_long_as_the_server_asks(server: WebhookServer) -> None:
    server.answers = [Answer(429, {"Retry-After": "0"})]
    Webhook(wait_s=3600).send(NOTIFICATION)
    assert len(server.requests) == 2


def test_a_wait_that_outlasts_the_tick_is_given_up_at_once(server: WebhookServer) -> None:
    server.answers = [Answer(429, {"Retry-After": "3600"})]
    with pytest.raises(WebhookError, match="429 Too Many Requests"):
        quick().send(NOTIFICATION)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_refusal_is_final_and_slacks_word_for_it_is_told(server: WebhookServer, status: int) -> None:
    server.answers = [Answer(status, body="invalid_blocks")]
    with pytest.raises(WebhookError, match=rf"it answered {status} [\w ]+ \(invalid_blocks\)$"):
        quick().send(NOTIFICATION)
    assert len(server.requests) == 1


def test_a_word_that_is_in_the_url_is_not_told(server: WebhookServer) -> None:
    server.answers = [Answer(404, body="services")]
    with pytest.raises(WebhookError, match=r"it answered 404 Not Found$"):
        quick().send(NOTIFICATION)


def test_a_redirect_is_a_refusal_and_not_followed(server: WebhookServer) -> None:
    server.answers = [Answer(302, {"Location": server.url + "/login"})]
    with pytest.raises(WebhookError, match="302 Found"):
        quick().send(NOTIFICATION)
    assert len(server.requests) == 1


def test_what_a_silent_server_took_is_not_sent_again(server: WebhookServer) -> None:
    server.answers = [Answer(HANG)]
    with pytest.raises(WebhookError, match="took the request, but gave no answer"):
        quick(timeout_s=0.05).send(NOTIFICATION)
    assert len(server.requests) == 1


def secret_urls(server: WebhookServer) -> dict[str, str]:
    """URLs with the secret inside which can't be used, each in its own way."""
    return {
        "nobody listens": f"http://127.0.0.1:1/services/{TOKEN}",
        "no such host": f"http://nowhere.invalid/services/{TOKEN}",
        "a space": server.url + "/a b",
        "a line": server.url + "/a\nb",
        "an accent": server.url + "/é",
        "a user": f"http://{TOKEN.replace('/', ':')}@127.0.0.1/",
        "a port": f"http://127.0.0.1:{TOKEN}",
        "no host": f"http:///services/{TOKEN}",
        "labels": f"http://a..b/services/{TOKEN}",
        "brackets": f"http://[::1/{TOKEN}",
        "a scheme": f"ftp://127.0.0.1/{TOKEN}",
        "no scheme": TOKEN,
        "refused": server.url,
    }


@pytest.mark.parametrize("case", list(secret_urls(WebhookServer(1)))[2:-1])
def test_what_is_no_url_is_told_before_anything_is_sent(
    case: str, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_WEBHOOK_URL", secret_urls(server)[case])
    with pytest.raises(WebhookError, match=r"^FRAUD_WEBHOOK_URL is no URL of a webhook: "):
        quick().send(NOTIFICATION)


@pytest.mark.parametrize("case", secret_urls(WebhookServer(1)))
def test_the_secret_in_the_url_is_in_no_error_log_or_tick(
    case: str,
    server: WebhookServer,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("FRAUD_WEBHOOK_URL", secret_urls(server)[case])
    server.answers = [Answer(404, body="")] * 2
    with pytest.raises(WebhookError) as raised:
        quick(tries=2).send(NOTIFICATION)
    ticks = Ticks(notify_champion, instance, quick(tries=2))
    run_id = run_champion(instance, **PROMOTED)
    tick = ticks.tick()

    assert failures(tick)
    said = "".join(traceback.format_exception(raised.value)) + repr(tick) + caplog.text + "".join(capfd.readouterr())
    said += "".join(str(entry) for entry in instance.all_logs(run_id)) + repr(ticks.webhook)
    assert raised.value.__context__ is None
    for part in re.split(r"/", TOKEN):
        assert part.lower() not in said.lower()


def test_a_secret_file_may_end_in_a_line_break(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_WEBHOOK_URL", server.url + "\n")
    quick().send(NOTIFICATION)
    assert server.requests[0][1] == f"/services/T0/{TOKEN}"


def test_slack_is_chosen_in_the_environment_and_another_format_is_an_error(
    server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_WEBHOOK_FORMAT", "slack")
    quick().send(NOTIFICATION)
    assert server.told == [NOTIFICATION.to_slack()]
    monkeypatch.setenv("FRAUD_WEBHOOK_FORMAT", "teams")
    with pytest.raises(WebhookError, match="'teams': set FRAUD_WEBHOOK_FORMAT to json or slack"):
        quick().send(NOTIFICATION)


def test_a_slack_message_mentions_nobody_and_links_only_what_is_a_link() -> None:
    links = {"Dagster <run>": "https://dagster.example.org/runs/1?a=1&b=2|3"}
    message = Notification("refusal", "a & b", "<!channel> p < 0.05", {"<x>": "1 > 0"}, links).to_slack()
    heading, facts, linked = message["blocks"]
    assert message["text"] == "a &amp; b: &lt;!channel&gt; p &lt; 0.05"
    assert heading["text"] == {"type": "mrkdwn", "text": "*a &amp; b*\n&lt;!channel&gt; p &lt; 0.05"}
    assert facts["fields"] == [{"type": "mrkdwn", "text": "*&lt;x&gt;*\n1 &gt; 0"}]
    assert linked["text"]["text"] == "<https://dagster.example.org/runs/1?a=1&amp;b=2%7C3|Dagster &lt;run&gt;>"


def test_a_slack_message_is_within_slacks_limits_whatever_it_says() -> None:
    long = "<&" * 5000
    message = Notification("failure", long, long, {f"{long}{i}": long for i in range(20)}, {}).to_slack()
    heading, facts = message["blocks"]
    assert len(message["text"]) <= 3000
    assert len(heading["text"]["text"]) <= 3000
    assert len(facts["fields"]) == 10
    assert max(len(fact["text"]) for fact in facts["fields"]) <= 2000
    cut = json.dumps(message, ensure_ascii=False)
    assert "…" in cut
    assert re.findall(r"&(?!amp;|lt;|gt;)", cut) == [], "a character was cut in two"


def test_a_long_error_is_cut(server: WebhookServer, instance: dg.DagsterInstance) -> None:
    ticks = Ticks(notify_failure, instance, quick())
    run_failing(instance, "x" * 100_000)
    ticks.tick()
    (told,) = server.told
    assert len(told["text"]) == 500
