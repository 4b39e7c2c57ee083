// Profit against how far the price went against or for each trade.

function scatterChart(figure, run, trades, name, chosen) {
  const size = trades.listed, box = figure.querySelector(".box"), output = figure.querySelector("output");
  if (!size) return;
  const across = Float64Array.from(trades[name], (value, index) => 100 * value / trades.entry[index]);
  const order = Uint32Array.from(across.keys()).sort((a, b) => across[a] - across[b]);
  const data = [Array.from(order, (trade) => across[trade]), Array.from(order, (trade) => trades.profit[trade])];
  const most = Math.max(data[0][size - 1], 1e-6) * 1.04;
  const plot = makePlot(box, {
    padding: [8, 0, 0, 14],
    scales: { x: { time: false, range: () => [-most * 0.01, most] },
      y: { range: (_, low, high) => room(Math.min(0, low), Math.max(0, high)) } },
    axes: [axis({ size: 26, space: 60, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => upTo(tick, 4) + " %") }), valueAxis(short)],
    series: [{}, { paths: () => null, points: { show: false } }],
    cursor: { drag: { x: false, y: false }, points: { show: false }, bind: { dblclick: () => null } },
    hooks: {
      draw: [(own) => {
        horizontal(own, 0);
        inFrame(own, (context) => {
          const dot = (size > 5000 ? 1 : size > 1000 ? 1.6 : 2.6) * devicePixelRatio;
          for (const winners of [false, true]) {
            context.fillStyle = ink(winners ? "gain" : "loss");
            context.globalAlpha = size > 1000 ? 0.45 : 0.75;
            for (let i = 0; i < size; i++) {
              if (data[1][i] >= 0 !== winners) continue;
              const left = own.valToPos(data[0][i], "x", true), top = own.valToPos(data[1][i], "y", true);
              context.beginPath();
              if (winners) context.arc(left, top, dot, 0, 7);
              else context.rect(left - dot, top - dot, 2 * dot, 2 * dot);
              context.fill();
            }
          }
        });
      }],
      setCursor: [(own) => {
        const at = near(own.cursor.left, own.cursor.top);
        output.textContent = at < 0 ? "" : "Trade " + (order[at] + 1) + "  \u00b7  " + fixed(data[0][at], 3) + " %  \u00b7  " +
          signed(data[1][at], 2) + " " + run.currency;
      }],
    },
  }, data);

  function near(left, top) {
    if (left === undefined || left < 0) return -1;
    let best = -1, least = 15 * 15;
    for (let i = 0; i < size; i++) {
      const aside = plot.valToPos(data[0][i], "x") - left;
      if (Math.abs(aside) > 15) continue;
      const apart = aside ** 2 + (plot.valToPos(data[1][i], "y") - top) ** 2;
      if (apart < least) { least = apart; best = i; }
    }
    return best;
  }

  plot.over.addEventListener("click", () => {
    const at = near(plot.cursor.left, plot.cursor.top);
    if (at >= 0) chosen(order[at]);
  });
}
