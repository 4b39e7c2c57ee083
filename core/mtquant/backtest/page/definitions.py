"""What the words on the page mean."""

from __future__ import annotations

DEFINITIONS = """<section><details><summary>What the words mean</summary><dl>
<dt>Equity</dt><dd>The balance and the profit of open positions, at the close of each bar.</dd>
<dt>Drawdown</dt><dd>How far equity lies below the highest it has been, in percent of that.</dd>
<dt>CAGR</dt><dd>Compound annual growth rate: the constant return a year that leads from the first
equity to the last.</dd>
<dt>Sharpe, Sortino</dt><dd>The mean of daily returns over their standard deviation (W. F. Sharpe,
1994), or over the deviation of the returns below zero alone (F. Sortino, 1994), times the square
root of 252.</dd>
<dt>Calmar</dt><dd>CAGR over the maximum drawdown.</dd>
<dt>Profit factor</dt><dd>What the winning trades earned over what the losing ones lost.</dd>
<dt>Expectancy</dt><dd>The mean profit of a closed trade; in R, of profit over what its first stop
risked.</dd>
<dt>SQN</dt><dd>System quality number (V. Tharp): the mean profit of a trade over its standard
deviation, times the square root of the number of trades.</dd>
<dt>Value at risk, expected shortfall</dt><dd>One day in twenty lost more than the first; such
days lost the second on average.</dd>
<dt>MAE, MFE</dt><dd>Maximum adverse and maximum favourable excursion (J. Sweeney, 1997): how far
the price went against a trade, and its way, while it was held; in percent of the entry price.</dd>
<dt>Trade</dt><dd>From flat to flat in one symbol. Profit is net of spread, commission, slippage and
swap.</dd>
<dt>Buy and hold</dt><dd>The start balance spread equally over the symbols at the first bar and kept
there: mid prices, no costs, no leverage.</dd>
</dl></details></section>
"""
