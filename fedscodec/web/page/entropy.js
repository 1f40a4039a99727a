// From streams to latents: integer nets, tables and the stream coder, part by part. See docs/format.md.

import { FormatError, crc32 } from "./container.js";
import { StreamReader, Tables, streamName } from "./coder.js";
import { LightNets } from "./nets-light.js";
import { PaperNets } from "./nets-paper.js";
import { cornersOf, placesOf } from "./places.js";

const STRIDE = 64;

function netsOf(engine, network) {
  return network.spec.entropy ? new LightNets(engine, network) : new PaperNets(engine, network);
}

export class EntropySide {
  constructor(engine, network) {
    this.engine = engine;
    this.spec = network.spec;
    this.name = network.name;
    this.parts = JSON.parse(network.metadata.parts);
    this.unit = Number(network.metadata.unit); // of means and latents, in a quantisation step
    this.nets = netsOf(engine, network);
    this.zTables = tables(engine, network, "z", 0, this.spec.hyper_latents);
    const scales = this.spec.scales;
    const sets = network.shape("tables.y.low")[0] / scales;
    this.yTables = Array.from({ length: sets }, (_, i) => tables(engine, network, "y", i * scales, scales));
  }

  tablesOf(part) {
    return this.yTables[Math.min(part.tables, this.yTables.length - 1)];
  }

  /**
   * All symbols of a file, proved by its checksum. `told` hears how many streams are done.
   * @returns {{height: number, width: number, latents: Float32Array}} latents in the network's unit, [height, width, M]
   */
  read({ header, streams }, told = () => {}) {
    this.requireFit(header, streams);
    return this.engine.scratch(() => {
      const walk = new Walk(this, header, streams, told);
      const latents = walk.run();
      if (walk.checksum !== header.checksum) throw new FormatError("the checksum of its symbols is wrong: the file is damaged");
      return { height: walk.height, width: walk.width, latents };
    });
  }

  requireFit(header, streams) {
    const expected = this.parts.at(-1).stream;
    if (streams.length - 1 !== expected) {
      throw new FormatError(`holds ${streams.length - 1} slices, but ${this.name} has ${expected}`);
    }
    if (header.quality < 1000 || header.quality > 1000 * this.spec.lambdas.length) {
      throw new FormatError(`asks for quality ${header.quality / 1000}, which ${this.name} does not have`);
    }
    const [rows, columns] = [header.height, header.width].map((side) => Math.ceil(side / STRIDE));
    const counts = streams.map((_, number) => (number ? 0 : rows * columns * this.spec.hyper_latents));
    const least = [this.zTables.leastBytes(counts[0]), ...streams.slice(1).map(() => 0)];
    for (const part of this.parts) {
      const count = (16 * rows * columns * (part.channels[1] - part.channels[0]) * cornersOf(part)) / 4;
      counts[part.stream] += count;
      least[part.stream] += this.tablesOf(part).leastBytes(count);
    }
    streams.forEach((stream, number) => {
      if (stream.length < least[number]) {
        const found = `its ${counts[number]} symbols take ${least[number]} bytes or more, found ${stream.length}`;
        throw new FormatError(`the ${streamName(number)} stream is too short: ${found}`);
      }
    });
  }
}

function tables(engine, network, name, first, count) {
  const [low, high, frequencies, skip] = ["low", "high", "frequencies", "skip"].map((part) => network.array(`tables.${name}.${part}`));
  const width = frequencies.length / low.length;
  const end = first + count;
  return new Tables(engine, low.subarray(first, end), high.subarray(first, end), frequencies.subarray(first * width, end * width), skip[0]);
}

/** One file on its way. */
class Walk {
  constructor(side, { height, width, quality, seed }, streams, told) {
    Object.assign(this, { side, quality, told, checksum: seed });
    this.engine = side.engine;
    this.rows = Math.ceil(height / STRIDE);
    this.columns = Math.ceil(width / STRIDE);
    this.height = 4 * this.rows;
    this.width = 4 * this.columns;
    this.reader = new StreamReader(side.engine, streams);
  }

  run() {
    const { side, engine, height, width } = this;
    const seen = side.nets.side(this.hyper(), this.rows, this.columns, this.quality);
    const [latents, known] = [engine.map(height, width, side.spec.latents), engine.map(height, width, side.spec.latents)];
    engine.valuesOf(latents).fill(0);
    engine.valuesOf(known).fill(0);
    let begun = 0;
    for (const part of side.parts) {
      if (part.stream !== begun) this.reader.begin();
      begun = part.stream;
      engine.scratch(() => this.part(part, seen, known, latents));
      if (part.ends) {
        this.reader.end();
        this.told(part.stream + 1);
      }
    }
    return engine.valuesOf(latents).slice();
  }

  hyper() {
    const { engine, side } = this;
    const channels = side.spec.hyper_latents;
    const count = this.rows * this.columns * channels;
    const indexes = engine.alloc(count);
    engine.bytes(indexes, count).forEach((_, n, all) => (all[n] = n % channels));
    this.reader.begin();
    const at = this.symbols(side.zTables, indexes, count);
    this.reader.end();
    this.told(1);
    return new Int16Array(engine.memory.buffer, at, count).slice();
  }

  symbols(tableSet, indexes, count) {
    const at = this.reader.part(tableSet, indexes, count);
    this.checksum = crc32(this.engine.bytes(at, 2 * count), this.checksum);
    return at;
  }

  /** Nets, symbols, and what both make known of the latents. */
  part(part, seen, known, latents) {
    const { engine, side, height, width } = this;
    const channels = part.channels[1] - part.channels[0];
    const count = (height * width * channels * cornersOf(part)) / 4;
    // In the order of the stream: float32 at `means`, a byte each at `indexes`.
    const [means, indexes] = [engine.alloc(4 * count), engine.alloc(count)];
    engine.scratch(() => side.nets.parameters(part, seen, known, means, indexes));
    const symbols = this.symbols(side.tablesOf(part), indexes, count);
    const { scale, offset, limit } = side.nets.shown;
    let done = 0;
    for (const { group, groups, row, column, step } of placesOf(part)) {
      engine.kernels.place(
        symbols + 2 * done, means + 4 * done, latents.at, known.at, scale, offset, height, width, latents.channels,
        part.channels[0], channels, group, groups, row, column, step, side.unit, limit);
      done += (Math.ceil((height - row) / step) * Math.ceil((width - column) / step) * channels) / groups;
    }
  }
}
