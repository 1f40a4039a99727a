// The integer nets of networks of the paper's size: 3x3 layers, slices of channels. See docs/format.md.

import { shuffleRow, windowOrder } from "./engine.js";

const EXACT = 2 ** 24; // float32 holds every integer below it
const HIDDEN = [0, 127];
const SIGNED = [-127, 127];
const MEANS = [-32767, 32767];

export class PaperNets {
  constructor(engine, network) {
    this.engine = engine;
    this.spec = network.spec;
    const depth = this.spec.slice_filters.length;
    const layer = (name, bounds, up) => integerLayer(engine, network, `side.${name}`, bounds, up);
    this.hyper = [1, 2, 1, 2, 1].map((up, j) => layer(`h_s.${j}`, j === 4 ? SIGNED : HIDDEN, up));
    this.slices = Array.from({ length: this.spec.slices }, (_, i) => {
      const stack = (name, last) => Array.from({ length: depth }, (_, j) =>
        layer(`nets.${i}.${name}.${j}`, j === depth - 1 ? last : HIDDEN, 1));
      return {
        first: layer(`nets.${i}.first`, HIDDEN, 1), mean: stack("mean", MEANS), index: stack("index", [0, this.spec.scales - 1]),
      };
    });
    const [multiplier, shift] = [network.array("side.context.multiplier"), network.array("side.context.shift")];
    const scale = Float64Array.from(multiplier, (value, c) => value * 2 ** -shift[c]);
    // What later parts are shown of a latent: clamp(floor(latent * scale + offset), -limit, limit).
    this.shown = { scale: engine.put(scale), offset: engine.put(scale.map(() => 0.5)), limit: 127 };
  }

  /** h_s: symbols of z and the quality in thousandths to what every part sees. */
  side(symbols, rows, columns, quality) {
    const { engine } = this;
    const channels = this.spec.hyper_latents;
    const distance = Math.floor((quality - 500 * (this.spec.lambdas.length + 1)) / 32);
    const x = engine.map(rows, columns, channels + 1);
    const values = engine.valuesOf(x);
    for (let position = 0; position < rows * columns; position++) {
      for (let c = 0; c < channels; c++) values[position * (channels + 1) + c] = bounded(symbols[position * channels + c]);
      values[position * (channels + 1) + channels] = bounded(distance);
    }
    return this.hyper.reduce((map, layer) => this.run(layer, map), x);
  }

  /** Mean in 1/16 (float32) and table (a byte) of every latent of a part, at two addresses. */
  parameters(part, side, known, means, indexes) {
    const { engine } = this;
    const { first, mean, index } = this.slices[part.number];
    const x = engine.map(side.height, side.width, side.channels + part.seen);
    this.fill(x, side, 0, side.channels);
    this.fill(x, known, side.channels, part.seen);
    const both = this.run(first, x);
    const half = both.channels / 2;
    const through = (layers, begin) => {
      const map = engine.map(both.height, both.width, half);
      engine.kernels.copy(both.at + 4 * begin, both.channels, map.at, half, both.height * both.width, half);
      return layers.reduce((seen, layer) => this.run(layer, seen), map);
    };
    const found = through(mean, 0);
    engine.kernels.copy(found.at, found.channels, means, found.channels, found.height * found.width, found.channels);
    const tables = through(index, half);
    engine.kernels.to_bytes(tables.at, indexes, tables.height * tables.width * tables.channels);
  }

  fill(x, from, begin, count) {
    if (count) this.engine.kernels.copy(from.at, from.channels, x.at + 4 * begin, x.channels, x.height * x.width, count);
  }

  run(layer, x) {
    const { engine } = this;
    const out = engine.map(x.height, x.width, layer.outputs);
    engine.convolve(layer.kernel, x, out, (seen, row) => {
      engine.kernels.matmul_integer(
        seen.at, seen.channels, layer.weight, layer.scale, layer.offset, row.at, row.channels, row.width, seen.channels,
        layer.outputs, ...layer.bounds);
    });
    return layer.up > 1 ? engine.shuffled(out, layer.up) : out;
  }
}

const bounded = (value) => Math.max(-127, Math.min(127, value));

/** A layer of integers, whose sums float32 holds exactly; Error where they could be larger. */
function integerLayer(engine, network, name, bounds, up) {
  const [outputs, inputs, kernel] = network.shape(`${name}.weight`);
  const [weight, bias, multiplier, shift] = ["weight", "bias", "multiplier", "shift"].map((part) => network.array(`${name}.${part}`));
  const each = inputs * kernel ** 2;
  for (let o = 0; o < outputs; o++) {
    let sum = 0;
    for (let k = 0; k < each; k++) sum += 127 * Math.abs(weight[o * each + k]);
    if (sum >= EXACT) throw new Error(`${name} has sums that float32 does not hold`);
  }
  const rowOf = up > 1 ? shuffleRow(outputs / up ** 2, up) : (o) => o;
  const scale = Float64Array.from(multiplier, (value, o) => value * 2 ** -shift[shift.length > 1 ? o : 0]);
  const offset = scale.map((value, o) => bias[o] * value + 0.5);
  return {
    outputs, kernel, up, bounds,
    weight: engine.packed(windowOrder(weight, outputs, inputs, kernel), outputs, each, rowOf),
    scale: engine.padded(scale, Float64Array, rowOf), offset: engine.padded(offset, Float64Array, rowOf),
  };
}
