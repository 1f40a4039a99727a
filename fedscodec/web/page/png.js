// Pixels as a PNG with an ICC profile, for the browser to manage colours by; without one a canvas will do.

import { crc32 } from "./container.js";

/** @returns {Promise<Blob>} */
export async function pngOf({ rgba, width, height }, icc) {
  if (!icc) {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }
  const rows = new Uint8Array(height * (4 * width + 1));
  for (let y = 0; y < height; y++) rows.set(rgba.subarray(4 * width * y, 4 * width * (y + 1)), y * (4 * width + 1) + 1);
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint16(8, 0x0806); // eight bits, RGBA
  const profile = new Uint8Array([...new TextEncoder().encode("icc"), 0, 0, ...(await deflated(icc))]);
  const chunks = [["IHDR", new Uint8Array(head.buffer)], ["iCCP", profile], ["IDAT", await deflated(rows)], ["IEND", new Uint8Array()]];
  const signature = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return new Blob([signature, ...chunks.flatMap(([kind, body]) => chunk(kind, body))], { type: "image/png" });
}

function chunk(kind, body) {
  const name = new TextEncoder().encode(kind);
  const number = (value) => new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);
  return [number(body.length), name, body, number(crc32(body, crc32(name)))];
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
