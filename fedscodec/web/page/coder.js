// The stream coder: tables in WebAssembly memory, and symbols read from a stream. See docs/format.md.

import { FormatError } from "./container.js";

const TOTAL = 2 ** 24;
const FAULTS = [
  null, "it ends before its last symbol", "an escaped symbol is further than 65535 from its table",
  "a symbol does not fit 16 bits",
];

/** A set of frequency tables where the kernels find them. low, high: [T]; frequencies [T, W], ESCAPE behind the last. */
export class Tables {
  constructor(engine, low, high, frequencies, skip) {
    this.count = low.length;
    this.skip = skip;
    if (this.count > 256) throw new Error(`${this.count} tables are more than the viewer knows`);
    const width = frequencies.length / this.count;
    const records = new Int32Array(4 * this.count);
    this.largest = 0;
    this.escape = TOTAL;
    for (let k = 0; k < this.count; k++) {
      const used = high[k] - low[k] + 1;
      const row = frequencies.subarray(k * width, k * width + used + 1);
      const starts = new Uint32Array(used + 2);
      starts[1] = row[used];
      for (let n = 0; n < used; n++) starts[n + 2] = starts[n + 1] + row[n];
      if (starts[used + 1] !== TOTAL) throw new Error("a frequency table does not sum to 2**24");
      const near = new Uint16Array(256);
      for (let bucket = 0, symbol = 0; bucket < 256; bucket++) {
        while (starts[symbol + 1] <= bucket << 16) symbol++;
        near[bucket] = symbol;
      }
      records.set([low[k], high[k], engine.put(starts), engine.put(near)], 4 * k);
      this.largest = row.reduce((a, b) => Math.max(a, b), this.largest);
      this.escape = Math.min(this.escape, row[used]);
    }
    this.at = engine.put(records);
  }

  /** How many bytes a stream of so many symbols has at least, whatever they are. */
  leastBytes(count) {
    if (count === 0 || this.skip) return 0;
    const grown = Math.max(count - Math.ceil(this.largest / this.escape), 0);
    return Math.max(1, Math.floor((grown * 0.5 * Math.log2(TOTAL / this.largest)) / 8));
  }
}

export const streamName = (number) => (number ? `slice ${number}` : "z");

/** Reads one stream after the other. */
export class StreamReader {
  constructor(engine, streams) {
    this.engine = engine;
    this.streams = streams;
    this.number = -1;
  }

  fail(sentence) {
    return new FormatError(`the ${streamName(this.number)} stream is damaged: ${sentence}`);
  }

  /** Go on to the next stream, which lies in memory until `end`. */
  begin() {
    this.number += 1;
    const data = this.streams[this.number];
    if (data.length && data[data.length - 1] === 0) throw this.fail("it ends in a zero byte");
    const count = Math.ceil(data.length / 4);
    const at = this.engine.alloc(4 * count);
    const bytes = this.engine.bytes(at, 4 * count).fill(0);
    bytes.set(data);
    this.engine.kernels.stream_open(at, count);
    this.read = 0;
  }

  /** Symbols of `count` indexes (bytes at an address) as int16 at the address that is returned. */
  part(tables, indexes, count) {
    const { engine } = this;
    const out = engine.alloc(2 * count);
    const fault = engine.scratch(() => {
      const work = engine.alloc(16 * count);
      return engine.kernels.stream_read(tables.at, tables.count, tables.skip, indexes, count, out, work);
    });
    if (fault) throw this.fail(FAULTS[fault]);
    this.read += count;
    return out;
  }

  end() {
    const tooLong = this.streams[this.number].length > 7 * this.read + 3 * (this.read > 0);
    if (tooLong || !this.engine.kernels.stream_done()) throw this.fail("it goes on behind its last symbol");
  }
}
