// kernels.wasm with the memory that it works in. A map is { at, height, width, channels }: float32, channels innermost.

const LANES = 8; // outputs that a product of matrices makes at once, as in kernels.c
const SMALL = 512; // positions whose widened channels are held at once

export class Engine {
  /** @param {WebAssembly.Module} module */
  constructor(module) {
    this.kernels = new WebAssembly.Instance(module).exports;
    this.memory = this.kernels.memory;
    this.top = (this.kernels.__heap_base.value + 15) & ~15;
  }

  /** Bytes that are free until `release`, as an address; RangeError where the browser has no more. */
  alloc(bytes) {
    const at = this.top;
    this.top = Math.ceil((at + bytes) / 16) * 16;
    const missing = this.top - this.memory.buffer.byteLength;
    if (missing > 0) {
      if (this.top >= 2 ** 32) throw new RangeError("the picture needs more memory than WebAssembly has");
      this.memory.grow(Math.ceil(missing / 65536));
    }
    return at;
  }

  /** What is allocated during the work is free after it. */
  scratch(work) {
    const before = this.top;
    try {
      return work();
    } finally {
      this.top = before;
    }
  }

  floats(at, count) {
    return new Float32Array(this.memory.buffer, at, count);
  }

  bytes(at, count) {
    return new Uint8Array(this.memory.buffer, at, count);
  }

  put(numbers) {
    const at = this.alloc(numbers.byteLength);
    new numbers.constructor(this.memory.buffer, at, numbers.length).set(numbers);
    return at;
  }

  map(height, width, channels) {
    return { at: this.alloc(4 * height * width * channels), height, width, channels };
  }

  valuesOf(map) {
    return this.floats(map.at, map.height * map.width * map.channels);
  }

  // ── Layers: their weights as the kernels want them ──────────────────────────────────────────────────────────

  /**
   * Weights [outputs][inputs] of a product. `rowOf(o)` is the row of output o, so that outputs come in another order.
   */
  packed(weight, outputs, inputs, rowOf = (o) => o) {
    const blocks = Math.ceil(outputs / LANES);
    const out = new Float32Array(blocks * inputs * LANES);
    for (let o = 0; o < outputs; o++) {
      const from = rowOf(o) * inputs;
      const to = Math.floor(o / LANES) * inputs * LANES + (o % LANES);
      for (let k = 0; k < inputs; k++) out[to + k * LANES] = weight[from + k];
    }
    return this.put(out);
  }

  padded(values, Kind, rowOf = (o) => o) {
    const out = new Kind(Math.ceil(values.length / LANES) * LANES);
    values.forEach((_, o) => (out[o] = values[rowOf(o)]));
    return this.put(out);
  }

  /** A pointwise layer: weight [O, I], bias [O]. */
  pointwise(weight, bias, rowOf) {
    const outputs = bias.length;
    const inputs = weight.length / outputs;
    return { outputs, inputs, weight: this.packed(weight, outputs, inputs, rowOf), bias: this.padded(bias, Float32Array, rowOf) };
  }

  /** A depthwise layer: weight [C, 1, k, k], bias [C]. */
  depthwise(weight, bias) {
    const channels = bias.length;
    const taps = weight.length / channels;
    const out = new Float32Array(weight.length);
    for (let c = 0; c < channels; c++) for (let tap = 0; tap < taps; tap++) out[tap * channels + c] = weight[c * taps + tap];
    return { channels, kernel: Math.sqrt(taps), weight: this.put(out), bias: this.put(Float32Array.from(bias)) };
  }

  // ── Running them ────────────────────────────────────────────────────────────────────────────────────────────

  /** mode: "plain", "leaky" or "add" to what is in `out`. */
  product(layer, x, out, mode = "plain") {
    const { matmul } = this.kernels;
    const rows = x.height * x.width;
    const number = { plain: 0, leaky: 1, add: 2 }[mode];
    matmul(x.at, x.channels, layer.weight, layer.bias, out.at, out.channels, rows, layer.inputs, layer.outputs, number);
    return out;
  }

  /** x += second(leaky(first x)), a few positions at a time. */
  bottleneck(first, second, x) {
    this.scratch(() => {
      const wide = this.map(1, SMALL, first.outputs);
      for (let begin = 0; begin < x.height * x.width; begin += SMALL) {
        const width = Math.min(SMALL, x.height * x.width - begin);
        const part = { at: x.at + 4 * begin * x.channels, height: 1, width, channels: x.channels };
        const inner = { ...wide, width };
        this.product(first, part, inner, "leaky");
        this.product(second, inner, part, "add");
      }
    });
    return x;
  }

  around(layer, x, out) {
    this.kernels.depthwise(x.at, layer.weight, layer.bias, out.at, x.height, x.width, x.channels, layer.kernel);
    return out;
  }

  /** A k x k layer (packed as a pointwise one of k*k*C inputs) on every row of x; `run` makes the products of a row. */
  convolve(kernel, x, out, run) {
    this.scratch(() => {
      const seen = this.map(1, x.width, kernel * kernel * x.channels);
      for (let y = 0; y < x.height; y++) {
        this.kernels.windows(x.at, seen.at, x.height, x.width, x.channels, kernel, y);
        run(seen, { at: out.at + 4 * y * x.width * out.channels, height: 1, width: x.width, channels: out.channels });
      }
    });
    return out;
  }

  /** Channels in the order (i, j, c) become squares of up x up. */
  shuffled(x, up) {
    const out = this.map(x.height * up, x.width * up, x.channels / up ** 2);
    this.kernels.shuffle(x.at, out.at, x.height, x.width, out.channels, up);
    return out;
  }
}

/** The row of weights that a pixel shuffle by `up` takes for channel (i, j, c) of `channels`. */
export function shuffleRow(channels, up) {
  return (o) => (o % channels) * up ** 2 + Math.floor(o / channels);
}

/** Weights [O, I, k, k] with the order of their inputs as `windows` has them: (i, j, c). */
export function windowOrder(weight, outputs, inputs, kernel) {
  const out = new weight.constructor(weight.length);
  const taps = kernel ** 2;
  for (let o = 0; o < outputs; o++)
    for (let c = 0; c < inputs; c++)
      for (let tap = 0; tap < taps; tap++) out[(o * taps + tap) * inputs + c] = weight[(o * inputs + c) * taps + tap];
  return out;
}
