// The container of a .feds file: header, streams, boxes, and every check that needs no decoding. See docs/format.md.

/** What is wrong with a file, in one sentence. */
export class FormatError extends Error {}

const SIDE_AT_MOST = 2 ** 31 - 1;
const PIXELS_AT_MOST = 2 ** 31;
const INFLATED_AT_MOST = 2 ** 24;
export const MAX_PIXELS = 2 ** 26;
const PREVIEW_BYTES = 2048;
const PREVIEW_SIDE = 64;
const PLAIN = { ICCZ: "ICCP", exiz: "EXIF", xmpz: "XMP " };
const KNOWN = new Set(["ICCP", "EXIF", "XMP ", "ALPH", "srgb", "sums", "prev", "PIXL"]);

const CRC = new Uint32Array(256).map((_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});

/** zlib's CRC-32 of bytes, going on from another. */
export function crc32(bytes, before = 0) {
  let crc = ~before;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC[(crc ^ byte) & 0xff];
  return ~crc >>> 0;
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const letters = (bytes) => String.fromCharCode(...bytes);
const streamName = (number) => (number ? `slice ${number}` : "z");

class Cursor {
  constructor(data, where = "") {
    this.data = data;
    this.where = where; // begins every sentence
    this.at = 0;
  }

  get left() {
    return this.data.length - this.at;
  }

  error(sentence) {
    return new FormatError(this.where + sentence);
  }

  take(count, where) {
    if (count > this.left) throw this.error(`ends after ${this.data.length} bytes inside ${where}`);
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  number(count, where) {
    return this.take(count, where).reduce((value, byte, place) => value + byte * 256 ** place, 0);
  }

  varint(where) {
    const start = this.at;
    let value = 0;
    for (let place = 0; place < 5; place++) {
      const byte = this.take(1, where)[0];
      value += (byte & 0x7f) * 128 ** place;
      if (byte === 0 && place) throw this.error(`the number at byte ${start} inside ${where} is not in its shortest form`);
      if (byte < 0x80 && value < 2 ** 32) return value;
    }
    throw this.error(`the number at byte ${start} inside ${where} is not below 2**32`);
  }
}

/**
 * Take a file apart. Throws FormatError.
 * @param {Uint8Array} data
 * @returns {Promise<{header: object, streams: Uint8Array[], boxes: Map<string, Uint8Array>}>}
 */
export async function unpack(data, maxPixels = MAX_PIXELS) {
  const cursor = new Cursor(data);
  const header = readHeader(cursor);
  const fault = excess(header.width, header.height, maxPixels);
  if (fault) throw new FormatError(fault);
  let left = cursor.left;
  header.lengths.forEach((length, number) => {
    if (length > left) throw new FormatError(`the ${streamName(number)} stream needs ${length} bytes but only ${left} are left`);
    left -= length;
  });
  const streams = header.lengths.map((length) => cursor.take(length, "the streams"));
  const boxes = header.hasBoxes ? await readBoxes(cursor) : new Map();
  if (cursor.left) {
    throw new FormatError(`expected the end after the last ${header.hasBoxes ? "box" : "stream"}, found ${cursor.left} bytes more`);
  }
  checkSums(streams, boxes);
  return { header, streams, boxes };
}

function checkSums(streams, boxes) {
  const sums = boxes.get("sums");
  if (!sums) return;
  if (sums.length !== 2 * streams.length) {
    throw new FormatError(`the sums box should have ${2 * streams.length} bytes, found ${sums.length}`);
  }
  streams.forEach((stream, number) => {
    if ((crc32(stream) & 0xffff) !== sums[2 * number] + 256 * sums[2 * number + 1]) {
      throw new FormatError(`the ${streamName(number)} stream is damaged (its sum does not fit its bytes)`);
    }
  });
}

function excess(width, height, maxPixels) {
  const thick = Math.max(width, 64) * Math.max(height, 64);
  const counted = thick > 2 ** 20 ? thick : width * height;
  if (counted <= maxPixels) return null;
  const size = `${width}x${height} pixels${counted === width * height ? "" : `, as much work as ${counted},`}`;
  return `${size} are more than the limit of ${maxPixels}`;
}

function readHeader(cursor) {
  const { data } = cursor;
  const where = "the header";
  const start = data.subarray(0, 4);
  if (!"FEDS".startsWith(letters(start))) {
    throw new FormatError(`not a .feds file (expected the bytes FEDS at the start, found ${hex(start)})`);
  }
  const version = data.length > 4 ? data[4] : 1;
  if (version > 1) throw new FormatError(`format version ${version} is newer than 1, the latest this release reads`);
  if (version < 1) throw new FormatError(`format version ${version} does not exist, the first is 1`);
  const fixed = cursor.take(16, where);
  const layout = fixed[5];
  const [width, height] = [cursor.varint(where), cursor.varint(where)];
  const lengths = Array.from({ length: 1 + (layout & 0x3f) }, () => cursor.varint(where));
  const before = data.slice(0, cursor.at);
  before[5] &= 0x7f;
  const checksum = cursor.number(4, where);
  const check = crc32(data.subarray(0, cursor.at)) & 0xffff;
  const found = cursor.take(2, where);
  if (found[0] + 256 * found[1] !== check) {
    const expected = hex([check & 0xff, check >> 8]);
    throw new FormatError(`the header is damaged (its checksum should be ${expected}, found ${hex(found)})`);
  }
  const header = {
    fingerprint: hex(fixed.subarray(6, 14)), quality: fixed[14] + 256 * fixed[15], width, height,
    grey: Boolean(layout & 0x40), hasBoxes: Boolean(layout & 0x80), lengths, checksum, seed: crc32(before),
  };
  const fault = impossible(header);
  if (fault) throw new FormatError(fault);
  return header;
}

function impossible({ quality, width, height, lengths }) {
  if (quality < 1) return `the quality should be 1 to 65535 thousandths, found ${quality}`;
  if (width < 1 || height < 1 || width > SIDE_AT_MOST || height > SIDE_AT_MOST) {
    return `width and height should be 1 to ${SIDE_AT_MOST}, found ${width}x${height}`;
  }
  if (width * height > PIXELS_AT_MOST) return `the format holds at most ${PIXELS_AT_MOST} pixels, found ${width}x${height}`;
  if (lengths.length < 2) return `expected 1 to 63 slice streams, found ${lengths.length - 1}`;
  return null;
}

async function readBoxes(cursor) {
  const boxes = new Map();
  const count = cursor.varint("the boxes");
  if (count === 0) throw new FormatError("the header says that boxes follow the streams, found none");
  for (let number = 0; number < count; number++) {
    const type = cursor.take(4, "the boxes");
    if (!type.every((byte) => byte >= 0x20 && byte <= 0x7e)) {
      throw new FormatError(`expected a box type of four printable letters, found the bytes ${hex(type)}`);
    }
    const stored = letters(type);
    const length = cursor.varint("the boxes");
    if (length + 4 > cursor.left) {
      throw new FormatError(`the ${stored} box needs ${length + 4} bytes but only ${cursor.left} are left`);
    }
    const payload = cursor.take(length, "the boxes");
    if (cursor.number(4, "the boxes") !== crc32(payload, crc32(type))) {
      throw new FormatError(`the ${stored} box is damaged (its checksum is wrong)`);
    }
    await keep(stored, payload, boxes);
  }
  return boxes;
}

async function keep(stored, payload, boxes) {
  const kind = PLAIN[stored] ?? stored;
  if (boxes.has(kind)) throw new FormatError(`expected one ${kind} box, found a second`);
  if ((kind === "ICCP" && boxes.has("srgb")) || (kind === "srgb" && boxes.has("ICCP"))) {
    throw new FormatError("expected one box about colours, found both an ICC profile and sRGB");
  }
  if (KNOWN.has(kind)) boxes.set(kind, kind === stored ? payload : await unpacked(stored, payload));
  else if (!/^[a-z]/.test(kind)) {
    throw new FormatError(`the box type ${kind} is unknown, the file was written by a later version`);
  }
}

async function unpacked(kind, payload) {
  const cursor = new Cursor(payload, `inside the ${kind} box: `);
  const length = cursor.varint("its length");
  if (length < 1 || length > INFLATED_AT_MOST) {
    throw cursor.error(`a deflated payload has 1 to ${INFLATED_AT_MOST} bytes, found ${length}`);
  }
  const plain = await inflate(payload.subarray(cursor.at), "deflate-raw", length);
  if (!plain) throw cursor.error(`expected a deflate stream of exactly ${length} bytes`);
  return plain;
}

/** Inflate bytes or a blob to exactly `length` bytes, or null; no more than these are ever held. */
export async function inflate(data, kind, length) {
  const blob = new Blob([data]);
  const plain = await inflated(blob, kind, length);
  // Not every DecompressionStream minds bytes behind the end: then the stream is whole without its last byte.
  return plain && !(await inflated(blob.slice(0, -1), kind, length)) ? plain : null;
}

async function inflated(blob, kind, length) {
  const out = new Uint8Array(length);
  const reader = blob.stream().pipeThrough(new DecompressionStream(kind)).getReader();
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return at === length ? out : null;
      if (at + value.length > length) return null;
      out.set(value, at);
      at += value.length;
    }
  } catch {
    return null; // no deflate stream, or bytes after it
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The bytes of the preview and its size, or null where there is none that may be shown. */
export function preview(boxes) {
  const webp = boxes.get("prev");
  if (!webp || webp.length > PREVIEW_BYTES || webp.length < 30) return null;
  if (letters(webp.subarray(0, 4)) !== "RIFF" || letters(webp.subarray(8, 12)) !== "WEBP") return null;
  const number = (first, count) => webp.subarray(first, first + count).reduce((v, byte, place) => v + byte * 256 ** place, 0);
  const packed = number(21, 4);
  const sizes = {
    "VP8 ": [number(26, 2) & 0x3fff, number(28, 2) & 0x3fff],
    VP8L: [(packed & 0x3fff) + 1, ((packed >>> 14) & 0x3fff) + 1],
    VP8X: webp[20] & 2 ? [0, 0] : [number(24, 3) + 1, number(27, 3) + 1],
  };
  const [width, height] = sizes[letters(webp.subarray(12, 16))] ?? [0, 0];
  if (width < 1 || height < 1 || width > PREVIEW_SIDE || height > PREVIEW_SIDE) return null;
  return { webp, width, height };
}
