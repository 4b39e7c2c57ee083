"""The page of a backtest in a real browser: it draws, zooms, sorts, filters and turns pages."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.backtest.scenes import empty, hostile, result

from mtquant.backtest.page import render

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=8000",
    "--window-size=1300,900",
    "--dump-dom",
)
PROBE = """
"use strict";
const seen = { errors: [] };
addEventListener("error", (event) => seen.errors.push(event.message));
addEventListener("unhandledrejection", (event) => seen.errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => seen.errors.push(event.violatedDirective));
const pause = (time) => new Promise((done) => setTimeout(done, time));
const all = (what) => [...document.querySelectorAll(what)];
async function probe() {
  while (!document.documentElement.dataset.ready && seen.errors.length === 0) await pause(20);
  await pause(200);
  seen.canvases = all("canvas").length;
  seen.wide = document.documentElement.scrollWidth > innerWidth;
  const price = document.querySelector(".price .box"), over = price?.querySelector(".u-over");
  const drawn = () => price.querySelector("canvas").toDataURL();
  const after = async (act) => {
    const before = drawn();
    act();
    await pause(100);
    return drawn() !== before;
  };
  if (all(".trades tbody tr").length) {
    const frame = over.getBoundingClientRect(), x = frame.left + frame.width / 2;
    const place = (at) => ({ clientX: at, clientY: frame.top + 50, pointerId: 1, bubbles: true });
    const wheel = { ...place(x), deltaY: -300, cancelable: true };
    over.setPointerCapture = () => {};
    seen.wheel = await after(() => over.dispatchEvent(new WheelEvent("wheel", wheel)));
    seen.drag = await after(() => {
      over.dispatchEvent(new PointerEvent("pointerdown", place(x)));
      over.dispatchEvent(new PointerEvent("pointermove", place(x + 150)));
      over.dispatchEvent(new PointerEvent("pointerup", place(x + 150)));
    });
    const key = new KeyboardEvent("keydown", { key: "0", bubbles: true });
    seen.key = await after(() => price.dispatchEvent(key));
    seen.pressed = all(".price [aria-pressed=true]").map((each) => each.textContent);
    const cells = (at) => all(".trades tbody tr").map((row) => row.cells[at].textContent);
    seen.rows = all(".trades tbody tr").length;
    document.querySelector("th[data-sort=profit] button").click();
    seen.best = cells(9);
    document.querySelector("[data-go=last]").click();
    seen.worst = cells(9);
    seen.page = document.querySelector(".pager output").textContent;
    const side = document.querySelector("select[data-filter=side]");
    side.value = "-1";
    side.dispatchEvent(new Event("change"));
    seen.sides = [...new Set(cells(2))];
    seen.told = document.querySelector(".count").textContent;
    seen.shown = await after(() => document.querySelector(".trades .go").click());
    seen.chosen = document.querySelector(".chosen").textContent;
  }
}
probe().catch((error) => seen.errors.push(String(error))).then(() => {
  const told = document.createElement("pre");
  told.id = "seen";
  told.textContent = JSON.stringify(seen);
  document.body.append(told);
});
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]


def probed(page: str, folder: Path) -> dict[str, Any]:
    """Return what the probe sees of ``page``; its script is let in beside the page's own."""
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    allowed = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    path = folder / "page.html"
    path.write_text(
        allowed.replace("</head>", f"<script>{PROBE}</script></head>", 1), encoding="utf-8"
    )
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', ended.stdout, re.DOTALL)
    assert found is not None, ended.stderr[-2000:]
    seen: dict[str, Any] = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<"))
    return seen


def test_the_page_answers_to_wheel_drag_keys_and_clicks(tmp_path: Path) -> None:
    run = result(3_000, ("EUR/USD", "USD/JPY"), 130)
    seen = probed(render([run]), tmp_path)
    assert seen["errors"] == []
    assert not seen["wide"]
    assert seen["canvases"] == 7, "six charts and the map below the prices"
    assert all(seen[act] for act in ("wheel", "drag", "key", "shown"))
    assert seen["pressed"] == ["All"]
    profits = sorted((float(trade.profit) for trade in run.round_trips), reverse=True)
    written = [f"{each:+,.2f}".replace("-", "\N{MINUS SIGN}") for each in profits]
    assert seen["rows"] == 50
    assert seen["best"] == written[:50]
    assert seen["worst"] == written[100:]
    assert seen["page"] == "page 3 of 3"
    assert seen["sides"] == ["short"]
    short = [float(trade.profit) for trade in run.round_trips if trade.side == "sell"]
    total = f"{sum(short):+,.2f}".replace("-", "\N{MINUS SIGN}")
    assert seen["told"] == f"{len(short)} of {len(profits)} trades, profit {total} USD"
    assert re.match(r"Trade \d+: short [\d,]+, ", seen["chosen"])


def test_a_comparison_draws_its_curves(tmp_path: Path) -> None:
    runs = [result(600, trades=40, parameters={"fast": fast}) for fast in (5, 8)]
    seen = probed(render(runs), tmp_path)
    assert seen["errors"] == []
    assert seen["canvases"] == 4, "two charts, and the maps of two runs that are folded up"


def test_a_page_of_hostile_text_and_one_of_no_trades_run_without_errors(tmp_path: Path) -> None:
    nasty = "</script><img src=x onerror='alert(1)'>"
    assert probed(render([hostile(nasty)]), tmp_path)["errors"] == []
    assert probed(render([empty()]), tmp_path)["errors"] == []
