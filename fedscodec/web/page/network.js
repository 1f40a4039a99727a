// A network as `feds web` writes it: safetensors with what a decoder needs, and nothing that it does not.

const KINDS = { F16: [Uint16Array, 2], F32: [Float32Array, 4], I8: [Int8Array, 1], I32: [Int32Array, 4] };

const HALF = (() => {
  // Every float16 as float32.
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
})();

export class Network {
  /** @param {ArrayBuffer} buffer the bytes of the file */
  constructor(buffer) {
    const length = Number(new DataView(buffer).getBigUint64(0, true));
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    this.metadata = head.__metadata__;
    delete head.__metadata__;
    this.spec = JSON.parse(this.metadata.spec);
    this.fingerprint = this.metadata.fingerprint;
    this.name = this.metadata.name ?? "network";
    this.entries = head;
    this.buffer = buffer;
    this.start = 8 + length;
  }

  has(name) {
    return Object.hasOwn(this.entries, name);
  }

  shape(name) {
    return this.entry(name).shape;
  }

  entry(name) {
    if (!this.has(name)) throw new Error(`the network has no array ${name}`);
    return this.entries[name];
  }

  /** The numbers of an array, as integers or as float32. */
  array(name) {
    const { dtype, data_offsets: [first, end] } = this.entry(name);
    const [Kind, size] = KINDS[dtype];
    const bytes = this.buffer.slice(this.start + first, this.start + end); // aligned
    const numbers = new Kind(bytes, 0, (end - first) / size);
    if (dtype !== "F16") return numbers;
    const floats = new Float32Array(numbers.length);
    for (let n = 0; n < floats.length; n++) floats[n] = HALF[numbers[n]];
    return floats;
  }
}
