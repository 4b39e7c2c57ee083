"""A strategy: long while the price rises, short while it falls."""

from mtquant import Settings, Strategy


class MomentumSettings(Settings):
    bars: int = 3


class Momentum(Strategy[MomentumSettings]):
    name = "momentum"
    Settings = MomentumSettings

    def on_start(self):
        self.closes = []

    def on_bar(self, bar):
        self.closes = [*self.closes, bar.close][-self.settings.bars - 1 :]
        if len(self.closes) <= self.settings.bars:
            return None
        return self.long("rising") if bar.close > self.closes[0] else self.short("falling")
