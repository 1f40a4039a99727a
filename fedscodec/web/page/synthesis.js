// g_s of the light networks: latents to pixels, tile by tile. What it computes is described in networks/light_layers.py.

import { shuffleRow, windowOrder } from "./engine.js";

/** Between the rows of a table [Q, C] of logarithms, at a quality in thousandths: factors [C]. */
export function interpolated(table, channels, thousandths) {
  const qualities = table.length / channels;
  const position = Math.min(Math.max(thousandths / 1000 - 1, 0), qualities - 1);
  const low = Math.min(Math.floor(position), Math.max(qualities - 2, 0));
  const high = Math.min(low + 1, qualities - 1);
  return Float32Array.from({ length: channels }, (_, c) => {
    const [a, b] = [table[low * channels + c], table[high * channels + c]];
    return Math.exp(a + (b - a) * (position - low));
  });
}

/** Pixels that stages and the last layer see beyond their own. */
function reach(stages, finest) {
  return stages.reduce((sum, stage) => sum + stage.at * stage.blocks, finest);
}

/** Latents that a tile must see beyond each edge that is not the picture's. */
export function margin(spec) {
  return Math.ceil(reach(spec.stages, spec.stages[0].at) / 16);
}

export class Synthesis {
  constructor(engine, network) {
    this.engine = engine;
    this.spec = network.spec;
    this.network = network;
    this.unit = Number(network.metadata.unit);
    const stages = [...this.spec.stages].reverse();
    const read = (name) => [network.array(`${name}.weight`), network.array(`${name}.bias`)];
    const pointwise = (name, rowOf) => engine.pointwise(...read(name), rowOf);
    this.stages = stages.map((stage, i) => ({
      width: stage.width,
      at: stage.at,
      beyond: reach(stages.slice(i + 1), stages.at(-1).at), // pixels that what follows sees beyond its own
      way: pointwise(`g_s.up.${i}`, i ? shuffleRow(stage.width, 2) : undefined),
      logarithms: network.array(`g_s.scales.${i}`),
      blocks: Array.from({ length: stage.blocks }, (_, j) => {
        const name = `g_s.groups.${i}.${j}`;
        return {
          into: pointwise(`${name}.into`), around: engine.depthwise(...read(`${name}.around`)), out: pointwise(`${name}.out`),
          widen: pointwise(`${name}.widen`), narrow: pointwise(`${name}.narrow`),
        };
      }),
    }));
    this.shortcut = this.spec.shortcut === "principal" ? pointwise("g_s.shortcut.0", shuffleRow(3, 16)) : null;
    this.factor = stages.at(-1).at;
    const [weight, bias] = read("g_s.last");
    this.last = engine.pointwise(
      windowOrder(weight, bias.length, stages.at(-1).width, 3), bias, shuffleRow(3, this.factor));
  }

  /**
   * Pixels of a tile: latents float32 [height, width, M] in the network's unit, of a picture of a quality in thousandths; of what they
   * give, the rectangle (in pixels) as RGBA.
   */
  run(latents, height, width, thousandths, { top, bottom, left, right }, grey) {
    const { engine } = this;
    return engine.scratch(() => {
      const channels = this.spec.latents;
      let x = engine.map(height, width, channels);
      engine.valuesOf(x).set(latents);
      const inverse = interpolated(this.network.array("gains.log_inverse"), channels, thousandths);
      this.scaled(x, inverse.map((factor) => factor / this.unit));
      const coarse = engine.map(height, width, 768);
      if (this.shortcut) engine.product(this.shortcut, x, coarse);
      else engine.valuesOf(coarse).fill(0);
      const needed = { top, bottom, left, right };
      let corner = [0, 0]; // of the map, in pixels of the tile
      for (const [i, stage] of this.stages.entries()) {
        x = this.stage(stage, x, i, thousandths);
        [x, corner] = this.cropped(x, stage.at, corner, needed, stage.beyond);
      }
      const fine = engine.convolve(3, x, engine.map(x.height, x.width, 3 * this.factor ** 2), (seen, row) =>
        engine.product(this.last, seen, row));
      const count = 4 * (bottom - top) * (right - left);
      const rgba = engine.alloc(count);
      engine.kernels.pixels(
        fine.at, coarse.at, rgba, fine.width, width, this.factor, ...corner, top, bottom, left, right, grey ? 1 : 0);
      return engine.bytes(rgba, count).slice();
    });
  }

  /** What of a map with cells of `at` pixels is still of use for a rectangle, and the pixel where that begins. */
  cropped(x, at, [y0, x0], { top, bottom, left, right }, beyond) {
    const span = (begin, end, origin, length) =>
      [Math.max(Math.floor((begin - beyond - origin) / at), 0), Math.min(Math.ceil((end + beyond - origin) / at), length)];
    const [rows, columns] = [span(top, bottom, y0, x.height), span(left, right, x0, x.width)];
    const [height, width] = [rows[1] - rows[0], columns[1] - columns[0]];
    if (height === x.height && width === x.width) return [x, [y0, x0]];
    for (let y = 0; y < height; y++) { // in place, as what moves moves towards the beginning
      const from = x.at + 4 * x.channels * ((rows[0] + y) * x.width + columns[0]);
      this.engine.kernels.copy(from, 0, x.at + 4 * x.channels * y * width, 0, 1, width * x.channels);
    }
    return [{ ...x, height, width }, [y0 + at * rows[0], x0 + at * columns[0]]];
  }

  scaled(x, factors) {
    this.engine.scratch(() => {
      this.engine.kernels.scale(x.at, this.engine.put(Float32Array.from(factors)), x.height * x.width, x.channels);
    });
  }

  stage(stage, x, i, thousandths) {
    const { engine } = this;
    const made = engine.map(x.height, x.width, stage.way.outputs);
    engine.product(stage.way, x, made);
    x = i ? engine.shuffled(made, 2) : made;
    this.scaled(x, interpolated(stage.logarithms, stage.width, thousandths));
    for (const block of stage.blocks) {
      engine.scratch(() => {
        const inner = engine.product(block.into, x, engine.map(x.height, x.width, stage.width), "leaky");
        const seen = engine.around(block.around, inner, engine.map(x.height, x.width, stage.width));
        engine.product(block.out, seen, x, "add");
      });
      engine.bottleneck(block.widen, block.narrow, x);
    }
    return x;
  }
}
