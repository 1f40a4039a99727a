// What a file says about its picture: a few fields of Exif, the name of its ICC profile, its XMP. Nothing is trusted.

const TAGS = {
  0x010f: "Make", 0x0110: "Model", 0x0131: "Software", 0x013b: "Artist", 0x8298: "Copyright", 0x010e: "Description",
  0x9003: "Taken", 0x829a: "Exposure", 0x829d: "Aperture", 0x8827: "ISO", 0x920a: "Focal length", 0xa434: "Lens",
};
const [SUB_IFD, GPS_IFD] = [0x8769, 0x8825];
const SIZES = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8 };
const MOST = 200; // entries, and letters of a text

/** Pairs of a name and words, from an Exif block (from its TIFF header on). */
export function exifFields(exif) {
  try {
    const view = new DataView(exif.buffer, exif.byteOffset, exif.length);
    const little = view.getUint16(0) === 0x4949;
    const fields = directory(view, view.getUint32(4, little), little);
    const sub = fields.get(SUB_IFD);
    if (sub) for (const [tag, value] of directory(view, sub[0], little)) fields.set(tag, value);
    const told = [...fields].filter(([tag]) => tag in TAGS).map(([tag, values]) => [TAGS[tag], words(tag, values)]);
    return fields.has(GPS_IFD) ? [...told, ["Place", "the file says where it was taken (GPS)"]] : told;
  } catch {
    return [["Exif", `${exif.length} bytes that cannot be read`]];
  }
}

function directory(view, at, little) {
  const fields = new Map();
  const count = Math.min(view.getUint16(at, little), MOST);
  for (let n = 0; n < count; n++) {
    const entry = at + 2 + 12 * n;
    const [tag, type] = [view.getUint16(entry, little), view.getUint16(entry + 2, little)];
    const number = view.getUint32(entry + 4, little);
    if (!(type in SIZES) || number > 65536) continue;
    const from = number * SIZES[type] > 4 ? view.getUint32(entry + 8, little) : entry + 8;
    fields.set(tag, values(view, from, type, Math.min(number, MOST), little));
  }
  return fields;
}

function values(view, at, type, count, little) {
  if (type === 2) {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, count);
    return [new TextDecoder().decode(bytes).replace(/\0.*$/s, "").trim()];
  }
  const read = {
    1: (n) => view.getUint8(at + n), 3: (n) => view.getUint16(at + 2 * n, little), 4: (n) => view.getUint32(at + 4 * n, little),
    5: (n) => view.getUint32(at + 8 * n, little) / view.getUint32(at + 8 * n + 4, little), 7: (n) => view.getUint8(at + n),
    9: (n) => view.getInt32(at + 4 * n, little),
    10: (n) => view.getInt32(at + 8 * n, little) / view.getInt32(at + 8 * n + 4, little),
  }[type];
  return Array.from({ length: Math.min(count, 8) }, (_, n) => read(n));
}

function words(tag, [value]) {
  if (tag === 0x829a) return value < 0.5 ? `1/${Math.round(1 / value)} s` : `${Number(value.toFixed(2))} s`;
  if (tag === 0x829d) return `f/${Number(value.toFixed(1))}`;
  if (tag === 0x920a) return `${Number(value.toFixed(1))} mm`;
  return String(value);
}

/** What an ICC profile calls itself. */
export function profileName(icc) {
  try {
    const view = new DataView(icc.buffer, icc.byteOffset, icc.length);
    for (let n = 0; n < Math.min(view.getUint32(128), 100); n++) {
      const entry = 132 + 12 * n;
      if (view.getUint32(entry) !== 0x64657363) continue; // desc
      const at = view.getUint32(entry + 4);
      const kind = view.getUint32(at);
      if (kind === 0x6d6c7563) { // mluc: UTF-16
        const [length, offset] = [view.getUint32(at + 20), view.getUint32(at + 24)];
        return text(icc.subarray(at + offset, at + offset + Math.min(length, 2 * MOST)), "utf-16be");
      }
      return text(icc.subarray(at + 12, at + 12 + Math.min(view.getUint32(at + 8), MOST)), "latin1");
    }
  } catch {
    // a profile that cannot be read has no name
  }
  return "unnamed";
}

const text = (bytes, encoding) => new TextDecoder(encoding).decode(bytes).replace(/\0.*$/s, "");
