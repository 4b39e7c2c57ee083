// The price chart: candles or a line by how far one looks, executions, trades, a map of the whole.

const STEPS = [60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600];
const RANGES = [["1D", 1], ["1W", 7], ["1M", 30.44], ["3M", 91.3], ["6M", 182.6], ["1Y", 365.25]];
const MANY = 250;
// Where not every bar is here, up to so many are looked at one by one.
const FINE = 30000;

// Where bars are and what they hold. Places are numbers of bars, so nights and weekends take none.
function barBook(bars) {
  const [overview] = bars.blocks, single = bars.whole ? [overview] : bars.blocks.slice(1);

  function blockAt(index) {
    return single.find((each) => index >= each.first && index < each.first + each.count) ?? overview;
  }

  function timeOf(index) {
    const place = clamp(Math.floor(index), 0, bars.count - 1), block = blockAt(place);
    const at = Math.min(block.count - 1, Math.floor((place - block.first) / block.step));
    return block.time[at] + (place - block.first - at * block.step) * bars.seconds;
  }

  function indexOf(seconds) {
    let low = 0, high = bars.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (timeOf(middle) < seconds) low = middle + 1; else high = middle;
    }
    return low;
  }

  function take(into, block, from, to) {
    const first = Math.max(0, Math.floor((from - block.first) / block.step));
    const last = Math.min(block.count, Math.ceil((to - block.first) / block.step));
    for (let i = first; i < last; i++) {
      const start = block.first + i * block.step;
      into.push({ from: Math.max(from, start), to: Math.min(to, start + block.step, bars.count),
        step: block.step, time: block.time[i],
        open: block.open[i], high: block.high[i], low: block.low[i], close: block.close[i] });
    }
  }

  // Few bars as candles, from the finest that the page holds at each place.
  function candles(from, to) {
    const found = [];
    let at = Math.max(0, Math.floor(from));
    const end = Math.min(bars.count, Math.ceil(to));
    for (const block of bars.whole ? [overview] : single) {
      const first = Math.max(at, block.first), last = Math.min(end, block.first + block.count);
      if (last <= first) continue;
      if (first > at) take(found, overview, at, first);
      take(found, block, first, last);
      at = last;
    }
    if (at < end) take(found, overview, at, end);
    return found;
  }

  // Many bars, as what each of about `count` columns of pixels spans.
  function columns(from, to, count) {
    if (!bars.whole && to - from <= FINE) return merged(candles(from, to), (to - from) / count);
    const block = overview;
    const first = clamp(Math.floor((from - block.first) / block.step), 0, block.count - 1);
    const last = clamp(Math.ceil((to - block.first) / block.step), first + 1, block.count);
    const width = Math.max(1, Math.floor((last - first) / count));
    const found = [];
    // Columns begin at multiples of their width, so that they don't flicker while one moves.
    for (let i = first - first % width; i < last; i += width) {
      const end = Math.min(i + width, block.count);
      let high = block.high[i], low = block.low[i];
      for (let j = i + 1; j < end; j++) {
        if (block.high[j] > high) high = block.high[j];
        if (block.low[j] < low) low = block.low[j];
      }
      found.push({ from: block.first + i * block.step, to: Math.min(bars.count, block.first + end * block.step),
        step: block.step, time: block.time[i], open: block.open[i], high, low, close: block.close[end - 1] });
    }
    return found;
  }

  // Candles put together until each is at least `width` bars wide.
  function merged(parts, width) {
    const found = [];
    let last = null;
    for (const part of parts) {
      if (last && part.to - last.from <= width) {
        last.to = part.to;
        last.step = Math.max(last.step, part.step);
        last.high = Math.max(last.high, part.high);
        last.low = Math.min(last.low, part.low);
        last.close = part.close;
      } else found.push(last = part);
    }
    return found;
  }

  return { bars, timeOf, indexOf, candles, columns };
}

// Moments at which a calendar turns over, as [place, label], at most about `most` of them.
function turns(book, low, high, most) {
  most = Math.max(2, most);
  const from = book.timeOf(low), to = book.timeOf(high);
  // Closed hours take no room, so time passes faster than the width tells.
  const open = Math.max(1, (high - low) * book.bars.seconds);
  const step = STEPS.find((each) => open / each <= most);
  const found = [];
  const add = (seconds, label) => {
    const place = book.indexOf(seconds);
    const last = found[found.length - 1];
    if (place >= low && place <= high && (!last || place - last[0] >= (high - low) / most * 0.7)) {
      found.push([place, label]);
    }
  };
  if (step) {
    for (let at = Math.ceil(from / step) * step; at <= to && found.length < 200; at += step) {
      add(at, tickLabel(at, step));
    }
    return found;
  }
  const months = [1, 2, 3, 6, 12, 24, 60, 120].find((each) => (to - from) / (each * 2.63e6) <= most) ?? 1200;
  const start = new Date(from * 1000);
  let index = Math.ceil((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months) * months;
  for (; found.length < 200; index += months) {
    const at = Date.UTC(Math.floor(index / 12), index % 12, 1) / 1000;
    if (!(at <= to)) break;
    if (at >= from) add(at, tickLabel(at, months >= 12 ? 366 * 86400 : 30 * 86400));
  }
  return found;
}

function priceChart(figure, run, packs, read, trades) {
  const box = figure.querySelector(".box"), output = figure.querySelector("output");
  const note = figure.querySelector(".note-bars"), choice = figure.querySelector("select");
  const books = new Map(), executions = new Map();
  let book = null, fills = null, view = null, shown = [], asLine = false, selected = -1, marks = [];

  function open(symbol) {
    if (!books.has(symbol)) {
      books.set(symbol, barBook(readBars(read, packs[run.prices[symbol]])));
      executions.set(symbol, readFills(read, run.fills[symbol]));
    }
    book = books.get(symbol);
    fills = executions.get(symbol);
    view = makeWindow(0, book.bars.count, 10, redraw);
  }

  // The last trades, as far as candles can be told apart; all where that is everything.
  function begin() {
    const count = book.bars.count, made = fills.bar.length;
    const width = Math.floor(frameWidth() / 4);
    const last = made ? Math.min(count, fills.bar[made - 1] + Math.ceil(width / 10)) : count;
    return [last - width, last];
  }

  function redraw(low, high) {
    const width = frameWidth();
    asLine = (high - low) > width / 3;
    shown = asLine ? book.columns(low, high, width) : book.candles(low, high);
    const places = [], data = [places, [], [], []];
    for (const each of shown) {
      places.push((each.from + each.to) / 2);
      data[1].push(each.close); data[2].push(each.high); data[3].push(each.low);
    }
    plot.setData(data, false);
    plot.setScale("x", { min: low, max: high });
    const merged = shown.some((each) => each.step > 1);
    note.textContent = merged ? "Not every bar fits into this page: here each step is " +
      Math.max(...shown.map((each) => each.step)) + " bars. Around executions there are single bars." : "";
    figure.querySelectorAll("[data-days]").forEach((button) => {
      const wide = button.dataset.days === "all" ? book.bars.count : button.dataset.days * 86400 / book.bars.seconds;
      const pressed = button.dataset.days === "all" ? view.whole() : !view.whole() && Math.abs((high - low) / wide - 1) < 0.001;
      button.setAttribute("aria-pressed", String(pressed));
    });
    drawMap(low, high);
  }

  // The width of the frame in pixels; the plot itself knows it only when it has been drawn.
  function frameWidth() { return Math.max(80, box.clientWidth - AXIS - 4); }

  const x = (place) => plot.valToPos(place, "x", true);
  const y = (price) => plot.valToPos(price, "y", true);

  function drawCandles(context) {
    const ratio = devicePixelRatio;
    for (const each of shown) {
      const left = x(each.from), right = x(each.to), rising = each.close >= each.open;
      const middle = Math.round((left + right) / 2), body = Math.max(ratio, (right - left) * 0.7);
      const top = y(Math.max(each.open, each.close)), bottom = y(Math.min(each.open, each.close));
      context.fillStyle = ink(rising ? "rise" : "drop");
      context.fillRect(middle - ratio / 2, y(each.high), ratio, Math.max(ratio, y(each.low) - y(each.high)));
      context.fillRect(middle - body / 2, top, body, Math.max(ratio, bottom - top));
      if (rising && body > 4 * ratio && bottom - top > 2 * ratio) {
        context.fillStyle = ink("card");
        context.fillRect(middle - body / 2 + ratio, top + ratio, body - 2 * ratio, bottom - top - 2 * ratio);
      }
    }
  }

  function drawLine(context) {
    context.beginPath();
    shown.forEach((each, index) => context[index ? "lineTo" : "moveTo"](x((each.from + each.to) / 2), y(each.high)));
    [...shown].reverse().forEach((each) => context.lineTo(x((each.from + each.to) / 2), y(each.low)));
    context.fillStyle = ink("price-area");
    context.fill();
    context.beginPath();
    shown.forEach((each, index) => context[index ? "lineTo" : "moveTo"](x((each.from + each.to) / 2), y(each.close)));
    context.strokeStyle = ink("price");
    context.lineWidth = 1.2 * devicePixelRatio;
    context.lineJoin = "round";
    context.stroke();
  }

  function visibleMarks() {
    const [low, high] = view.get();
    const first = lowerBound(fills.bar, Math.floor(low)), last = lowerBound(fills.bar, Math.ceil(high));
    return { first, last };
  }

  function drawTrades(context, first, last) {
    const drawn = new Set();
    for (let i = first; i < last; i++) for (const trade of [fills.opened[i], fills.closed[i]]) {
      if (trade >= 0) drawn.add(trade);
    }
    if (selected >= 0 && run.symbolNow === trades.symbol[selected]) drawn.add(selected);
    for (const trade of drawn) {
      context.strokeStyle = ink(trades.profit[trade] < 0 ? "loss" : "gain");
      context.lineWidth = (trade === selected ? 2.4 : 1.2) * devicePixelRatio;
      context.setLineDash(trade === selected ? [] : [4 * devicePixelRatio, 3 * devicePixelRatio]);
      context.beginPath();
      context.moveTo(x(trades.first[trade] + 0.5), y(trades.entry[trade]));
      context.lineTo(x(trades.final[trade] + 0.5), y(trades.exit[trade]));
      context.stroke();
    }
    context.setLineDash([]);
  }

  function drawMarks(context) {
    const { first, last } = visibleMarks(), few = last - first <= MANY;
    marks = [];
    if (few) drawTrades(context, first, last);
    const size = 5 * devicePixelRatio;
    for (let i = first; i < last; i++) {
      const left = x(fills.bar[i] + 0.5), up = fills.side[i] > 0, top = y(fills.price[i]);
      const colour = ink(up ? "buy" : "sell");
      if (!few) {
        context.fillStyle = colour;
        context.fillRect(left - devicePixelRatio, top - devicePixelRatio, 2 * devicePixelRatio, 2 * devicePixelRatio);
        continue;
      }
      marks.push({ index: i, left: left / devicePixelRatio, top: top / devicePixelRatio });
      // The point of the triangle stands at the price: a buy comes from below, a sell from above.
      const way = up ? 1 : -1;
      context.beginPath();
      context.moveTo(left, top);
      context.lineTo(left + size, top + way * size * 1.8);
      context.lineTo(left - size, top + way * size * 1.8);
      context.closePath();
      context.strokeStyle = ink("card");
      context.lineWidth = 5 * devicePixelRatio;
      context.stroke();
      context.fillStyle = fills.opened[i] >= 0 ? colour : ink("card");
      context.strokeStyle = colour;
      context.lineWidth = 1.6 * devicePixelRatio;
      context.fill();
      context.stroke();
    }
  }

  function told(index) {
    const lines = [(fills.side[index] > 0 ? "Buy " : "Sell ") + upTo(fills.quantity[index], 8) + " at " +
      fixed(fills.price[index], Math.max(book.bars.digits, 0)), moment(fills.time[index])];
    const { [index]: closed } = fills.closed, { [index]: opened } = fills.opened;
    if (closed >= 0) {
      lines.push("closes trade " + (closed + 1) + ": " + signed(trades.profit[closed], 2) + " " + run.currency +
        ", " + (fills.reason.of(index) || trades.why_out.of(closed)).replaceAll("_", " "));
    }
    if (opened >= 0) {
      lines.push("opens trade " + (opened + 1) + (trades.why_in.of(opened) ? ": " + trades.why_in.of(opened) : ""));
    }
    return lines.join("\n");
  }

  function nearest(left, top) {
    let best = null, least = 14 * 14;
    const frame = { left: plot.bbox.left / devicePixelRatio, top: plot.bbox.top / devicePixelRatio };
    for (const each of marks) {
      const apart = (each.left - frame.left - left) ** 2 + (each.top - frame.top - top) ** 2;
      if (apart < least) { least = apart; best = each; }
    }
    return best;
  }

  function pointed(own) {
    const { left, top, idx } = own.cursor, at = idx == null || left < 0 ? null : shown[idx];
    if (!at) { output.textContent = ""; tip.hide(); return; }
    const price = (value) => fixed(value, book.bars.digits);
    output.textContent = moment(at.time) + "  \u00b7  O " + price(at.open) + "  H " + price(at.high) + "  L " +
      price(at.low) + "  C " + price(at.close);
    const mark = nearest(left, top);
    if (mark) tip.show(told(mark.index), left, top); else tip.hide();
  }

  // --- the map of the whole run below the chart --------------------------------------------------

  const map = figure.querySelector(".map");

  function drawMap(low, high) {
    const ratio = devicePixelRatio, width = map.clientWidth, height = map.clientHeight;
    if (!width) return;
    map.width = width * ratio; map.height = height * ratio;
    const context = map.getContext("2d"), all = book.columns(0, book.bars.count, width);
    const highest = all.reduce((most, each) => Math.max(most, each.high), -Infinity);
    const lowest = all.reduce((most, each) => Math.min(most, each.low), Infinity);
    const across = (place) => place / book.bars.count * map.width;
    const down = (price) => (highest - price) / (highest - lowest || 1) * (map.height - 6 * ratio) + 3 * ratio;
    context.beginPath();
    all.forEach((each, index) => context[index ? "lineTo" : "moveTo"](across((each.from + each.to) / 2), down(each.close)));
    context.strokeStyle = ink("price");
    context.lineWidth = ratio;
    context.stroke();
    const from = across(low), to = Math.max(from + 3 * ratio, across(high));
    context.fillStyle = ink("shade");
    context.fillRect(0, 0, from, map.height);
    context.fillRect(to, 0, map.width - to, map.height);
    context.strokeStyle = ink("equity");
    context.strokeRect(from + ratio / 2, ratio / 2, to - from - ratio, map.height - ratio);
  }

  function pullMap(event) {
    if (event.type === "pointerdown") map.setPointerCapture(event.pointerId);
    else if (!map.hasPointerCapture(event.pointerId)) return;
    const frame = map.getBoundingClientRect(), [low, high] = view.get();
    const middle = (event.clientX - frame.left) / frame.width * book.bars.count;
    view.set(middle - (high - low) / 2, middle + (high - low) / 2);
  }

  map.addEventListener("pointerdown", pullMap);
  map.addEventListener("pointermove", pullMap);

  // --- what one can press ------------------------------------------------------------------------

  function addButtons() {
    const holder = figure.querySelector(".ranges");
    holder.replaceChildren();
    const days = book.bars.count * book.bars.seconds / 86400;
    const press = (label, name, act, wide) => {
      const button = element("button", label);
      button.type = "button";
      button.setAttribute("aria-label", name);
      if (wide !== undefined) button.dataset.days = wide;
      button.addEventListener("click", act);
      holder.append(button);
    };
    for (const [label, wide] of RANGES) {
      // A year of trading days is shorter than one of days: count what is open.
      const width = wide * 86400 / book.bars.seconds * (wide > 1 && book.bars.seconds < 86400 ? 5 / 7 : 1);
      if (width >= 10 && wide < days) press(label, "Show " + label, () => {
        const middle = view.whole() ? book.bars.count : (view.get()[0] + view.get()[1]) / 2 + width / 2;
        view.set(middle - width, middle);
      }, width * book.bars.seconds / 86400);
    }
    press("All", "Show the whole run", () => view.all(), "all");
    press("\u2212", "Zoom out", () => view.zoom(1 / 0.6));
    press("+", "Zoom in", () => view.zoom(0.6));
    press("\u25c0 trade", "Previous trade", () => step(-1));
    press("trade \u25b6", "Next trade", () => step(1));
  }

  // To the trade before or after the chosen one; without one, of what is in view.
  function step(by) {
    const own = [];
    for (let i = 0; i < trades.listed; i++) if (trades.symbol[i] === run.symbolNow) own.push(i);
    own.sort((a, b) => trades.first[a] - trades.first[b] || a - b);
    if (!own.length) return;
    let at = own.indexOf(selected);
    if (at < 0) at = own.findIndex((trade) => trades.final[trade] >= view.get()[0]) - (by > 0 ? 1 : 0);
    show(own[clamp(at + by, 0, own.length - 1)]);
  }

  function show(trade) {
    selected = trade;
    if (run.symbolNow !== trades.symbol[trade]) choose(trades.symbol[trade]);
    const first = trades.first[trade], last = trades.final[trade] + 1;
    const edge = Math.max(20, (last - first) * 0.4);
    view.set(first - edge, last + edge);
    figure.querySelector(".chosen").textContent = "Trade " + (trade + 1) + ": " +
      (trades.side[trade] > 0 ? "long " : "short ") + upTo(trades.quantity[trade], 8) + ", " +
      moment(trades.entered[trade]) + " to " + moment(trades.left[trade]) + ", " +
      signed(trades.profit[trade], 2) + " " + run.currency + ", " + trades.why_out.of(trade).replaceAll("_", " ") +
      (trades.why_in.of(trade) ? ". " + trades.why_in.of(trade) : "");
  }

  function choose(symbol) {
    run.symbolNow = symbol;
    if (choice) choice.value = String(symbol);
    open(symbol);
    addButtons();
  }

  run.symbolNow = 0;
  open(0);
  const plot = makePlot(box, {
    scales: { x: { time: false, range: () => view.get() }, y: { range: (_, low, high) => room(low, high) } },
    axes: [
      axis({ size: 26, grid: { show: false },
        splits: (own, _, low, high) => turns(book, low, high, frameWidth() / 84).map(([place]) => place),
        values: (own, ticks) => {
          const { min, max } = own.scales.x, edge = (max - min) * 26 / frameWidth();
          const labels = new Map(turns(book, min, max, frameWidth() / 84));
          // A label is centred under its place: at the edges it would be cut.
          const texts = ticks.map((tick) => (tick < min + edge || tick > max - edge / 4 ? "" : labels.get(tick) ?? ""));
          // Hours alone don't tell the day.
          const first = texts.findIndex((text) => text);
          if (first >= 0 && texts.every((text) => !text || text.includes(":"))) {
            texts[first] = tickLabel(book.timeOf(ticks[first]), 86400) + " " + texts[first];
          }
          return texts;
        } }),
      { ...valueAxis((value) => fixed(value, book.bars.digits)), values: (_, ticks) => {
        const apart = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
        const places = clamp(Math.ceil(-Math.log10(apart) - 1e-9) + (String(apart).includes("25") ? 1 : 0), 0, book.bars.digits);
        return ticks.map((tick) => fixed(tick, places));
      } },
    ],
    series: [{}, ...["close", "high", "low"].map((label) => ({ label, paths: () => null, points: { show: false } }))],
    cursor: { drag: { x: false, y: false }, points: { show: false }, bind: { dblclick: () => null } },
    hooks: {
      draw: [(own) => inFrame(own, (context) => {
        if (asLine) drawLine(context); else drawCandles(context);
        drawMarks(context);
      })],
      setCursor: [pointed],
    },
  }, [[0], [null], [null], [null]]);
  const tip = makeTip(plot);
  onWheel(plot, () => view, () => true);
  onDrag(plot, () => view, (event) => {
    const frame = plot.over.getBoundingClientRect();
    const mark = nearest(event.clientX - frame.left, event.clientY - frame.top);
    const trade = mark && Math.max(fills.opened[mark.index], fills.closed[mark.index]);
    if (mark && trade >= 0) show(trade);
    box.focus({ preventScroll: true });
  });
  onKeys(box, () => view);
  plot.over.addEventListener("dblclick", () => view.all());
  if (choice) choice.addEventListener("change", () => {
    selected = -1;
    figure.querySelector(".chosen").textContent = "";
    choose(Number(choice.value));
    view.set(...begin());
  });
  new ResizeObserver(() => redraw(...view.get())).observe(map);
  document.addEventListener("repaint", () => drawMap(...view.get()));
  choose(0);
  view.set(...begin());
  return { show };
}
