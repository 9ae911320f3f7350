"""When new data starts a run."""

import os
from typing import Any, Literal

import dagster as dg
from pydantic import Field, ValidationError


class NewDataPolicy(dg.ConfigurableResource):  # type: ignore[type-arg]
    """When the sensor asks for a run, and for which; the variable of a field is FRAUD_ and its name in capitals."""

    settle_seconds: float = Field(
        default=300,
        ge=0,
        description="For so long nothing may have been written, so that half of a delivery starts no run.",
    )
    min_interval: float = Field(
        default=3600, ge=0, description="Seconds between the start of the last run of the graph and the next one."
    )
    min_new_rows: int | None = Field(
        default=1,
        ge=0,
        description="So many rows must be in new, changed or deleted objects; or the frauds below. None: rows alone "
        "start nothing.",
    )
    min_new_frauds: int | None = Field(
        default=None,
        ge=0,
        description="So many frauds must be in new, changed or deleted objects; or the rows above. None: frauds alone "
        "start nothing.",
    )
    on_new_data: Literal["retune", "retrain", "check_drift"] = Field(
        default="retune",
        description="retune: a new search; retrain: the best parameters stand, and are fitted and judged anew; "
        "check_drift: the data is read and compared with that of the champion, and only drift starts a search.",
    )
    tick_seconds: float = Field(
        default=25,
        gt=0,
        le=50,
        description="A tick reads new objects for so long and goes on at the next one; Dagster ends a tick after 60.",
    )

    @classmethod
    def from_environment(cls) -> "NewDataPolicy":
        """The policy with those fields that the environment sets: FRAUD_SETTLE_SECONDS, FRAUD_MIN_INTERVAL, …

        Raises:
            ValueError: a variable has a value that its field doesn't take; the message names it.
        """
        given: dict[str, Any] = {}
        for field in cls.model_fields:
            value = os.environ.get(f"FRAUD_{field.upper()}", "").strip()
            if value:
                given[field] = None if value.lower() == "none" else value
        try:
            return cls(**given)
        except ValidationError as error:
            wrong = "; ".join(
                f"FRAUD_{str(told['loc'][0]).upper()} is {told['input']!r}: {told['msg'].lower()}"
                for told in error.errors()
            )
            raise ValueError(wrong) from error

    def enough(self, rows: int, frauds: int) -> bool:
        """Whether so much has come that a run is worth it."""
        return (self.min_new_rows is not None and rows >= self.min_new_rows) or (
            self.min_new_frauds is not None and frauds >= self.min_new_frauds
        )

    @property
    def wanted(self) -> str:
        """What `enough` asks for, in a few words."""
        parts = [
            f"{least} new {what}"
            for least, what in ((self.min_new_rows, "rows"), (self.min_new_frauds, "frauds"))
            if least is not None
        ]
        return " or ".join(parts) or "nothing, as min_new_rows and min_new_frauds are none"
