// Reads what the page holds and draws each run when it comes into sight.

function startRun(section, run, head, read) {
  const trades = readTrades(read, run.trades);
  const names = run.prices.map((at) => head.prices[at].name);
  const digits = run.prices.map((at) => head.prices[at].digits);
  const find = (name) => section.querySelector(`[data-chart="${name}"]`);
  runCurves(section, run, read);
  const price = find("price") && priceChart(find("price"), run, head.prices, read, trades);
  const chosen = (trade) => {
    if (!price) return;
    price.show(trade);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    find("price").scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "nearest" });
  };
  for (const name of ["adverse", "favourable"]) {
    if (find(name)) scatterChart(find(name), run, trades, name, chosen);
  }
  const list = section.querySelector(".list");
  if (list) tradeList(list, run, trades, names, digits, chosen);
}

function onceShown(section, start) {
  const details = section.closest("details");
  if (!details || details.open) { start(); return; }
  details.addEventListener("toggle", start, { once: true });
}

document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // A page opened from a file may not write there: select it, so that Ctrl+C does.
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = "Selected: press Ctrl+C";
  }
}));

async function start() {
  const { head, read } = await unpack(document.getElementById("data").textContent);
  const front = document.querySelector(".comparison");
  if (front) comparison(front, head.runs, read);
  document.querySelectorAll("[data-run]").forEach((section) => {
    onceShown(section, () => startRun(section, head.runs[section.dataset.run], head, read));
  });
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  const failed = document.getElementById("failed");
  failed.hidden = false;
  failed.textContent = "The charts and the list of trades can't be shown: " + error.message +
    ". A browser of 2023 or later can.";
  throw error;
});
