"""What a campaign may cost beside its number of oracle calls: hours of the oracle, and money."""

from __future__ import annotations

import math
from collections.abc import Iterable

from matjax.campaign.records import Record
from matjax.config import spec


@spec
class Limits:
    """A campaign ends before the first call that would exceed one of these, judged by the mean of what calls have cost so far.

    What a call costs is what its results say (`Result.cost`, seconds of the oracle, on as many cores as it runs), failures included; the
    known set is not charged. Limits may be changed when a campaign is resumed.

    Attributes:
      hours: Hours of the oracle.
      money: In any currency.
      price_per_hour: Of an hour of the oracle, in the same currency; needed where money is limited.
    """

    hours: float = math.inf
    money: float = math.inf
    price_per_hour: float = 0.0

    def __post_init__(self) -> None:
        """Refuses limits that limit nothing or everything."""
        if not self.hours > 0 or not self.money > 0 or not self.price_per_hour >= 0:
            raise ValueError(
                f"hours is {self.hours}, money {self.money} and price_per_hour {self.price_per_hour}; hours and money must be positive, "
                "and the price not negative"
            )
        if self.money < math.inf and not self.price_per_hour:
            raise ValueError(f"money is limited to {self.money:g}, but price_per_hour is 0; say what an hour of the oracle costs")

    @property
    def hours_in_all(self) -> float:
        """Hours that both limits leave."""
        return min(self.hours, self.money / self.price_per_hour if self.price_per_hour else math.inf)

    def n_left(self, records: Iterable[Record]) -> float:
        """Calls that can still be paid: infinite where nothing is limited or nothing was measured yet."""
        hours, n = spent_hours(records)
        if self.hours_in_all == math.inf or not n:
            return math.inf
        return max(math.floor((self.hours_in_all - hours) / max(hours / n, 1e-12) + 1e-9), 0)

    def reason(self, records: Iterable[Record]) -> str:
        """Why a campaign ended here."""
        hours, n = spent_hours(records)
        told = f"{n} oracle calls took {hours:.3g} of {self.hours_in_all:.3g} hours, and another would exceed them"
        return told + (f" ({hours * self.price_per_hour:.4g} of {self.money:g} spent)" if self.money < math.inf else "")


def spent_hours(records: Iterable[Record]) -> tuple[float, int]:
    """Hours of the oracle on what was picked, and how many candidates that were."""
    costs = [sum(result.cost for result in record.results) / 3600 for record in records if record.picked and record.results]
    return sum(costs), len(costs)
