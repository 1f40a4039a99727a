// A worker: reads the symbols of a file, or makes the pixels of a tile. It holds its own kernels and weights.

import { Engine } from "./engine.js";
import { EntropySide } from "./entropy.js";
import { FormatError } from "./container.js";
import { Network } from "./network.js";
import { Synthesis } from "./synthesis.js";

const LARGE = 2 ** 28; // bytes of memory that are given back after the work, as they cannot shrink

let loaded = null;
const made = new Map(); // what was made from the network: "entropy", "synthesis"

function part(name, Kind) {
  if (!made.has(name)) {
    const engine = new Engine(loaded.module);
    made.set(name, { engine, work: new Kind(engine, loaded.network) });
  }
  return made.get(name);
}

const DO = {
  load({ module, network }) {
    made.clear();
    loaded = { module, network: new Network(network) };
    return [{}];
  },

  symbols({ id, file }) {
    const { engine, work } = part("entropy", EntropySide);
    const found = work.read(file, (streams) => postMessage({ id, streams }));
    forgetIfLarge("entropy", engine);
    return [found, [found.latents.buffer]];
  },

  tile({ latents, height, width, quality, rectangle, grey }) {
    const { engine, work } = part("synthesis", Synthesis);
    const rgba = work.run(latents, height, width, quality, rectangle, grey);
    forgetIfLarge("synthesis", engine);
    return [{ rgba }, [rgba.buffer]];
  },
};

function forgetIfLarge(name, engine) {
  if (engine.memory.buffer.byteLength > LARGE) made.delete(name);
}

addEventListener("message", ({ data }) => {
  try {
    const [answer, moved = []] = DO[data.what](data);
    postMessage({ id: data.id, answer }, moved);
  } catch (error) {
    made.clear(); // whatever state the kernels are in
    postMessage({ id: data.id, fault: sentence(error) });
  }
});

function sentence(error) {
  if (error instanceof FormatError) return error.message;
  if (error instanceof RangeError) return "the browser has not enough memory for this picture";
  return `the viewer failed: ${error.message}`;
}
