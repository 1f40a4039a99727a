// Bytes of a .feds file to pixels, in workers: no thread of the page is ever held up, and no header is needed from the server.

import { FormatError, MAX_PIXELS, preview, unpack } from "./container.js";
import { margin } from "./synthesis.js";
import { unpackSamples } from "./planes.js";

const TILE = 48; // latents that a side of a tile keeps, at most
const THREADS_AT_MOST = 8; // each holds weights of its own, and some 100 MB while it works
const SYMBOLS_SHARE = 0.25; // of the time, what symbols take
const CACHE = "feds-networks-1";

export { FormatError };

export class Decoder {
  /** @param {{base?: string|URL, threads?: number}} options where this folder lies, and how many workers there are */
  constructor({ base = new URL(".", import.meta.url), threads = navigator.hardwareConcurrency || 2 } = {}) {
    this.base = base;
    this.threads = Math.max(1, Math.min(threads, THREADS_AT_MOST));
    this.workers = [];
    this.calls = new Map();
    this.fingerprint = null;
    this.next = 0;
    this.turn = 0; // of cancelling: what began in an earlier one has ended
    this.working = 0; // files that are being decoded, or wait for others
    this.last = Promise.resolve(); // one file at a time: each uses all workers, with its own network in them
  }

  url(name) {
    return new URL(name, this.base);
  }

  /**
   * Decode a file. Throws FormatError, with one sentence for people.
   * @param {Uint8Array} data
   * @param {{told?: (words: string, share: number) => void, shown?: (preview: object|null, file: object) => void}} hooks
   * `told` hears what is being done and how far it is; `shown` gets the preview as soon as there is one.
   */
  async decode(data, hooks = {}) {
    this.working += 1;
    try {
      return await this.decoded(data, hooks);
    } finally {
      this.working -= 1;
    }
  }

  async decoded(data, { told = () => {}, shown = () => {}, maxPixels = MAX_PIXELS }) {
    const turn = this.turn;
    const file = await unpack(data, maxPixels);
    const { header, boxes } = file;
    shown(preview(boxes), file);
    const seconds = {};
    const timed = async (what, work) => {
      const begin = performance.now();
      const result = await work();
      seconds[what] = (performance.now() - begin) / 1000;
      return result;
    };
    const samples = (box, channels) => boxes.has(box) ? unpackSamples(box, boxes.get(box), { ...header, channels }, decodeWebp) : null;
    const [exact, alpha] = [await samples("PIXL", header.grey ? 1 : 3), await samples("ALPH", 1)];
    const { rgba, ...more } = exact ? { rgba: exactPixels(file, exact) } : await this.inTurn(() => this.withNetwork(file, turn, timed, told));
    if (alpha) alpha.forEach((value, at) => (rgba[4 * at + 3] = value));
    return { rgba, width: header.width, height: header.height, file, seconds, threads: this.workers.length, exact: Boolean(exact), ...more };
  }

  /** Work that begins when all before it has ended, well or not. */
  inTurn(work) {
    const made = this.last.then(work);
    this.last = made.catch(() => {});
    return made;
  }

  /** Symbols and pixels of a file by the network that wrote it. */
  async withNetwork({ header, streams }, turn, timed, told) {
    await timed("loading", () => this.load(header.fingerprint, turn, (share) => told("loading the network", share)));
    const count = header.lengths.length;
    const symbols = await timed("symbols", () =>
      this.call(0, { what: "symbols", file: { header, streams } }, (streams) =>
        told("reading symbols", (SYMBOLS_SHARE * streams) / count)));
    this.require(turn);
    const rgba = await timed("pixels", () => this.pixels(symbols, header, (share) =>
      told("making pixels", SYMBOLS_SHARE + (1 - SYMBOLS_SHARE) * share)));
    return { rgba, network: this.network };
  }

  /** Stop whatever is being done; all files that are not ready fail, with this fault or one about it. */
  cancel(fault = stopped()) {
    for (const worker of this.workers) worker.terminate();
    for (const { reject } of this.calls.values()) reject(fault);
    this.workers = [];
    this.calls.clear();
    this.fingerprint = null;
    this.turn += 1;
    this.last = Promise.resolve(); // what waits for a server goes on by itself, and then finds its turn over
  }

  require(turn) {
    if (turn !== this.turn) throw stopped();
  }

  // ── The network and the workers ─────────────────────────────────────────────────────────────────────────────

  async load(fingerprint, turn, told) {
    this.require(turn);
    if (this.fingerprint === fingerprint) return;
    this.networks ??= await (await fetched(this.url("networks.json"))).json();
    const network = this.networks.find((one) => one.fingerprint === fingerprint);
    if (!network) {
      const names = this.networks.map((one) => `${one.name} (${one.fingerprint})`).join(", ");
      throw new FormatError(`was written by the network ${fingerprint}, which this page does not have; it has ${names}`);
    }
    this.module ??= await WebAssembly.compile(await (await fetched(this.url("kernels.wasm"))).arrayBuffer());
    const buffer = await inflated(await kept(this.url(network.file), network.bytes, told));
    this.require(turn);
    this.start();
    await Promise.all(this.workers.map((_, n) => this.call(n, { what: "load", module: this.module, network: buffer })));
    this.require(turn);
    this.spec = JSON.parse(network.spec);
    this.network = network;
    this.fingerprint = fingerprint;
  }

  start() {
    while (this.workers.length < this.threads) {
      const worker = new Worker(this.url("worker.js"), { type: "module" });
      worker.onmessage = ({ data }) => this.heard(data);
      worker.onerror = (event) => {
        event.preventDefault();
        this.cancel(new FormatError(`a worker could not run (${event.message ?? "its script was not loaded"})`));
      };
      this.workers.push(worker);
    }
  }

  call(worker, message, told = () => {}, moved = []) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.calls.set(id, { resolve, reject, told });
      this.workers[worker].postMessage({ ...message, id }, moved);
    });
  }

  heard({ id, answer, fault, streams }) {
    const call = this.calls.get(id);
    if (!call) return;
    if (streams !== undefined) return call.told(streams);
    this.calls.delete(id);
    if (fault === undefined) call.resolve(answer);
    else call.reject(new FormatError(fault));
  }

  // ── Tiles ───────────────────────────────────────────────────────────────────────────────────────────────────

  async pixels({ height, width, latents }, header, told) {
    const out = new Uint8ClampedArray(4 * header.width * header.height);
    const left = tiles(height, width, margin(this.spec), this.workers.length);
    const count = left.length;
    const work = async (worker) => {
      for (let tile = left.shift(); tile; tile = left.shift()) {
        const { seen, kept } = tile;
        const bottom = Math.min(16 * kept.bottom, header.height);
        const right = Math.min(16 * kept.right, header.width);
        const [top, begin] = [16 * kept.top, 16 * kept.left];
        if (bottom > top && right > begin) {
          const inside = {
            top: top - 16 * seen.top, bottom: bottom - 16 * seen.top, left: begin - 16 * seen.left, right: right - 16 * seen.left,
          };
          const part = cut(latents, width, this.spec.latents, seen);
          const { rgba } = await this.call(worker, {
            what: "tile", latents: part, height: seen.bottom - seen.top, width: seen.right - seen.left, rectangle: inside,
            quality: header.quality, grey: header.grey,
          }, undefined, [part.buffer]);
          for (let y = top; y < bottom; y++) {
            const row = rgba.subarray(4 * (y - top) * (right - begin), 4 * (y - top + 1) * (right - begin));
            out.set(row, 4 * (y * header.width + begin));
          }
        }
        told(1 - left.length / count);
      }
    };
    await Promise.all(this.workers.map((_, worker) => work(worker)));
    return out;
  }
}

const stopped = () => new FormatError("decoding was stopped");

/** Pixels that lie in a file as they are: it has no symbols, and its checksum is that of none. */
function exactPixels({ header, streams }, samples) {
  if (streams.some((stream) => stream.length)) throw new FormatError("has a PIXL box, expected empty streams");
  if (header.seed !== header.checksum) throw new FormatError("the checksum of its symbols is wrong: the file is damaged");
  const rgba = new Uint8ClampedArray(4 * header.width * header.height);
  const channels = samples.length / (header.width * header.height);
  for (let at = 0; at < rgba.length / 4; at++) {
    for (let c = 0; c < 3; c++) rgba[4 * at + c] = samples[channels * at + (channels === 3 ? c : 0)];
    rgba[4 * at + 3] = 255;
  }
  return rgba;
}

/** Tiles that cover a map, about alike: what each keeps, and what it must see for that. */
export function tiles(height, width, beyond, workers) {
  let [rows, columns] = [height, width].map((side) => Math.ceil(side / TILE));
  while (rows * columns < workers && Math.max(height / rows, width / columns) > 4 * beyond) {
    if (height / rows > width / columns) rows += 1;
    else columns += 1;
  }
  const spans = (length, count) => Array.from({ length: count }, (_, i) =>
    [Math.floor((length * i) / count), Math.floor((length * (i + 1)) / count)]);
  return spans(height, rows).flatMap(([top, bottom]) => spans(width, columns).map(([left, right]) => ({
    kept: { top, bottom, left, right },
    seen: {
      top: Math.max(top - beyond, 0), bottom: Math.min(bottom + beyond, height), left: Math.max(left - beyond, 0),
      right: Math.min(right + beyond, width),
    },
  })));
}

function cut(latents, width, channels, { top, bottom, left, right }) {
  const out = new Float32Array((bottom - top) * (right - left) * channels);
  for (let y = top; y < bottom; y++) {
    const from = (y * width + left) * channels;
    out.set(latents.subarray(from, from + (right - left) * channels), (y - top) * (right - left) * channels);
  }
  return out;
}

// ── What is fetched ───────────────────────────────────────────────────────────────────────────────────────────

async function fetched(url) {
  const answer = await fetch(url).catch(() => null);
  if (!answer?.ok) throw new FormatError(`${url.pathname.split("/").pop()}: could not be fetched${answer ? ` (${answer.status})` : ""}`);
  return answer;
}

/** A file that never changes under its name: from the browser's store, else fetched and put there. */
async function kept(url, size, told) {
  const store = await globalThis.caches?.open(CACHE).catch(() => null);
  const found = await store?.match(url);
  if (found) return found.arrayBuffer();
  const answer = await fetched(url);
  const reader = answer.body.getReader();
  const parts = [];
  for (let at = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    at += value.length;
    told(Math.min(at / size, 1));
  }
  const buffer = await new Blob(parts).arrayBuffer();
  for (const old of (await store?.keys()) ?? []) if (sameName(old.url, url.href)) await store.delete(old);
  await store?.put(url, new Response(buffer)).catch(() => {}); // a full disk is no reason to show nothing
  return buffer;
}

/** Whether two files are the same network of two trainings: NAME-FINGERPRINT.net.gz. */
const sameName = (a, b) => a.replace(/-[0-9a-f]{16}\./, ".") === b.replace(/-[0-9a-f]{16}\./, ".");

async function inflated(buffer) {
  return new Response(new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function decodeWebp(payload, width, height) {
  try {
    const blob = new Blob([payload], { type: "image/webp" });
    const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
    if (bitmap.width !== width || bitmap.height !== height) return null;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  } catch {
    return null;
  }
}
