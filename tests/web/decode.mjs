// What the page's modules make of files, without a browser: { networks: [path], files: [path] } on standard input; out
// goes { name: null | sentence }, null where the checksum of all symbols is right (and alpha, where it is a PNG, sound).

import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";

const PAGE = join(fileURLToPath(new URL("../../fedscodec/web/page/", import.meta.url)));
const { Engine } = await import(join(PAGE, "engine.js"));
const { FormatError, unpack } = await import(join(PAGE, "container.js"));
const { EntropySide } = await import(join(PAGE, "entropy.js"));
const { Network } = await import(join(PAGE, "network.js"));
const { unpackSamples } = await import(join(PAGE, "planes.js"));

const bufferOf = (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const asked = JSON.parse(readFileSync(0, "utf8"));
const module = await WebAssembly.compile(readFileSync(join(PAGE, "kernels.wasm")));
const sides = new Map();
for (const path of asked.networks) {
  const network = new Network(bufferOf(gunzipSync(readFileSync(path))));
  sides.set(network.fingerprint, new EntropySide(new Engine(module), network));
}
const found = {};
for (const path of asked.files) {
  try {
    const file = await unpack(new Uint8Array(bufferOf(readFileSync(path))));
    const { width, height, fingerprint } = file.header;
    const webp = () => new Uint8Array(4 * width * height);
    if (file.boxes.has("ALPH")) await unpackSamples("ALPH", file.boxes.get("ALPH"), { width, height, channels: 1 }, webp);
    if (!sides.has(fingerprint)) throw new FormatError(`was written by the network ${fingerprint}, which is not here`);
    sides.get(fingerprint).read(file);
    found[basename(path)] = null;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    found[basename(path)] = error.message;
  }
}
console.log(JSON.stringify(found));
