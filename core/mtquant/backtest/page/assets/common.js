// How numbers, times and colours are written and found, everywhere on the page.

const MINUS = "\u2212";
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const formats = new Map();

function fixed(value, places) {
  if (!formats.has(places)) {
    formats.set(places, new Intl.NumberFormat("en", { minimumFractionDigits: places,
      maximumFractionDigits: places }));
  }
  return formats.get(places).format(value).replace("-", MINUS);
}

function upTo(value, places) {
  return new Intl.NumberFormat("en", { maximumFractionDigits: places }).format(value)
    .replace("-", MINUS);
}

function signed(value, places) { return (value > 0 ? "+" : "") + fixed(value, places); }

// Axis labels: 12,500 stays as it is, 1,250,000 becomes 1.25 M.
function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return upTo(value / 1e9, 2) + " B";
  if (size >= 1e6) return upTo(value / 1e6, 2) + " M";
  return upTo(value, size < 1 ? 6 : 2);
}

function day(seconds) {
  const at = new Date(seconds * 1000);
  return at.getUTCDate() + " " + MONTHS[at.getUTCMonth()] + " " + at.getUTCFullYear();
}

const two = (number) => String(number).padStart(2, "0");

function clock(seconds) {
  const at = new Date(seconds * 1000);
  const rest = at.getUTCSeconds() ? ":" + two(at.getUTCSeconds()) : "";
  return two(at.getUTCHours()) + ":" + two(at.getUTCMinutes()) + rest;
}

function moment(seconds) {
  return seconds % 86400 === 0 ? day(seconds) : day(seconds) + " " + clock(seconds);
}

// For tables: sorts and aligns.
function stamp(seconds) {
  const text = new Date(seconds * 1000).toISOString();
  return text.slice(0, 10) + (seconds % 86400 === 0 ? "" : " " + clock(seconds));
}

// A label for a tick of a time axis; `step` is the distance of ticks in seconds.
function tickLabel(seconds, step) {
  const at = new Date(seconds * 1000);
  if (step >= 360 * 86400) return String(at.getUTCFullYear());
  if (step >= 28 * 86400) return MONTHS[at.getUTCMonth()] + " " + at.getUTCFullYear();
  if (step >= 86400 || seconds % 86400 === 0) return at.getUTCDate() + " " + MONTHS[at.getUTCMonth()];
  return clock(seconds);
}

const colours = new Map();

function ink(name) {
  if (!colours.has(name)) {
    const style = getComputedStyle(document.documentElement);
    colours.set(name, style.getPropertyValue("--" + name).trim());
  }
  return colours.get(name);
}

function clamp(value, low, high) { return Math.min(high, Math.max(low, value)); }

// The first index of a rising column whose value isn't below `wanted`.
function lowerBound(column, wanted) {
  let low = 0, high = column.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (column[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
