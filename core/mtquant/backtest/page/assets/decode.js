"use strict";
// The other half of pack.py: a base64 text becomes a head and columns of numbers.

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  return { head, read: (column) => readColumn(bytes, 4 + length + column.at, column) };
}

function readColumn(bytes, start, column) {
  const count = column.n, values = new Float64Array(count);
  if (column.kind === "float") {
    // A copy, because a Float64Array must begin at a multiple of eight.
    values.set(new Float64Array(bytes.slice(start, start + 8 * count).buffer));
    return values;
  }
  const scale = column.kind === "sum" ? 10 ** column.places : 1;
  let sum = column.kind === "sum" ? column.first : 0;
  for (let i = 0; i < count; i++) {
    const at = start + i;
    const zigzag = (bytes[at] | bytes[at + count] << 8 | bytes[at + 2 * count] << 16 |
      bytes[at + 3 * count] << 24) >>> 0;
    const step = zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2;
    if (column.kind === "sum") { sum += step; values[i] = sum / scale; } else values[i] = step;
  }
  return values;
}

// Each bar series becomes blocks: { first, step, count, time, open, high, low, close }.
function readBars(read, packed) {
  const time = read(packed.time), close = read(packed.close);
  const open = read(packed.open), high = read(packed.up), low = read(packed.down);
  const scale = 10 ** packed.places;
  for (let i = close.length - 1; i >= 0; i--) {
    open[i] += close[Math.max(0, i - 1)];
    high[i] += Math.max(open[i], close[i]);
    low[i] = Math.min(open[i], close[i]) - low[i];
  }
  for (const column of [open, high, low, close]) {
    for (let i = 0; i < column.length; i++) column[i] /= scale;
  }
  let at = 0;
  const blocks = packed.blocks.map(([first, step, count]) => {
    const part = (column) => column.subarray(at, at + count);
    const block = { first, step, count, time: part(time), open: part(open), high: part(high),
      low: part(low), close: part(close) };
    at += count;
    return block;
  });
  return { ...packed, blocks };
}

function readWords(read, packed) {
  const at = read(packed.at);
  return { texts: packed.texts, at, of: (index) => packed.texts[at[index]] };
}

function readTrades(read, packed) {
  const trades = { count: packed.count };
  for (const [name, column] of Object.entries(packed.columns)) trades[name] = read(column);
  for (const name of ["strategy", "why_in", "why_out"]) trades[name] = readWords(read, packed[name]);
  trades.listed = trades.profit.length;
  return trades;
}

function readFills(read, packed) {
  const fills = {};
  for (const [name, column] of Object.entries(packed)) {
    fills[name] = name === "reason" ? readWords(read, column) : read(column);
  }
  return fills;
}
