"""The ports: what a broker, strategy, indicator, check, sizer, source, store and notifier are.

``Broker`` is read twice: ``mtquant.wire.serve`` turns each of its tool methods into an MCP tool
of the same name, and ``mtquant.wire.Remote`` is a ``Broker`` whose other end is such a server.
Adding a tool is adding a method here, and nothing else.
"""

from mtquant.contract.agent import (
    EVERY,
    Agent,
    AgentBudget,
    AgentScope,
    AgentStanding,
    agent_of,
    source_of,
)
from mtquant.contract.broker import (
    CONTRACT_VERSION,
    WATCH_LIMIT_S,
    BarCount,
    Broker,
    Limit,
    Scope,
    Tool,
    tool,
    tools_of,
)
from mtquant.contract.condition import Crossing
from mtquant.contract.exposure import Exposure, Part, Sums, Totals
from mtquant.contract.indicator import Indicator, Line
from mtquant.contract.parameters import Parameter, parameters
from mtquant.contract.plugin import Plugin, S, Settings
from mtquant.contract.ports import BrokerPlugin, Endpoint, Level, Notifier, Source, Store
from mtquant.contract.risk import (
    BreakerLevel,
    Check,
    ClosedTrade,
    Finding,
    Portfolio,
    Proposal,
    RiskState,
    Sent,
    Sizer,
    TradeRecord,
    Verdict,
)
from mtquant.contract.strategy import Strategy, Wishes
from mtquant.contract.worst import Worst

__all__ = [
    "CONTRACT_VERSION",
    "EVERY",
    "WATCH_LIMIT_S",
    "Agent",
    "AgentBudget",
    "AgentScope",
    "AgentStanding",
    "BarCount",
    "BreakerLevel",
    "Broker",
    "BrokerPlugin",
    "Check",
    "ClosedTrade",
    "Crossing",
    "Endpoint",
    "Exposure",
    "Finding",
    "Indicator",
    "Level",
    "Limit",
    "Line",
    "Notifier",
    "Parameter",
    "Part",
    "Plugin",
    "Portfolio",
    "Proposal",
    "RiskState",
    "S",
    "Scope",
    "Sent",
    "Settings",
    "Sizer",
    "Source",
    "Store",
    "Strategy",
    "Sums",
    "Tool",
    "Totals",
    "TradeRecord",
    "Verdict",
    "Wishes",
    "Worst",
    "agent_of",
    "parameters",
    "source_of",
    "tool",
    "tools_of",
]
