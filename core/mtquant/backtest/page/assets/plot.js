// What all charts share: size, theme, axes, and how a reader moves along them.

const plots = new Set();
const AXIS = 68;
const PAPER = 640;

function makePlot(box, options, data) {
  const plot = new uPlot({
    width: Math.max(200, box.clientWidth), height: box.clientHeight, legend: { show: false },
    padding: [8, 0, 0, 4],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    ...options,
  }, data, box);
  plots.add(plot);
  new ResizeObserver(() => {
    if (box.clientWidth > 0) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }).observe(box);
  return plot;
}

function axis(more) {
  return {
    stroke: () => ink("soft"), font: "12px system-ui, sans-serif",
    grid: { stroke: () => ink("line"), width: 1 }, ticks: { show: false }, ...more,
  };
}

function valueAxis(write) {
  return axis({ side: 1, size: AXIS, gap: 6, space: 34, values: (_, ticks) => ticks.map(write) });
}

function timeAxis(show) {
  return axis({
    show, size: 26, space: 84, grid: { show: false },
    values: (_, ticks, index, space, step) => ticks.map((tick) => tickLabel(tick, step)),
  });
}

function room(low, high) {
  if (low === null || high === null || low === undefined) return [0, 1];
  const edge = (high - low) * 0.06 || Math.abs(high) * 0.01 || 1;
  return [low - edge, high + edge];
}

// Draws with `paint(context)` inside the plot's frame.
function inFrame(plot, paint) {
  const context = plot.ctx, frame = plot.bbox;
  context.save();
  context.beginPath();
  context.rect(frame.left, frame.top, frame.width, frame.height);
  context.clip();
  paint(context);
  context.restore();
}

function horizontal(plot, value) {
  inFrame(plot, (context) => {
    const y = Math.round(plot.valToPos(value, "y", true)) + 0.5;
    context.strokeStyle = ink("soft");
    context.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    context.beginPath();
    context.moveTo(plot.bbox.left, y);
    context.lineTo(plot.bbox.left + plot.bbox.width, y);
    context.stroke();
  });
}

// A window on a longer axis, that wheel, keys and buttons move. `changed(low, high)` redraws.
function makeWindow(first, last, least, changed) {
  let low = first, high = last;
  const set = (from, to) => {
    const width = clamp(to - from, Math.min(least, last - first), last - first);
    const start = clamp(from, first, last - width);
    low = start; high = start + width;
    changed(low, high);
  };
  return {
    set,
    get: () => [low, high],
    all: () => set(first, last),
    whole: () => high - low >= last - first,
    move: (share) => set(low + share * (high - low), high + share * (high - low)),
    zoom: (factor, at = (low + high) / 2) => set(at - (at - low) * factor, at + (high - at) * factor),
  };
}

const KEYS = {
  ArrowLeft: (view) => view.move(-0.15), ArrowRight: (view) => view.move(0.15),
  PageUp: (view) => view.move(-0.9), PageDown: (view) => view.move(0.9),
  "+": (view) => view.zoom(0.7), "=": (view) => view.zoom(0.7), "-": (view) => view.zoom(1 / 0.7),
  Home: (view) => view.all(), "0": (view) => view.all(),
};

function onKeys(box, view) {
  box.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(view());
  });
}

// `view()` is the window now; the wheel zooms at the pointer, sideways it moves.
function onWheel(plot, view, wanted) {
  plot.over.addEventListener("wheel", (event) => {
    if (!wanted(event)) return;
    const out = event.deltaY > 0;
    if (out && view().whole() && Math.abs(event.deltaY) >= Math.abs(event.deltaX)) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      view().move(event.deltaX / plot.over.clientWidth);
      return;
    }
    const at = plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x");
    view().zoom(1.0018 ** clamp(event.deltaY, -300, 300), at);
  }, { passive: false });
}

// One pointer pulls the chart along, two pull it apart; `tapped` is a press without a pull.
function onDrag(plot, view, tapped) {
  const held = new Map();
  const over = plot.over;
  let travelled = 0;
  over.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held.set(event.pointerId, event.clientX);
    over.setPointerCapture(event.pointerId);
    travelled = 0;
  });
  over.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    const before = held.get(event.pointerId), by = event.clientX - before;
    travelled += Math.abs(by);
    if (held.size === 1) view().move(-by / over.clientWidth);
    else {
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      const old = Math.abs(before - other), now = Math.abs(event.clientX - other);
      const middle = (event.clientX + other) / 2 - over.getBoundingClientRect().left;
      if (old > 8 && now > 8) view().zoom(old / now, plot.posToVal(middle, "x"));
    }
    held.set(event.pointerId, event.clientX);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    over.addEventListener(end, (event) => {
      if (!held.delete(event.pointerId)) return;
      if (end === "pointerup" && travelled < 4 && tapped) tapped(event);
    });
  }
}

function makeTip(plot) {
  const tip = element("div", "", "tip");
  tip.hidden = true;
  plot.over.append(tip);
  return {
    show: (text, x, y) => {
      tip.textContent = text;
      tip.hidden = false;
      const left = clamp(x + 14, 0, Math.max(0, plot.over.clientWidth - tip.offsetWidth));
      const below = y + 16 + tip.offsetHeight < plot.over.clientHeight;
      tip.style.left = left + "px";
      tip.style.top = (below ? y + 16 : Math.max(0, y - tip.offsetHeight - 12)) + "px";
    },
    hide: () => { tip.hidden = true; },
  };
}

function repaint() {
  colours.clear();
  plots.forEach((plot) => plot.redraw(false, true));
  document.dispatchEvent(new Event("repaint"));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("paper");
  document.querySelectorAll("details.run").forEach((each) => { each.open = true; });
  repaint();
  // Paper is narrower than most screens, and a drawing can't be laid out anew by the printer.
  plots.forEach((plot) => plot.setSize({ width: Math.min(plot.width, PAPER), height: plot.height }));
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("paper");
  repaint();
  plots.forEach((plot) => plot.setSize({ width: plot.root.parentElement.clientWidth, height: plot.height }));
});
