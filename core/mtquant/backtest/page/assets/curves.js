// Charts over time that share one window: equity, drawdown, exposure.

function linked(times, least) {
  const members = [];
  const first = times[0], last = times[times.length - 1];
  const key = uPlot.sync("group" + plots.size);
  const view = makeWindow(first, Math.max(last, first + 1), least, (low, high) => {
    members.forEach(({ plot }) => plot.setScale("x", { min: low, max: high }));
    members.forEach(({ reset }) => { if (reset) reset.hidden = view.whole(); });
  });
  return { view, members, key: key.key };
}

// `series` are uPlot's, `read(index)` is what stands beside the title for one moment.
function curveChart(figure, group, data, { series, write, read, base, bottom, range }) {
  const box = figure.querySelector(".box"), output = figure.querySelector("output");
  const plot = makePlot(box, {
    scales: { x: { time: true, range: () => group.view.get() }, y: { range: range ?? ((_, low, high) => room(low, high)) } },
    axes: [timeAxis(bottom), valueAxis(write)],
    series: [{}, ...series],
    cursor: {
      y: false, drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => null },
      sync: { key: group.key, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      points: { size: 7 },
    },
    hooks: {
      draw: [(own) => { if (base !== undefined) horizontal(own, base); }],
      setCursor: [(own) => {
        output.textContent = own.cursor.idx === null || own.cursor.idx === undefined ||
          own.cursor.left < 0 ? "" : read(own.cursor.idx);
      }],
      setSelect: [(own) => {
        const { left, width } = own.select;
        own.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        if (width > 3) group.view.set(own.posToVal(left, "x"), own.posToVal(left + width, "x"));
      }],
    },
  }, data);
  const reset = figure.querySelector(".reset");
  if (reset) reset.addEventListener("click", () => { group.view.all(); box.focus(); });
  plot.over.addEventListener("dblclick", () => group.view.all());
  // The page scrolls on over a chart nobody has chosen.
  onWheel(plot, () => group.view, (event) => event.ctrlKey || event.metaKey || box.contains(document.activeElement));
  onKeys(box, () => group.view);
  group.members.push({ plot, reset });
  return plot;
}

function line(colour, more) {
  return { stroke: () => ink(colour), width: 1.6, points: { show: false }, spanGaps: true, ...more };
}

function runCurves(section, run, read) {
  const time = read(run.steps.time);
  if (time.length < 2) return;
  const equity = read(run.steps.equity), fall = read(run.steps.fall);
  const exposure = read(run.steps.exposure), hold = run.steps.hold && read(run.steps.hold);
  const group = linked(time, (time[time.length - 1] - time[0]) / 2000);
  const find = (name) => section.querySelector(`[data-chart="${name}"]`);
  const money = (value) => fixed(value, 2) + " " + run.currency;
  curveChart(find("equity"), group, hold ? [time, equity, hold] : [time, equity], {
    series: [line("equity", { width: 1.8 }), line("hold", { width: 1.4, dash: [6, 4] })].slice(0, hold ? 2 : 1),
    write: short, base: run.start, bottom: false,
    read: (at) => moment(time[at]) + "  \u00b7  " + money(equity[at]) +
      (hold ? "  \u00b7  held: " + money(hold[at]) : ""),
  });
  curveChart(find("fall"), group, [time, fall], {
    series: [line("fall", { width: 1.2, fill: () => ink("fall-area"), fillTo: 0 })],
    write: (value) => fixed(value, Math.abs(fall.reduce((a, b) => Math.min(a, b), 0)) < 2 ? 1 : 0) + " %",
    base: 0, bottom: false, range: (_, low) => [Math.min(low ?? 0, -0.01) * 1.08, 0],
    read: (at) => moment(time[at]) + "  \u00b7  " + fixed(fall[at], 2) + " %",
  });
  curveChart(find("exposure"), group, [time, exposure], {
    series: [line("price", { width: 1, fill: () => ink("price-area"), fillTo: 0,
      paths: uPlot.paths.stepped({ align: 1 }) })],
    write: short, base: 0, bottom: true,
    range: (_, low, high) => room(Math.min(0, low ?? 0), Math.max(0, high ?? 0)),
    read: (at) => moment(time[at]) + "  \u00b7  " + money(exposure[at]),
  });
}

// Every run's return and drawdown over one another.
function comparison(section, runs, read) {
  const shown = runs.map((run, index) => ({ run, index })).filter(({ run }) => run.steps.time.n > 1);
  if (!shown.length) return;
  const tables = (pick) => uPlot.join(shown.map(({ run }) => [read(run.steps.time), pick(run)]));
  const gain = tables((run) => read(run.steps.equity).map((each) => 100 * (each / run.start - 1)));
  const fall = tables((run) => read(run.steps.fall));
  const group = linked(gain[0], (gain[0][gain[0].length - 1] - gain[0][0]) / 2000);
  const lines = shown.map(({ index }) => line("run-" + index % 8, { width: 1.5, dash: index > 7 ? [6, 3] : undefined }));
  const values = (data) => (at) => moment(data[0][at]) + "  \u00b7  " + shown.map(({ run }, place) => {
    let from = at;
    while (from > 0 && data[place + 1][from] == null) from--;
    return run.name.split(":")[0] + " " + fixed(data[place + 1][from] ?? 0, 1) + " %";
  }).join("  \u00b7  ");
  const find = (name) => section.querySelector(`[data-chart="${name}"]`);
  const percent = (value) => fixed(value, 0) + " %";
  curveChart(find("gains"), group, gain, { series: lines, write: (value) => upTo(value, 2) + " %", base: 0, bottom: false, read: values(gain) });
  curveChart(find("falls"), group, fall, { series: lines, write: percent, base: 0, bottom: true, read: values(fall),
    range: (_, low) => [Math.min(low ?? 0, -0.01) * 1.08, 0] });
}
