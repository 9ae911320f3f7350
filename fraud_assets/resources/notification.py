"""What a notification says, in JSON and in Slack's blocks."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Event = Literal["failure", "promotion", "refusal", "rollback"]

# Slack refuses a message with a longer text in a section, a longer field, or more fields.
_SECTION, _FIELD, _FIELDS = 3000, 2000, 10


@dataclass(frozen=True)
class Notification:
    """Something that happened, for people who were not there.

    Attributes:
        event: what happened, for whoever sorts by it: a run failed; or the challenger became champion, was refused, or
            an earlier champion is back.
        title: one line.
        text: why, in a sentence.
        fields: short facts by their names.
        links: URLs by the names of what they show.
    """

    event: Event
    title: str
    text: str
    fields: Mapping[str, str]
    links: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The attributes by their names."""
        return {**asdict(self), "fields": dict(self.fields), "links": dict(self.links)}

    def to_slack(self) -> dict[str, Any]:
        """A message for an incoming webhook of Slack: blocks, and a text for where blocks can't be shown."""
        parts = [_section(f"*{_mrkdwn(self.title, _SECTION // 4)}*\n{_mrkdwn(self.text, _SECTION // 2)}")]
        if self.fields:
            facts = [
                {"type": "mrkdwn", "text": f"*{_mrkdwn(name, _FIELD // 4)}*\n{_mrkdwn(value, _FIELD // 2)}"}
                for name, value in list(self.fields.items())[:_FIELDS]
            ]
            parts.append({"type": "section", "fields": facts})
        if self.links:
            links = [f"<{_slack_url(url)}|{_mrkdwn(name, _FIELD // 4)}>" for name, url in self.links.items()]
            parts.append(_section("  ".join(links)))
        return {"text": _mrkdwn(f"{self.title}: {self.text}", _SECTION), "blocks": parts}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _mrkdwn(text: str, limit: int) -> str:
    """`text` with the three characters escaped that Slack gives a meaning, in at most `limit` characters."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(escaped) <= limit:
        return escaped
    whole = re.sub(r"&[a-z]*$", "", escaped[: limit - 1])
    return f"{whole}…"


def _slack_url(url: str) -> str:
    """`url` as it stands inside of `<url|name>`."""
    return url.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E").replace("&", "&amp;")
