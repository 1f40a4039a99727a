/* What a decoder of .feds files computes, for WebAssembly: products of matrices, depthwise convolutions, rearrangements,
 * and the stream coder. No library, no allocation: JavaScript says where in memory everything lies.
 *
 * Maps are float32, row by row, the channels of a position together. On the entropy side they hold integers, whose sums
 * stay below 2**24: then float32 is exact in any order of summation, with or without fused multiply-add. What follows
 * such a sum is done in float64, which is exact below 2**53.
 *
 *     python fedscodec/web/kernels/build.py
 */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))

typedef float f32;
typedef double f64;

/* Not the fused one of relaxed SIMD, which brings nothing: 9.6 to 13.8 thousand million a second and this one 13.0
 * (Chromium 156 on a Xeon with FMA, 600x192 by 192x192). */
#define MADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)

/* ── Products of matrices ─────────────────────────────────────────────────────────────────────────────────────── */

enum {
    LANES = 8, /* outputs at once */
    ROWS = 6,  /* rows at once */
    STRIP = 8, /* times so many rows lie packed in the cache, while all weights pass by */
    PACKED = 65536,
};

/* A browser first runs a function as its quick compiler made it, and takes the good version at the next call: so inner
 * loops are functions of their own. */
#define OWN __attribute__((noinline)) static

static f32 packed[PACKED] __attribute__((aligned(16)));

/* `count` <= 6 rows of x side by side: out[k][0..5]. What lies beyond them does not matter, but is no NaN. */
OWN void pack(const f32 *x, int stride, int count, int inputs, f32 *out) {
    for (int r = 0; r < ROWS; r++) {
        const f32 *from = x + (r < count ? (long)r * stride : 0);
        for (int k = 0; k < inputs; k++) out[k * ROWS + r] = from[k];
    }
}

/* out[r][0..7] = sum over k of x[k][r] * w[k][0..7], for six rows. */
OWN void product(const f32 *x, const f32 *w, int inputs, f32 *out) {
    v128_t a[ROWS], b[ROWS];
    for (int r = 0; r < ROWS; r++) a[r] = b[r] = wasm_f32x4_const(0, 0, 0, 0);
#define STEP(K)                                                                                                       \
    {                                                                                                                 \
        v128_t w0 = wasm_v128_load(w + (K) * LANES), w1 = wasm_v128_load(w + (K) * LANES + 4);                        \
        for (int r = 0; r < ROWS; r++) {                                                                              \
            v128_t v = wasm_v128_load32_splat(x + (K) * ROWS + r);                                                    \
            a[r] = MADD(v, w0, a[r]);                                                                                 \
            b[r] = MADD(v, w1, b[r]);                                                                                 \
        }                                                                                                             \
    }
    int k = 0;
    for (; k + 4 <= inputs; k += 4, x += 4 * ROWS, w += 4 * LANES) {
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
    }
    for (; k < inputs; k++, x += ROWS, w += LANES) STEP(0)
    for (int r = 0; r < ROWS; r++) {
        wasm_v128_store(out + r * LANES, a[r]);
        wasm_v128_store(out + r * LANES + 4, b[r]);
    }
}

typedef struct {
    int mode;                    /* 0 plain, 1 leaky (slope 0.01), 2 added to out, 3 integers */
    const f32 *bias;             /* of 0, 1, 2: [ceil(O / 8) * 8] */
    const f64 *scale, *offset;   /* of 3: out = clamp(floor(sum * scale + offset), low, high), float64 [O] */
    f64 low, high;
} After;

static f64 bounded(f64 v, f64 low, f64 high) { return v < low ? low : v > high ? high : v; }

/* What becomes of `count` rows of eight sums, of which `lanes` are outputs, from output o on. */
OWN void finish(const f32 *sums, f32 *out, int out_stride, int count, int lanes, int o, const After *after) {
    for (int r = 0; r < count; r++, sums += LANES, out += out_stride) {
        if (after->mode == 3) {
            for (int lane = 0; lane < lanes; lane++) {
                f64 v = sums[lane] * after->scale[o + lane] + after->offset[o + lane];
                out[lane] = (f32)bounded(__builtin_floor(v), after->low, after->high);
            }
        } else if (lanes == LANES) {
            for (int half = 0; half < LANES; half += 4) {
                v128_t v = wasm_f32x4_add(wasm_v128_load(sums + half), wasm_v128_load(after->bias + o + half));
                if (after->mode == 1) v = wasm_f32x4_pmax(v, wasm_f32x4_mul(v, wasm_f32x4_splat(0.01f)));
                if (after->mode == 2) v = wasm_f32x4_add(v, wasm_v128_load(out + half));
                wasm_v128_store(out + half, v);
            }
        } else {
            for (int lane = 0; lane < lanes; lane++) {
                f32 v = sums[lane] + after->bias[o + lane];
                if (after->mode == 1 && v < 0) v *= 0.01f;
                out[lane] = after->mode == 2 ? out[lane] + v : v;
            }
        }
    }
}

static void multiply(const f32 *x, int x_stride, const f32 *w, f32 *out, int out_stride, int rows, int inputs, int outputs,
                     const After *after) {
    f32 sums[ROWS * LANES] __attribute__((aligned(16)));
    int fit = PACKED / (ROWS * inputs), groups = fit < STRIP ? fit : STRIP;
    for (int top = 0; top < rows; top += groups * ROWS) {
        int bottom = top + groups * ROWS < rows ? top + groups * ROWS : rows;
        for (int n = top; n < bottom; n += ROWS)
            pack(x + (long)n * x_stride, x_stride, bottom - n < ROWS ? bottom - n : ROWS, inputs, packed + (n - top) * inputs);
        for (int o = 0; o < outputs; o += LANES)
            for (int n = top; n < bottom; n += ROWS) {
                product(packed + (n - top) * inputs, w + (long)o * inputs, inputs, sums);
                finish(sums, out + (long)n * out_stride + o, out_stride, bottom - n < ROWS ? bottom - n : ROWS,
                       outputs - o < LANES ? outputs - o : LANES, o, after);
            }
    }
}

/* out[n][o] (at out + n * out_stride) = x[n] . w + bias, by `mode` of After. w: [ceil(O / 8)][inputs][8], at most 10,000
 * inputs. */
EXPORT(matmul)
void matmul(const f32 *x, int x_stride, const f32 *w, const f32 *bias, f32 *out, int out_stride, int rows, int inputs,
            int outputs, int mode) {
    After after = {mode, bias, 0, 0, 0, 0};
    multiply(x, x_stride, w, out, out_stride, rows, inputs, outputs, &after);
}

/* The same on integers. */
EXPORT(matmul_integer)
void matmul_integer(const f32 *x, int x_stride, const f32 *w, const f64 *scale, const f64 *offset, f32 *out,
                    int out_stride, int rows, int inputs, int outputs, f64 low, f64 high) {
    After after = {3, 0, scale, offset, low, high};
    multiply(x, x_stride, w, out, out_stride, rows, inputs, outputs, &after);
}

/* ── Convolutions ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Each channel by itself, k x k, zeros around: w [k*k][channels]. */
OWN void depthwise_row(const f32 *x, const f32 *w, const f32 *bias, f32 *out, int height, int width, int channels, int k,
                   int y) {
    int half = k / 2;
    for (int c0 = 0; c0 < width; c0++) {
        f32 *to = out + ((long)y * width + c0) * channels;
        int first_row = y < half ? half - y : 0, last_row = y + half >= height ? height - 1 - y + half : k - 1;
        int first = c0 < half ? half - c0 : 0, last = c0 + half >= width ? width - 1 - c0 + half : k - 1;
        int c = 0;
        for (; c + 4 <= channels; c += 4) {
            v128_t sum = wasm_v128_load(bias + c);
            for (int i = first_row; i <= last_row; i++) {
                const f32 *row = x + ((long)(y + i - half) * width + c0 - half) * channels + c;
                const f32 *weights = w + (long)i * k * channels + c;
                for (int j = first; j <= last; j++)
                    sum = MADD(wasm_v128_load(row + (long)j * channels), wasm_v128_load(weights + (long)j * channels), sum);
            }
            wasm_v128_store(to + c, sum);
        }
        for (; c < channels; c++) {
            f32 sum = bias[c];
            for (int i = first_row; i <= last_row; i++)
                for (int j = first; j <= last; j++)
                    sum += x[((long)(y + i - half) * width + c0 + j - half) * channels + c] * w[(long)(i * k + j) * channels + c];
            to[c] = sum;
        }
    }
}

EXPORT(depthwise)
void depthwise(const f32 *x, const f32 *w, const f32 *bias, f32 *out, int height, int width, int channels, int k) {
    for (int y = 0; y < height; y++) depthwise_row(x, w, bias, out, height, width, channels, k, y);
}

/* In place: out = clamp(floor(x * scale[c] + offset[c]), low, high). */
EXPORT(requantise)
void requantise(f32 *x, const f64 *scale, const f64 *offset, int positions, int channels, f64 low, f64 high) {
    for (long n = 0; n < positions; n++, x += channels)
        for (int c = 0; c < channels; c++)
            x[c] = (f32)bounded(__builtin_floor(x[c] * scale[c] + offset[c]), low, high);
}

/* What a k x k kernel sees at every position of row y, for a matrix product: out [width][k*k*channels]. */
EXPORT(windows)
void windows(const f32 *x, f32 *out, int height, int width, int channels, int k, int y) {
    int half = k / 2;
    for (int c0 = 0; c0 < width; c0++)
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++, out += channels) {
                int row = y + i - half, column = c0 + j - half;
                int inside = row >= 0 && row < height && column >= 0 && column < width;
                const f32 *from = x + ((long)row * width + column) * channels;
                for (int c = 0; c < channels; c++) out[c] = inside ? from[c] : 0;
            }
}

/* ── Rearrangements ───────────────────────────────────────────────────────────────────────────────────────────── */

/* [h][w][up][up][c] -> [h*up][w*up][c]: what channels in the order (i, j, c) mean as squares. */
EXPORT(shuffle)
void shuffle(const f32 *x, f32 *out, int height, int width, int channels, int up) {
    for (int y = 0; y < height; y++)
        for (int c0 = 0; c0 < width; c0++)
            for (int i = 0; i < up; i++) {
                f32 *to = out + (((long)y * up + i) * width * up + (long)c0 * up) * channels;
                __builtin_memcpy(to, x, (unsigned long)up * channels * sizeof(f32));
                x += up * channels;
            }
}

/* A rectangle of channels: `count` floats from each position of x to each of out. */
EXPORT(copy)
void copy(const f32 *x, int x_stride, f32 *out, int out_stride, int positions, int count) {
    for (long n = 0; n < positions; n++)
        __builtin_memmove(out + n * out_stride, x + n * x_stride, (unsigned long)count * sizeof(f32));
}

/* What symbols [height / step][width / step][channels / groups] and their means make known: latents = unit * symbol + mean
 * and, for the nets, known = clamp(floor(latent * scale[c] + offset[c]), -limit, limit). They go to every step-th row and
 * column from (row, column) on and to channels first + group, first + group + groups, ... of `total`. */
EXPORT(place)
void place(const int16_t *symbols, const f32 *means, f32 *latents, f32 *known, const f64 *scale, const f64 *offset,
           int height, int width, int total, int first, int channels, int group, int groups, int row, int column, int step,
           f64 unit, f64 limit) {
    for (int y = row; y < height; y += step)
        for (int x = column; x < width; x += step) {
            long at = ((long)y * width + x) * total + first;
            for (int c = group; c < channels; c += groups) {
                f64 value = unit * *symbols++ + *means++;
                latents[at + c] = (f32)value;
                known[at + c] = (f32)bounded(__builtin_floor(value * scale[first + c] + offset[first + c]), -limit, limit);
            }
        }
}

/* Table indices of a map as bytes. */
EXPORT(to_bytes)
void to_bytes(const f32 *x, uint8_t *out, int count) {
    for (int n = 0; n < count; n++) out[n] = (uint8_t)x[n];
}

/* In place: every channel by its factor. */
EXPORT(scale)
void scale(f32 *x, const f32 *factor, int positions, int channels) {
    for (long n = 0; n < positions; n++, x += channels)
        for (int c = 0; c < channels; c++) x[c] *= factor[c];
}

EXPORT(clamp)
void clamp(f32 *x, long count, f32 low, f32 high) {
    for (long n = 0; n < count; n++) x[n] = x[n] < low ? low : x[n] > high ? high : x[n];
}

static uint8_t level(f32 v) {
    v = v * 255.0f + 0.5f;
    return v >= 255.5f ? 255 : v > 0 ? (uint8_t)v : 0; /* NaN gives 0 */
}

/* Pixels of a tile: fine [.][columns][f*f*3], whose corner is the pixel (y0, x0), plus coarse [.][width][16*16*3], both in
 * the order (i, j, c), of which the rectangle top..bottom, left..right (in pixels) goes to rgba. */
EXPORT(pixels)
void pixels(const f32 *fine, const f32 *coarse, uint8_t *rgba, int columns, int width, int f, int y0, int x0, int top,
            int bottom, int left, int right, int grey) {
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++, rgba += 4) {
            int u = y - y0, v = x - x0;
            const f32 *a = fine + ((long)(u / f) * columns + v / f) * f * f * 3 + ((u % f) * f + v % f) * 3;
            const f32 *b = coarse + ((long)(y / 16) * width + x / 16) * 768 + ((y % 16) * 16 + x % 16) * 3;
            f32 r = a[0] + b[0], g = a[1] + b[1], l = a[2] + b[2];
            if (grey) r = g = l = (r + g + l) / 3.0f;
            rgba[0] = level(r), rgba[1] = level(g), rgba[2] = level(l), rgba[3] = 255;
        }
}

/* ── The stream coder (rANS, 64-bit head, 32-bit words, 24-bit frequencies; docs/format.md) ───────────────────── */

typedef struct {
    uint64_t head;
    const uint32_t *words;
    int count; /* words below the head */
} Stack;

static Stack stack;

static uint32_t decode_one(const uint32_t *starts, int symbol) {
    uint32_t q = stack.head & 0xFFFFFF;
    while (starts[symbol + 1] <= q) symbol++;
    stack.head = (stack.head >> 24) * (starts[symbol + 1] - starts[symbol]) + (q - starts[symbol]);
    if (!(stack.head >> 32) && stack.count) stack.head = stack.head << 32 | stack.words[--stack.count];
    return symbol;
}

static const uint32_t halves[3] = {0, 1 << 23, 1 << 24};

/* Begin a stream of `count` whole words, filled up with zeros. */
EXPORT(stream_open)
void stream_open(const uint32_t *words, int count) {
    stack.words = words, stack.count = count, stack.head = 0;
    for (int i = 0; i < 2 && stack.count; i++) stack.head = stack.head << 32 | words[--stack.count];
}

/* Whether everything was read. */
EXPORT(stream_done)
int stream_done(void) { return !stack.count && !stack.head; }

/* A table: low, high, where its starts begin, and 256 symbols to look from, by the high bits of q. */
typedef struct {
    int32_t low, high;
    const uint32_t *starts;
    const uint16_t *near;
} Table;

enum { FINE = 0, EMPTY = 1, FAR = 2, WIDE = 3 };

static int read_escapes(const Table *tables, const uint8_t *index, const int32_t *places, int32_t *work, int count,
                        int16_t *out) {
    int32_t *lengths = work, *distances = work + count;
    for (int i = 0; i < count; i++) lengths[i] = 0, distances[i] = 1;
    int left = count, longest = 0;
    for (int length = 1; left; length++) {
        if (length > 16) return FAR;
        longest = length;
        for (int i = 0; i < count; i++)
            if (!lengths[i] && decode_one(halves, 0)) lengths[i] = length, left--;
    }
    for (int k = longest - 2; k >= 0; k--)
        for (int i = 0; i < count; i++)
            if (lengths[i] > k + 1) distances[i] = 2 * distances[i] + (int)decode_one(halves, 0);
    for (int i = 0; i < count; i++) {
        const Table *table = tables + index[places[i]];
        int32_t value = decode_one(halves, 0) ? table->low - distances[i] : table->high + distances[i];
        if (value < -32768 || value > 32767) return WIDE;
        out[places[i]] = (int16_t)value;
    }
    return FINE;
}

/* Symbols of `count` positions, each by the table of its index; those of the first `skip` tables are 0. work: int32
 * [4 * count]. Returns FINE, or what is wrong. */
EXPORT(stream_read)
int stream_read(const Table *tables, int table_count, int skip, const uint8_t *index, int count, int16_t *out,
                int32_t *work) {
    int32_t begins[257], *order = work, *escaped = work + count, escapes = 0;
    for (int k = 0; k <= table_count; k++) begins[k] = 0;
    for (int i = 0; i < count; i++) begins[index[i] + 1]++;
    for (int k = 0; k < table_count; k++) begins[k + 1] += begins[k];
    for (int k = table_count; k > 0; k--) begins[k] = begins[k - 1];
    begins[0] = 0; /* now where each table's places are to be put next */
    for (int i = 0; i < count; i++) order[begins[index[i] + 1]++] = i;
    for (int i = 0; i < (skip ? begins[skip] : 0); i++) out[order[i]] = 0;
    uint32_t least = 1 << 24;
    for (int k = 0; k < table_count; k++) least = tables[k].starts[1] < least ? tables[k].starts[1] : least;
    for (int k = skip; k < table_count; k++) {
        const Table *table = tables + k;
        if (begins[k] < begins[k + 1] && !stack.count && stack.head < least) return EMPTY;
        for (int n = begins[k]; n < begins[k + 1]; n++) {
            uint32_t found = decode_one(table->starts, table->near[(stack.head & 0xFFFFFF) >> 16]);
            if (found)
                out[order[n]] = (int16_t)(table->low - 1 + (int)found);
            else
                escaped[escapes++] = order[n];
        }
    }
    return read_escapes(tables, index, escaped, work + 2 * (long)count, escapes, out);
}
