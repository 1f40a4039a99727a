// The integer nets of light networks: 1x1 and depthwise layers, passes over cells. See docs/format.md.

import { shuffleRow } from "./engine.js";
import { placesOf } from "./places.js";

const HIDDEN = [0, 255];
const WIDE = [-2047, 2047];
const MEANS = [-32767, 32767];
const Z_LIMIT = 127;
const QUALITY_LEVELS = 120;
const REACH = 2; // cells that a net sees beyond its own
const BAND = 32; // rows that a net works on at once

export class LightNets {
  constructor(engine, network) {
    this.engine = engine;
    this.spec = network.spec;
    this.network = network;
    const { side, width } = this.spec.entropy;
    this.hyper = [
      this.pointwise("h_s.0", HIDDEN), this.around("h_s.1", 3), this.pointwise("h_s.2", HIDDEN, 2), this.around("h_s.3", 3),
      this.pointwise("h_s.4", HIDDEN, 2), this.around("h_s.5", 3), this.pointwise("h_s.6", HIDDEN),
    ];
    this.nets = JSON.parse(network.metadata.parts).map((part) => {
      const name = `nets.${part.number}`;
      return {
        first: this.pointwise(`${name}.first`, HIDDEN), around: this.around(`${name}.around`, 5),
        second: this.pointwise(`${name}.second`, HIDDEN), last: this.last(`${name}.last`, part),
      };
    });
    this.channels = side;
    this.width = width;
    const shift = network.array("side.known.shift");
    const scale = Float64Array.from(shift, (value) => 2 ** -value);
    const offset = Float64Array.from(shift, (value) => (value ? 0.5 : 0));
    this.shown = { scale: engine.put(scale), offset: engine.put(offset), limit: WIDE[1] };
  }

  // ── Layers: out = clamp(floor((sum + bias) * 2^-shift), low, high), with sums that float32 holds ─────────────

  arrays(name) {
    const [weight, bias, shift] = ["weight", "bias", "shift"].map((part) => this.network.array(`side.${name}.${part}`));
    const scale = Float64Array.from(shift, (value) => 2 ** -value);
    return { weight, scale, offset: scale.map((value, o) => bias[o] * value) };
  }

  /** Rows of a layer, in an order of their own, as a product of matrices. */
  rows({ weight, scale, offset }, rows, bounds, up = 1) {
    const { engine } = this;
    const inputs = weight.length / scale.length;
    const rowOf = (o) => rows[o];
    const pick = (values) => Float64Array.from(rows, (row) => values[row]);
    return {
      outputs: rows.length, inputs, bounds, up, weight: engine.packed(weight, rows.length, inputs, rowOf),
      scale: engine.padded(pick(scale), Float64Array), offset: engine.padded(pick(offset), Float64Array),
    };
  }

  pointwise(name, bounds, up = 1) {
    const arrays = this.arrays(name);
    const count = arrays.scale.length;
    const order = up > 1 ? shuffleRow(count / up ** 2, up) : (o) => o;
    return this.rows(arrays, Array.from({ length: count }, (_, o) => order(o)), bounds, up);
  }

  around(name, kernel) {
    const { engine } = this;
    const { weight, scale, offset } = this.arrays(name);
    const none = new Float32Array(scale.length);
    const layer = engine.depthwise(Float32Array.from(weight), none);
    return { ...layer, kernel, scale: engine.put(scale), offset: engine.put(offset) };
  }

  /** For each group of channels, its means and its tables. */
  last(name, part) {
    const arrays = this.arrays(name);
    const groups = part.cells?.length ?? 1;
    const half = arrays.scale.length / 2;
    const rows = (begin, group) => Array.from({ length: half / groups }, (_, n) => begin + group + n * groups);
    return Array.from({ length: groups }, (_, group) => ({
      mean: this.rows(arrays, rows(0, group), MEANS), index: this.rows(arrays, rows(half, group), [0, this.spec.scales - 1]),
    }));
  }

  product(layer, x, out) {
    this.engine.kernels.matmul_integer(
      x.at, x.channels, layer.weight, layer.scale, layer.offset, out.at, out.channels, x.height * x.width, layer.inputs,
      layer.outputs, ...layer.bounds);
    return out;
  }

  run(layer, x) {
    const { engine } = this;
    if (layer.kernel) {
      const out = engine.around(layer, x, engine.map(x.height, x.width, x.channels));
      engine.kernels.requantise(out.at, layer.scale, layer.offset, x.height * x.width, x.channels, ...WIDE);
      return out;
    }
    const out = this.product(layer, x, engine.map(x.height, x.width, layer.outputs));
    return layer.up > 1 ? engine.shuffled(out, layer.up) : out;
  }

  // ── The nets ────────────────────────────────────────────────────────────────────────────────────────────────

  /** h_s: symbols of z and the quality in thousandths to what every part sees. */
  side(symbols, rows, columns, quality) {
    const { engine } = this;
    const made = engine.map(4 * rows, 4 * columns, this.channels);
    engine.scratch(() => {
      const channels = this.spec.hyper_latents;
      const x = engine.map(rows, columns, channels + 1);
      const values = engine.valuesOf(x);
      const level = qualityLevel(quality, this.spec.lambdas.length);
      for (let position = 0; position < rows * columns; position++) {
        for (let c = 0; c < channels; c++) values[position * (channels + 1) + c] = bounded(symbols[position * channels + c]);
        values[position * (channels + 1) + channels] = level;
      }
      const found = this.hyper.reduce((map, layer) => this.run(layer, map), x);
      engine.kernels.copy(found.at, found.channels, made.at, made.channels, made.height * made.width, made.channels);
    });
    return made;
  }

  /** Mean in 1/64 (float32) and table (a byte) of every latent of a part, in the order of its stream, at two addresses. */
  parameters(part, side, known, means, indexes) {
    for (let top = 0; top < side.height; top += BAND) {
      const bottom = Math.min(top + BAND, side.height);
      this.engine.scratch(() => this.band(part, side, known, means, indexes, top, bottom));
    }
  }

  band(part, side, known, means, indexes, top, bottom) {
    const { engine } = this;
    const { first, around, second, last } = this.nets[part.number];
    const [above, below] = [Math.max(top - REACH, 0), Math.min(bottom + REACH, side.height)];
    const { width } = side;
    const x = engine.map(below - above, width, first.inputs);
    const fill = (from, begin, count) => count && engine.kernels.copy(
      from.at + 4 * above * width * from.channels, from.channels, x.at + 4 * begin, x.channels, x.height * width, count);
    fill(side, 0, side.channels);
    fill(known, side.channels, part.seen);
    const seen = this.run(around, this.run(first, x));
    const inner = { ...seen, at: seen.at + 4 * (top - above) * width * seen.channels, height: bottom - top };
    const hidden = this.run(second, inner);
    const channels = part.channels[1] - part.channels[0];
    let done = 0; // latents of the places before, of the whole map
    for (const place of placesOf(part)) {
      const cells = this.cells(hidden, place);
      const { mean, index } = last[place.group];
      const at = done + (top / place.step) * (width / place.step) * mean.outputs;
      const count = cells.height * cells.width * mean.outputs;
      this.product(mean, cells, { at: means + 4 * at, channels: mean.outputs });
      const tables = this.product(index, cells, engine.map(cells.height, cells.width, index.outputs));
      engine.kernels.to_bytes(tables.at, indexes + at, count);
      done += (side.height / place.step) * (width / place.step) * (channels / place.groups);
    }
  }

  /** Every other cell of every other row, from one on. */
  cells(map, { row, column, step }) {
    if (step === 1) return map;
    const { engine } = this;
    const { width, channels } = map;
    const out = engine.map(map.height / step, width / step, channels);
    for (let y = 0; y < out.height; y++) {
      const from = map.at + 4 * channels * ((step * y + row) * width + column);
      engine.kernels.copy(from, step * channels, out.at + 4 * y * out.width * channels, channels, out.width, channels);
    }
    return out;
  }
}

const bounded = (value) => Math.max(-Z_LIMIT, Math.min(Z_LIMIT, value));

function qualityLevel(thousandths, qualities) {
  if (qualities === 1) return 0;
  const [distance, half] = [thousandths - 500 * (qualities + 1), 500 * (qualities - 1)];
  return bounded(Math.floor((2 * QUALITY_LEVELS * distance + half) / (2 * half)));
}
