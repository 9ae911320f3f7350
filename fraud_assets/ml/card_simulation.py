"""A town of card holders, shops and thieves: raw transactions with their fraud labels, one simulated day at a time.

Every day draws from random generators of its own, keyed by the seed and the date. So a day is the same whichever other
days are simulated with it: sixty-one days begin with the sixty, and tomorrow can be simulated alone.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from fraud_assets.ml.fraud_mix import FraudMix, MixOfDay, waves

CHANNELS = ("chip", "contactless", "online")
_CHIP, _CONTACTLESS, _ONLINE = range(3)

# The first word after the seed of every generator: what is drawn from it.
_WORLD, _CAMPAIGNS, _DAY = range(3)

_MAX_CAMPAIGN_DAYS = 35
_TERMINAL_CAMPAIGN_DAYS = (21, _MAX_CAMPAIGN_DAYS)
_CARD_CAMPAIGN_DAYS = (2, 4)
_THIEF_PURCHASES_A_DAY = 3.5


def simulate(customers: int, terminals: int, seed: int, first: date, days: int, mix: MixOfDay = waves) -> pd.DataFrame:
    """The raw transactions of `days` days from `first` on, sorted by time.

    Returns:
        One row a transaction: transaction_id (int64: the date's digits, then the number within the day), tx_datetime
        (whole seconds), customer_id and terminal_id (int32, from 0), tx_amount (float64, whole cents, positive),
        channel (str, one of `CHANNELS`), tx_fraud (int8).
    """
    world = _World(customers, terminals, seed)
    # Campaigns don't depend on purchases, so those that began before `first` cost next to nothing to know.
    calendar = [first + timedelta(days=d) for d in range(-_MAX_CAMPAIGN_DAYS, days)]
    begun = [world.campaigns_beginning(day, mix(day)) for day in calendar]
    hacked = _Campaigns.joined([terminal for terminal, _ in begun])
    stolen = _Campaigns.joined([card for _, card in begun])
    frames = [
        world.day(day, hacked.active(day), stolen.active(day), mix(day).large_amounts)
        for day in calendar[_MAX_CAMPAIGN_DAYS:]
    ]
    frame = pd.concat(frames, ignore_index=True)
    frame["channel"] = np.array(CHANNELS, dtype=object)[frame["channel"]]
    return frame


@dataclass(frozen=True)
class _Campaigns:
    """Frauds that last: their targets (terminals or customers), first days and the days after the last, as ordinals."""

    target: np.ndarray
    begin: np.ndarray
    end: np.ndarray

    @classmethod
    def joined(cls, parts: list["_Campaigns"]) -> "_Campaigns":
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("target", "begin", "end")))

    def active(self, day: date) -> np.ndarray:
        """The targets of the campaigns that run on `day`."""
        return self.target[(self.begin <= day.toordinal()) & (day.toordinal() < self.end)]


class _World:
    """Who lives where and how they spend: everything that doesn't change from day to day."""

    def __init__(self, customers: int, terminals: int, seed: int) -> None:
        from sklearn.neighbors import KDTree

        self.seed = seed
        rng = np.random.default_rng([seed, _WORLD])
        self.customers, self.terminals = customers, terminals
        self.purchases_a_day = rng.gamma(3.0, 0.75 / 3.0, customers)
        self.usual_amount = rng.lognormal(np.log(35.0), 0.6, customers)
        night_owl = rng.random(customers) < 0.05
        self.usual_hour = np.where(night_owl, rng.normal(1.0, 1.0, customers), rng.normal(14.5, 2.0, customers))
        self.online_share = rng.beta(2.0, 6.0, customers)

        # Web shops are terminals without a place: the whole world buys from them, from the popular ones above all.
        self.web_shops = max(1, terminals // 10)
        popularity = 1.0 / np.arange(3, 3 + self.web_shops)
        self.web_popularity = np.cumsum(popularity / popularity.sum())

        places = rng.random((terminals - self.web_shops, 2))
        homes = rng.random((customers, 2))
        self.near = min(10, len(places))
        nearest = KDTree(places).query(homes, k=self.near, return_distance=False)
        self.nearby = (self.web_shops + nearest).astype(np.int32)

        # Neither a deserted terminal nor the busiest one is worth the thief's risk; so a campaign's size varies little.
        by_rank = np.diff(np.sqrt(np.arange(self.near + 1) / self.near))
        visits = np.outer(self.purchases_a_day * (1 - self.online_share), by_rank)
        traffic = np.bincount(self.nearby.ravel(), visits.ravel(), minlength=terminals)
        low, high = np.quantile(traffic[traffic > 0], [0.35, 0.65])
        self.worthwhile = np.flatnonzero((traffic >= low) & (traffic <= high))
        self.worthwhile_traffic = float(traffic[self.worthwhile].mean())
        self.volume = float(self.purchases_a_day.sum())
        # With few, busy terminals a smaller part of each one's purchases: else one campaign more or less would decide
        # about the fraud rate of a month.
        self.hit_share = min(0.8, FraudMix().compromised_terminals * self.volume / (2 * self.worthwhile_traffic))
        self.phase = rng.random(3)

    def campaigns_beginning(self, day: date, mix: FraudMix) -> tuple[_Campaigns, _Campaigns]:
        """The terminals compromised and the cards stolen from `day` on."""
        rng = np.random.default_rng([self.seed, _CAMPAIGNS, day.toordinal()])
        low, high = _TERMINAL_CAMPAIGN_DAYS
        a_terminal = self.hit_share * self.worthwhile_traffic * (low + high) / 2
        hacked = self._count(mix.compromised_terminals * self.volume / a_terminal, day, self.phase[0])
        targets = self.worthwhile[rng.integers(len(self.worthwhile), size=hacked)]
        terminals = _Campaigns(targets, *_span(rng, day, hacked, low, high))
        low, high = _CARD_CAMPAIGN_DAYS
        a_card = _THIEF_PURCHASES_A_DAY * (low + high) / 2
        stolen = self._count(mix.stolen_cards * self.volume / a_card, day, self.phase[1])
        cards = _Campaigns(rng.integers(self.customers, size=stolen), *_span(rng, day, stolen, low, high))
        return terminals, cards

    @staticmethod
    def _count(rate: float, day: date, phase: float) -> int:
        """`rate` rounded up or down so that the counts of any stretch of days add up to about the sum of the rates.

        The rounding follows a Kronecker sequence (multiples of the golden ratio, modulo one). Poisson counts would let
        the fraud rate of a small data set stray far from what was asked for.
        """
        golden = (np.sqrt(5.0) - 1.0) / 2.0
        return int(np.floor(rate + (phase + day.toordinal() * golden) % 1.0))

    def day(self, day: date, hacked: np.ndarray, stolen: np.ndarray, large_amounts: float) -> pd.DataFrame:
        """All purchases of one day, sorted by time; `channel` is an index into `CHANNELS`."""
        rng = np.random.default_rng([self.seed, _DAY, day.toordinal()])
        parts = [
            self._genuine(rng, day, hacked),
            self._large_amounts(rng, self._count(large_amounts * self.volume, day, self.phase[2])),
            self._card_not_present(rng, np.repeat(stolen, rng.poisson(_THIEF_PURCHASES_A_DAY, len(stolen)))),
        ]
        frame = pd.concat(parts, ignore_index=True).sort_values("second", kind="stable", ignore_index=True)
        digits = int(day.strftime("%Y%m%d"))
        frame.insert(0, "transaction_id", digits * 10_000_000 + np.arange(len(frame), dtype=np.int64))
        seconds = frame.pop("second").to_numpy().astype("timedelta64[s]")
        frame.insert(1, "tx_datetime", (np.datetime64(day, "s") + seconds).astype("datetime64[us]"))
        return frame

    def _genuine(self, rng: np.random.Generator, day: date, hacked: np.ndarray) -> pd.DataFrame:
        """What the customers buy; at a compromised terminal, part of it is not what they think they buy."""
        # Saturdays are busy, Sundays quiet, and now and then somebody goes on a shopping spree, which is no crime.
        spree = np.where(rng.random(self.customers) < 0.04, 4.0, 1.0) / (0.96 * 1.0 + 0.04 * 4.0)
        weekday = (0.95, 0.9, 0.95, 1.0, 1.15, 1.25, 0.8)[day.weekday()]
        customer = np.repeat(np.arange(self.customers), rng.poisson(self.purchases_a_day * spree * weekday))
        n = len(customer)
        online = rng.random(n) < self.online_share[customer]
        rank = (self.near * rng.random(n) ** 2).astype(np.intp)
        terminal = np.where(online, self._web_shop(rng, n), self.nearby[customer, rank])
        compromised = np.zeros(self.terminals, dtype=bool)
        compromised[hacked] = True
        fraud = compromised[terminal] & (rng.random(n) < self.hit_share)
        dear = np.where(rng.random(n) < 0.004, rng.uniform(2.0, 8.0, n), 1.0)
        amount = self._amount(rng, customer, dear)
        hour = rng.normal(self.usual_hour[customer], 2.5)
        return self._purchases(rng, customer, terminal, amount, hour, fraud)

    def _large_amounts(self, rng: np.random.Generator, n: int) -> pd.DataFrame:
        customer = rng.choice(self.customers, n, p=self.purchases_a_day / self.volume)
        online = rng.random(n) < 0.5
        elsewhere = rng.integers(self.web_shops, self.terminals, n)
        amount = self._amount(rng, customer, rng.lognormal(np.log(9.0), 0.4, n))
        terminal = np.where(online, self._web_shop(rng, n), elsewhere)
        return self._purchases(rng, customer, terminal, amount, rng.normal(15.0, 4.0, n), np.ones(n, dtype=bool))

    def _card_not_present(self, rng: np.random.Generator, customer: np.ndarray) -> pd.DataFrame:
        n = len(customer)
        amount = self._amount(rng, customer, rng.lognormal(np.log(4.0), 0.4, n))
        return self._purchases(
            rng, customer, self._web_shop(rng, n), amount, rng.uniform(0.0, 24.0, n), np.ones(n, dtype=bool)
        )

    def _web_shop(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return np.searchsorted(self.web_popularity[:-1], rng.random(n), side="right")

    def _amount(self, rng: np.random.Generator, customer: np.ndarray, factor: np.ndarray) -> np.ndarray:
        amount = self.usual_amount[customer] * rng.lognormal(-0.08, 0.4, len(customer)) * factor
        return np.asarray(np.maximum(np.round(amount, 2), 0.5))

    def _purchases(
        self,
        rng: np.random.Generator,
        customer: np.ndarray,
        terminal: np.ndarray,
        amount: np.ndarray,
        hour: np.ndarray,
        fraud: np.ndarray,
    ) -> pd.DataFrame:
        """A table of them; hours wrap around midnight within the day."""
        tap = (amount < 50.0) & (rng.random(len(customer)) < np.where(fraud, 0.4, 0.65))
        channel = np.where(terminal < self.web_shops, _ONLINE, np.where(tap, _CONTACTLESS, _CHIP))
        return pd.DataFrame(
            {
                "second": (hour % 24.0 * 3600.0).astype(np.int64) % 86_400,
                "customer_id": customer.astype(np.int32),
                "terminal_id": terminal.astype(np.int32),
                "tx_amount": amount,
                "channel": channel.astype(np.int8),
                "tx_fraud": fraud.astype(np.int8),
            }
        )


def _span(rng: np.random.Generator, day: date, n: int, shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """First day and the day after the last of `n` campaigns that begin on `day`, as ordinals."""
    begin = np.full(n, day.toordinal())
    return begin, begin + rng.integers(shortest, longest, n, endpoint=True)
