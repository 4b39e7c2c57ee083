"""A check: no new risk on weekends, UTC."""

from mtquant import Check, Settings
from mtquant.clock import SECOND

SATURDAY = 5


class Weekend(Check[Settings]):
    name = "weekend"

    def review(self, proposal, state):
        day = (state.time // SECOND // 86_400 + 3) % 7  # 1970 began on a Thursday
        if day >= SATURDAY:
            return self.veto("weekend", "no new risk on weekends", observed=day)
        return self.approve(proposal)
