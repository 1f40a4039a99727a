// Samples that lie in a file as PNG or WebP, without loss: the alpha plane (ALPH) and all pixels (PIXL). They are looked at
// before anything is decoded, as docs/format.md and the reader in Python do.

import { FormatError, crc32, hex, inflate } from "./container.js";

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const RIFF = [0x52, 0x49, 0x46, 0x46];
const fault = (text) => new FormatError(text);
const unsound = (kind, found) => fault(`a valid ${kind}, found: ${found}`);
const begins = (data, bytes) => bytes.every((byte, place) => data[place] === byte);

/** Bytes as Python shows them, so that sentences are the same. */
function shown(bytes) {
  const plain = (byte) => (byte === 0x5c ? "\\\\" : byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${hex([byte])}`);
  return `b'${Array.from(bytes, plain).join("")}'`;
}

/**
 * The samples of a box, `channels` (1 or 3) bytes a pixel. Throws FormatError unless the payload is of that size and kind.
 * `decodeWebp` gives RGBA samples of a lossless WebP, or null where it cannot be decoded: browsers have that, node has not.
 */
export async function unpackSamples(box, payload, { width, height, channels }, decodeWebp) {
  try {
    if (begins(payload, PNG)) return await unpackPng(payload, width, height, channels);
    if (begins(payload, RIFF)) return await unpackWebp(payload, width, height, channels, decodeWebp);
    throw fault(`a PNG or WebP, found ${payload.length ? `the bytes ${hex(payload.subarray(0, 4))}` : "nothing"}`);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(`the ${box} box should hold ${error.message}`);
  }
}

async function unpackWebp(payload, width, height, channels, decodeWebp) {
  requireWebp(payload, width, height);
  const rgba = await decodeWebp(payload, width, height);
  if (!rgba) throw unsound("WebP", "pixels that cannot be decoded");
  const samples = new Uint8Array(width * height * channels);
  for (let at = 0; at < width * height; at++) {
    for (let c = 0; c < channels; c++) samples[channels * at + c] = rgba[4 * at + c];
    if (channels === 1 && (rgba[4 * at + 1] !== rgba[4 * at] || rgba[4 * at + 2] !== rgba[4 * at])) throw fault("grey, found colours");
  }
  return samples;
}

function requireSize(foundWidth, foundHeight, width, height) {
  if (foundWidth !== width || foundHeight !== height) throw fault(`${width}x${height} pixels, found ${foundWidth}x${foundHeight}`);
}

async function unpackPng(payload, width, height, channels) {
  const chunks = pngChunks(payload);
  const [kind, head] = chunks.next().value;
  if (kind !== "IHDR" || head.length !== 13) {
    throw unsound("PNG", `the chunk ${shown(new TextEncoder().encode(kind))} of ${head.length} bytes where IHDR should be`);
  }
  const view = new DataView(head.buffer, head.byteOffset, 13);
  requireSize(view.getUint32(0), view.getUint32(4), width, height);
  const [depth, colour, compression, filter, interlace] = head.subarray(8);
  const [type, kinds] = channels === 1 ? [0, "grey"] : [2, "RGB"];
  if (depth !== 8 || colour !== type || compression || filter || interlace) {
    throw fault(`8-bit ${kinds} (colour type ${type}), not interlaced, found ${depth} bits of colour type ${colour}${interlace ? ", interlaced" : ""}`);
  }
  const deflated = [];
  for (const [name, body, letters] of chunks) {
    if (name === "IEND" && !body.length) break;
    if (name !== "IDAT") throw fault(`a PNG of pixels alone, found the chunk ${shown(letters)}`);
    deflated.push(body);
  }
  const size = (width * channels + 1) * height;
  const rows = await inflate(new Blob(deflated), "deflate", size);
  if (!rows) throw unsound("PNG", `pixels that do not inflate to exactly ${size} bytes`);
  return unfiltered(rows, width * channels, height, channels);
}

function* pngChunks(payload) {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  for (let at = PNG.length, kind = ""; kind !== "IEND"; ) {
    const length = at + 4 <= payload.length ? view.getUint32(at) : 0;
    const type = payload.subarray(at + 4, at + 8);
    kind = String.fromCharCode(...type);
    const end = at + 8 + length;
    if (end + 4 > payload.length) throw unsound("PNG", `its end after ${payload.length} bytes, inside a chunk`);
    if (crc32(payload.subarray(at + 4, end)) !== view.getUint32(end)) {
      throw unsound("PNG", `a wrong checksum in the chunk ${shown(type)}`);
    }
    at = end + 4;
    if (kind === "IEND" && at !== payload.length) throw unsound("PNG", `${payload.length - at} bytes after it`);
    yield [kind, payload.subarray(end - length, end), type];
  }
}

function unfiltered(rows, length, height, channels) {
  const out = new Uint8Array(length * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (length + 1)];
    if (filter > 4) throw unsound("PNG", "a row with an unknown filter");
    for (let x = 0; x < length; x++) {
      const at = y * length + x;
      const inside = x >= channels;
      const left = inside ? out[at - channels] : 0;
      const up = y ? out[at - length] : 0;
      const corner = inside && y ? out[at - length - channels] : 0;
      const expected = [0, left, up, (left + up) >> 1, filter === 4 ? paeth(left, up, corner) : 0][filter];
      out[at] = rows[y * (length + 1) + 1 + x] + expected;
    }
  }
  return out;
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function requireWebp(payload, width, height) {
  const kind = payload.subarray(8, 16);
  if (String.fromCharCode(...kind) !== "WEBPVP8L") throw fault(`a WebP of one VP8L chunk, found ${shown(kind)}`);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const body = payload.subarray(20);
  const riff = view.getUint32(4, true);
  const chunk = payload.length >= 20 ? view.getUint32(16, true) : 0;
  if (riff !== payload.length - 8 || chunk + (chunk % 2) !== body.length || body.length < 5) {
    throw unsound("WebP", `${body.length} bytes of pixels, where RIFF says ${riff - 12} and VP8L ${chunk}`);
  }
  const bits = view.getUint32(21, true);
  requireSize(1 + (bits & 0x3fff), 1 + ((bits >>> 14) & 0x3fff), width, height);
  if (body[0] !== 0x2f || bits >>> 28) {
    throw fault(`a WebP of version 0 without alpha, found a head of ${hex(body.subarray(0, 5))}`);
  }
}
