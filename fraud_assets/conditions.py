"""Declarative automation, the alternative to the sensor for new data: each asset says when it is to be made.

Dagster evaluates the conditions only while `declarative_automation` is on (`FRAUD_AUTOMATION=declarative`, or by its
switch in the UI), and the sensor for new data is off then.
https://docs.dagster.io/guides/automate/declarative-automation
"""

import os

import dagster as dg

_VARIABLE = "FRAUD_AUTOMATION"
_CHOICES = ("off", "sensor", "declarative")

# Every night: what is in the object store is not known before it was read.
NIGHTLY = dg.AutomationCondition.on_cron("0 2 * * *").with_label("each night at 02:00")

# What the same run makes before counts as well, so that one run makes all; but not the data: whether that is other data
# is known only when it was read.
_OTHER_INPUT = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()) | (
    dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested()).ignore(
        dg.AssetSelection.assets("raw_dataset")
    )
)
_HANDLED = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
ON_OTHER_DATA = (
    _OTHER_INPUT.since(_HANDLED)
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
).with_label("when what it is made of has another data version")


def status_of(choice: str) -> dg.DefaultSensorStatus:
    """Whether a sensor runs by default: where FRAUD_AUTOMATION names its kind; it is `off` where nothing is set.

    Raises:
        ValueError: the variable names something else.
    """
    chosen = os.environ.get(_VARIABLE, "").strip() or "off"
    if chosen not in _CHOICES:
        raise ValueError(f"{_VARIABLE} is {chosen!r}; expected one of {', '.join(_CHOICES)}")
    return dg.DefaultSensorStatus.RUNNING if chosen == choice else dg.DefaultSensorStatus.STOPPED
