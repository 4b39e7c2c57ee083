// The list of trades: sorted by any column, filtered, a page at a time.

const ROWS = 50;

function tradeList(section, run, trades, names, digits, chosen) {
  const body = section.querySelector("tbody"), told = section.querySelector(".count");
  const pager = section.querySelector(".pager"), heads = [...section.querySelectorAll("th[data-sort]")];
  const filters = [...section.querySelectorAll("select[data-filter]")];
  const keys = {
    number: (i) => i, symbol: (i) => names[trades.symbol[i]], side: (i) => -trades.side[i],
    quantity: (i) => trades.quantity[i], entered: (i) => trades.entered[i], entry: (i) => trades.entry[i],
    left: (i) => trades.left[i], exit: (i) => trades.exit[i], bars: (i) => trades.bars[i],
    profit: (i) => trades.profit[i], costs: (i) => trades.costs[i], adverse: (i) => trades.adverse[i] / trades.entry[i],
    favourable: (i) => trades.favourable[i] / trades.entry[i], why: (i) => trades.why_out.of(i),
    reason: (i) => trades.why_in.of(i),
  };
  const passes = {
    symbol: (i, wanted) => trades.symbol[i] === Number(wanted),
    side: (i, wanted) => trades.side[i] === Number(wanted),
    why: (i, wanted) => trades.why_out.at[i] === Number(wanted),
    strategy: (i, wanted) => trades.strategy.at[i] === Number(wanted),
    outcome: (i, wanted) => (trades.profit[i] >= 0) === (wanted === "won"),
  };
  let order = [], page = 0, by = "number", falling = false;

  function arrange() {
    const wanted = filters.filter((each) => each.value !== "").map((each) => [passes[each.dataset.filter], each.value]);
    order = [];
    for (let i = 0; i < trades.listed; i++) if (wanted.every(([pass, value]) => pass(i, value))) order.push(i);
    const key = keys[by], way = falling ? -1 : 1;
    const values = Array.from({ length: trades.listed }, (_, i) => key(i));
    order.sort((a, b) => (values[a] < values[b] ? -way : values[a] > values[b] ? way : a - b));
    page = 0;
    const sum = order.reduce((total, i) => total + trades.profit[i], 0);
    const all = trades.listed.toLocaleString("en");
    told.textContent = (order.length === trades.listed ? all + " trades" : order.length.toLocaleString("en") + " of " + all + " trades") +
      ", profit " + signed(sum, 2) + " " + run.currency;
    heads.forEach((head) => head.setAttribute("aria-sort", head.dataset.sort !== by ? "none" : falling ? "descending" : "ascending"));
    fill();
  }

  function fill() {
    const pages = Math.max(1, Math.ceil(order.length / ROWS));
    page = clamp(page, 0, pages - 1);
    body.replaceChildren(...order.slice(page * ROWS, (page + 1) * ROWS).map(row));
    pager.querySelector("output").textContent = "page " + (page + 1).toLocaleString("en") + " of " + pages.toLocaleString("en");
    pager.querySelectorAll("button").forEach((button) => {
      button.disabled = button.dataset.go === "first" || button.dataset.go === "back" ? page === 0 : page >= pages - 1;
    });
    pager.hidden = pages === 1;
  }

  function row(i) {
    const made = element("tr"), places = digits[trades.symbol[i]];
    const cell = (text, kind) => { const each = element("td", text, kind); made.append(each); return each; };
    const press = element("button", String(i + 1), "go");
    press.type = "button";
    press.setAttribute("aria-label", "Show trade " + (i + 1) + " in the price chart");
    cell("").append(press);
    cell(names[trades.symbol[i]]);
    cell(trades.side[i] > 0 ? "long" : "short");
    cell(upTo(trades.quantity[i], 8), "n more");
    cell(stamp(trades.entered[i]));
    cell(fixed(trades.entry[i], places), "n more");
    cell(stamp(trades.left[i]), "more");
    cell(fixed(trades.exit[i], places), "n more");
    cell(fixed(trades.bars[i], 0), "n more");
    cell(signed(trades.profit[i], 2), "n " + (trades.profit[i] < 0 ? "lost" : "won"));
    cell(fixed(trades.costs[i], 2), "n more");
    cell(fixed(100 * keys.adverse(i), 2), "n more");
    cell(fixed(100 * keys.favourable(i), 2), "n more");
    cell(trades.why_out.of(i).replaceAll("_", " "));
    cell(trades.why_in.of(i), "long more");
    made.addEventListener("click", () => chosen(i));
    return made;
  }

  heads.forEach((head) => head.querySelector("button").addEventListener("click", () => {
    falling = by === head.dataset.sort ? !falling : ["profit", "costs", "adverse", "favourable", "bars", "quantity"].includes(head.dataset.sort);
    by = head.dataset.sort;
    arrange();
  }));
  filters.forEach((each) => each.addEventListener("change", arrange));
  pager.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => {
    const pages = Math.ceil(order.length / ROWS);
    page = { first: 0, back: page - 1, on: page + 1, last: pages - 1 }[button.dataset.go];
    fill();
  }));
  const choices = { symbol: names, why: trades.why_out.texts, strategy: trades.strategy.texts };
  filters.forEach((each) => (choices[each.dataset.filter] ?? []).forEach((text, index) => {
    const option = element("option", each.dataset.filter === "why" ? text.replaceAll("_", " ") : text);
    option.value = String(index);
    each.append(option);
  }));
  arrange();
}
