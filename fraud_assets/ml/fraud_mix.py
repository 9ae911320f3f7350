"""How much fraud of which kind the simulation has on which day."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

_WAVE_DAYS = 60


@dataclass(frozen=True)
class FraudMix:
    """The share of all transactions that each scenario is to turn out, in the long run.

    Attributes:
        large_amounts: single purchases of several times the customer's usual amount, wherever the thief happens to be.
        compromised_terminals: for three to five weeks a part of the purchases at one terminal is fraudulent; hardly
            anything but the terminal's past tells them from others.
        stolen_cards: for two to four days a thief shops online with the card's number, more often and for more than
            its owner, who shops on.
    """

    large_amounts: float = 0.0025
    compromised_terminals: float = 0.0025
    stolen_cards: float = 0.0025


MixOfDay = Callable[[date], FraudMix]


def waves(day: date) -> FraudMix:
    """The default mix: the scenarios follow each other every twenty days; none is ever absent, the sum is constant."""
    turn = 2 * math.pi * (day.toordinal() % _WAVE_DAYS) / _WAVE_DAYS
    base = FraudMix()
    return FraudMix(
        large_amounts=base.large_amounts * (1 + 0.6 * math.cos(turn)),
        compromised_terminals=base.compromised_terminals * (1 + 0.6 * math.cos(turn - 2 * math.pi / 3)),
        stolen_cards=base.stolen_cards * (1 + 0.6 * math.cos(turn - 4 * math.pi / 3)),
    )
