"""``mtquant init``: a commented configuration that runs as it is."""

from __future__ import annotations

from pathlib import Path

from mtquant.errors import ConfigError

TEMPLATE = """\
# mtquant configuration. Run it with: mtquant run --config mtquant.toml
# Everything here trades paper money on invented prices. `mtquant plugins` lists what can be named.

[engine]
state_dir = "mtquant-state"     # journal, accounts, logs; relative to this file
health_interval_s = 30          # how often each connection is asked how it is
on_stop = "ask"                 # Ctrl-C: ask, keep or close positions
dead_man_s = 60                 # a watcher alarms when the engine is silent for so long, or dies

[market]
feed = "live"                   # the brokers' own quotes and bars, as time passes
timeframe = "S1"                # one-second bars, so that something happens soon
poll_s = 0.5
# bars = "quotes"               # build bars from quotes instead of asking for history
# stale_s = 120                 # a symbol without a price for so long pauses
# Or replay recorded bars through the paper brokers (then give both brokers clock = "stepped"
# and the same prices, and use the source's timeframe):
# feed = "replay"
# timeframe = "D1"
# source = { plugin = "ecb" }   # pip install "mtquant[demo]"
# speed = 20                    # bars a second; 0 is as fast as it goes

# Two paper accounts, each behind an MCP server of its own that is started for you. They spell
# symbols differently (EURUSD.a, EUR_USD); mtquant speaks EUR/USD.
[brokers.paper-a]
plugin = "paper"
symbols = ["EUR/USD", "GBP/USD", "USD/JPY"]
spelling = { suffix = ".a" }
balance = "100000"
spread_pips = "0.2"
commission_per_million = "20"   # in the account's currency, each way
clock = "real"
rebase = true                   # the account opens now ...
history = 1000                  # ... with so many bars behind it
[brokers.paper-a.prices]
plugin = "walk"                 # a seeded random walk; also: ecb, csv
timeframe = "S1"
bars = 100000                   # a day and more
[brokers.paper-a.prices.markets]
"EUR/USD" = { price = 1.10, volatility = 1.5 }
"GBP/USD" = { price = 1.27, volatility = 1.5 }
"USD/JPY" = { price = 145.0, volatility = 1.5, decimals = 3 }

[brokers.paper-b]
plugin = "paper"
symbols = ["EUR/USD", "GBP/USD", "USD/JPY"]
spelling = { separator = "_" }
quantity_step = "100"
quantity_min = "100"
spread_pips = "0.2"
clock = "real"
rebase = true
history = 1000
[brokers.paper-b.prices]
plugin = "walk"
timeframe = "S1"
bars = 100000
[brokers.paper-b.prices.markets]
"EUR/USD" = { price = 1.10, volatility = 1.5 }
"GBP/USD" = { price = 1.27, volatility = 1.5 }
"USD/JPY" = { price = 145.0, volatility = 1.5, decimals = 3 }

# A broker whose MCP server exists needs no plugin:
# [brokers.desk]
# server = "https://desk.example/mcp"
# token = "env:DESK_TOKEN"      # or file:PATH, keyring:SERVICE/NAME; never the secret itself
# command = ["mtquant-oanda-server"]   # or: start it

[route]                         # where new exposure goes: first choice first
prefer = ["paper-a", "paper-b"]
symbols = { "USD/JPY" = ["paper-b", "paper-a"] }

[strategies.trend]
plugin = "sma_cross"
symbols = ["EUR/USD", "GBP/USD", "USD/JPY"]
fast = 10
slow = 30
stop_atr = 5.0                  # protective stop, in average true ranges
mode = "auto"                   # or semi: what opens waits for `mtquant approve`; or manual
# weight = 1.0                  # its part where several strategies trade one symbol
# timeframe = "S5"              # larger bars are built from the market's

[risk]                          # every installed check applies; `false` switches one off
sizer = { plugin = "fixed_fraction", fraction = "0.0005" }  # of equity, lost at the stop
[risk.checks]
stale_price = { max_age_s = 5 }
notional = { max_order = "5" }   # in multiples of equity
[risk.breaker]                  # loss from the day's, week's start or the peak
warn_at = "0.05"
reduce_at = "0.10"
halt_at = "0.15"

# LLM agents, under the same gate: `mtquant agents add NAME` enrols one.
# [gateway]
# http = 8765                   # http://127.0.0.1:8765/mcp while `mtquant run` runs
# names = ["desk.example"]      # as clients call it, behind a TLS proxy
# dry_run = true                # everything is looked at, no agent's order is sent

[stores.csv]                    # fills.csv and equity.csv in the state folder
"""


def write(path: Path) -> None:
    """Write the template; raises ConfigError where a file is there already."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise ConfigError(str(path), "exists already", "Name another path.") from None
    except OSError as error:
        raise ConfigError(str(path), f"{error.strerror}", "Name another path.") from None
