"use strict";
// One read-out for all charts: they share the time axis, so pointing at one points at all.
const charts = JSON.parse(document.getElementById("points").textContent);
const plots = [...document.querySelectorAll(".plot")];
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 7 });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" });
const hour = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

function nearest(times, wanted) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low > 0 && wanted - times[low - 1] < times[low] - wanted ? low - 1 : low;
}

function point(share) {
  plots.forEach((plot, index) => {
    const chart = charts[index];
    const at = nearest(chart.t, chart.start + share * (chart.end - chart.start));
    const x = 100 * (chart.t[at] - chart.start) / Math.max(1, chart.end - chart.start) + "%";
    const y = 100 * (chart.high - chart.v[at]) / (chart.high - chart.low) + "%";
    const cross = plot.querySelector(".cross"), dot = plot.querySelector(".dot");
    cross.setAttribute("x1", x); cross.setAttribute("x2", x);
    dot.setAttribute("cx", x); dot.setAttribute("cy", y);
    plot.classList.add("on");
    const time = new Date(chart.t[at] * 1000);
    const when = (chart.end - chart.start < 9e6 ? hour : day).format(time);
    plot.closest("figure").querySelector(".read").textContent =
      when + "  \u00b7  " + number.format(chart.v[at]) + chart.unit;
  });
}

function leave() {
  plots.forEach((plot) => {
    plot.classList.remove("on");
    plot.closest("figure").querySelector(".read").textContent = "";
  });
}

plots.forEach((plot) => {
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    point(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  });
  plot.addEventListener("pointerleave", leave);
});
