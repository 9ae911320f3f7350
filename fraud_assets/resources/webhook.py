"""The webhook that is told of failed runs and of champions."""

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from fraud_assets.resources.notification import Notification

URL = "FRAUD_WEBHOOK_URL"
FORMAT = "FRAUD_WEBHOOK_FORMAT"

# A sensor that is not back within 60 seconds (Dagster's default) is asked for the same run again.
_PATIENCE_S = 40.0


class WebhookError(Exception):
    """A notification was not delivered; the message is one sentence, with nothing of the webhook's URL but its host."""


class Webhook(dg.ConfigurableResource["Webhook"]):
    """Where notifications go.

    The URL is a secret: whoever has one of Slack's may post. So it comes from the environment only, because Dagster
    stores configuration, and it is posted to with urllib: the errors of requests have the URL's path in their text, and
    urllib3 below it logs the path of every request.
    """

    format: str | None = Field(
        default=None,
        description=(
            f"What is posted: json, or slack for an incoming webhook of Slack. Default: the environment variable "
            f"{FORMAT}, else json. The URL comes from {URL} only."
        ),
    )
    timeout_s: float = Field(default=5, gt=0, description="Seconds that one try may wait for the webhook's server.")
    tries: int = Field(default=4, ge=1, description="How often a notification is tried, the first time included.")
    wait_s: float = Field(default=1, ge=0, description="Seconds before the second try, twice as many before the next.")

    @property
    def is_set(self) -> bool:
        """Whether there is a webhook to tell."""
        return bool(_url())

    def send(self, notification: Notification) -> str:
        """Post a notification, and return the webhook's host.

        It is tried again where it can't have arrived, as no connection came about, and where the server says so: 429,
        after its `Retry-After`, and 5xx. It is not where the server took the request and then said nothing: it may
        have arrived, and nobody should be told twice.

        Raises:
            WebhookError: it was not delivered, or the environment's URL or format can't be used.
        """
        url, host = _checked(_url())
        headers = {"Content-Type": "application/json", "User-Agent": "fraud_assets"}
        request = urllib.request.Request(url, json.dumps(self._body(notification)).encode(), headers, method="POST")
        give_up = time.monotonic() + _PATIENCE_S
        wait, tried = self.wait_s, 1
        while failure := _post(request, self.timeout_s):
            pause = wait if failure.retry_after_s is None else failure.retry_after_s
            if not failure.is_passing or tried == self.tries or time.monotonic() + pause > give_up:
                raise WebhookError(f"the webhook at {host} was not told of this {notification.event}: {failure.what}")
            time.sleep(pause)
            wait, tried = 2 * wait, tried + 1
        return host

    def _body(self, notification: Notification) -> dict[str, Any]:
        chosen = self.format or os.environ.get(FORMAT, "").strip() or "json"
        if chosen == "json":
            return notification.to_json()
        if chosen == "slack":
            return notification.to_slack()
        raise WebhookError(f"the webhook's format is {chosen!r}: set {FORMAT} to json or slack")


@dataclass(frozen=True)
class _Failure:
    """Why a try failed; it is no exception, so that no other one with the URL in its text hangs on it."""

    what: str
    is_passing: bool
    retry_after_s: float | None = None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected becomes a GET: the page of a login, say, which tells nobody."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Nowhere."""


def _post(request: urllib.request.Request, timeout_s: float) -> _Failure | None:
    try:
        urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s).close()
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error, request.full_url)
    except urllib.error.URLError as error:  # before the request was out
        return _Failure(f"no connection ({getattr(error.reason, 'strerror', None) or error.reason})", is_passing=True)
    except (OSError, http.client.HTTPException) as error:
        return _Failure(f"it took the request, but gave no answer ({type(error).__name__})", is_passing=False)
    return None


def _refused(error: urllib.error.HTTPError, url: str) -> _Failure:
    status = f"{error.code} {http.client.responses.get(error.code, '')}".strip()
    # One word, as Slack says what is wrong; other servers repeat the path, which is the secret.
    body = ""
    with suppress(OSError, http.client.HTTPException):
        body = error.read(200).decode(errors="replace").strip()
    word = f" ({body})" if re.fullmatch(r"[a-z_]{3,40}", body) and body not in url else ""
    after = error.headers.get("Retry-After", "")
    return _Failure(
        f"it answered {status}{word}",
        is_passing=error.code == http.HTTPStatus.TOO_MANY_REQUESTS or error.code >= 500,
        retry_after_s=float(after) if re.fullmatch(r"\d{1,6}", after) else None,
    )


def _url() -> str:
    return os.environ.get(URL, "").strip()


def _checked(url: str) -> tuple[str, str]:
    """`url` and its host, if urllib will have no reason to quote it in an exception."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")
        port = parts.port
    except ValueError:
        host, port = "", None
    if (
        not host
        or port == 0
        or parts.scheme not in ("http", "https")
        or parts.username is not None
        or not re.fullmatch(r"[!-~]+", url)
    ):
        raise WebhookError(f"{URL} is no URL of a webhook: https:// or http://, a host, no user, no spaces")
    return url, host
