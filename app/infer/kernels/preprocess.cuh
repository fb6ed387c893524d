// Frames into the network's input: resized, RGB, 0 to 1, planes, FP32 or FP16. As app/vision/preprocess.py.
#pragma once
#include "types.cuh"

constexpr int LETTERBOX_THREADS = 160;
constexpr int PIXELS = 4;      // per thread
constexpr int TILE = 12288;    // bytes of shared memory: two rows of BGR, or two of luma and two of chroma
constexpr int GREY = 114;
constexpr int WEIGHT_BITS = 11;

struct Pixel {
    int blue, green, red;
};

// Two neighbouring samples and their weights, which add up to 2048: OpenCV's INTER_LINEAR on bytes. At the edges it
// gives one column all the weight, but mixes a row with itself, which rounds differently.
struct Between {
    int first, second, weight0, weight1;
};

enum Axis { ROWS, COLUMNS };

template <Axis AXIS>
__device__ inline Between between(int at, int size, int resized) {
    // The place (at + ½) · size / resized − ½ in whole numbers, one added so that none is negative; 64 bits are slow.
    const u64 denominator = 2 * u64(resized), numerator = u64(2 * at + 1) * size + resized;
    const bool is_small = denominator * (u64(size) + 1) >> 32 == 0;
    const u64 whole = is_small ? u32(numerator) / u32(denominator) : numerator / denominator;
    const float rest = float(numerator - whole * denominator);
    const float place = float(i64(whole) - 1) + rest / float(denominator);  // rounded as OpenCV's float is
    const int first = int(floorf(place));
    const bool outside = first < 0 || first >= size - 1;
    const float part = AXIS == COLUMNS && outside ? 0.0f : place - float(first), one = 1 << WEIGHT_BITS;
    return {min(max(first, 0), size - 1), min(max(first + 1, 0), size - 1), int(rintf((1.0f - part) * one)),
            int(rintf(part * one))};
}

__device__ inline int mixed(int upper, int lower, const Between& rows) {
    return (((rows.weight0 * (upper >> 4)) >> 16) + ((rows.weight1 * (lower >> 4)) >> 16) + 2) >> 2;
}

__device__ inline Pixel bgr_at(const byte* row, int x) {
    const byte* pixel = row + 3 * i64(x);
    return {pixel[0], pixel[1], pixel[2]};
}

__device__ inline int clamp_byte(int value) { return min(max(value, 0), 255); }

// BT.601, limited range, in OpenCV's whole numbers.
__device__ inline Pixel nv12_at(const byte* luma, const byte* chroma, int x) {
    const int y = max(luma[x] - 16, 0) * 1220542;
    const int u = chroma[x / 2 * 2] - 128, v = chroma[x / 2 * 2 + 1] - 128, half = 1 << 19;
    return {clamp_byte((y + 2116026 * u + half) >> 20), clamp_byte((y - 409993 * u - 852492 * v + half) >> 20),
            clamp_byte((y + 1673527 * v + half) >> 20)};
}

struct Row {
    const byte* pixels;
    const byte* chroma;

    __device__ Pixel at(int x) const { return chroma ? nv12_at(pixels, chroma, x) : bgr_at(pixels, x); }
};

__device__ inline Row row_of(const Frame& frame, int y) {
    const byte* chroma = reinterpret_cast<const byte*>(frame.near_chroma);
    return {reinterpret_cast<const byte*>(frame.near_pixels) + y * frame.pitch,
            chroma ? chroma + y / 2 * frame.chroma_pitch : nullptr};
}

// Byte / 255, the same bits as the division. The byte becomes a float as the last bits of 2²³, for less than by a cast.
__device__ inline float unit(int byte_value) {
    const float value = __int_as_float(0x4b000000 | byte_value) - 8388608.0f;
    const float inverse = 1.0f / 255.0f, quotient = value * inverse;
    return fmaf(fmaf(-255.0f, quotient, value), inverse, quotient);
}

__device__ inline void store(const Job& job, int slot, int y, int x, const Pixel& pixel) {
    const int values[3] = {pixel.red, pixel.green, pixel.blue};
    for (int channel = 0; channel < 3; ++channel) {
        const i64 at = ((i64(slot) * 3 + channel) * job.input_height + y) * job.input_width + x;
        if (job.input_is_half)
            static_cast<unsigned short*>(job.input)[at] = float_to_half(unit(values[channel]));
        else
            static_cast<float*>(job.input)[at] = unit(values[channel]);
    }
}

struct alignas(16) Floats {
    float values[PIXELS];
};

struct alignas(8) Halves {
    u32 pairs[PIXELS / 2];
};

// Pixels side by side, where each channel's are one aligned word.
__device__ inline void store_row(const Job& job, int slot, int y, int x, const Pixel* pixels) {
    const i64 plane = i64(job.input_height) * job.input_width;
    i64 at = (i64(slot) * 3 * plane + i64(y) * job.input_width + x) / PIXELS;
    for (int channel = 0; channel < 3; ++channel, at += plane / PIXELS) {
        Floats row;
        for (int index = 0; index < PIXELS; ++index) {
            const Pixel& pixel = pixels[index];
            row.values[index] = unit(channel == 0 ? pixel.red : channel == 1 ? pixel.green : pixel.blue);
        }
        const float* v = row.values;
        if (job.input_is_half)
            static_cast<Halves*>(job.input)[at] = {halves(v[0], v[1]), halves(v[2], v[3])};
        else
            static_cast<Floats*>(job.input)[at] = row;
    }
}

__device__ inline const byte* word_below(const byte* address) {
    return reinterpret_cast<const byte*>(reinterpret_cast<u64>(address) & ~u64(15));
}

// Bytes [begin, end) of a row into `tile`, by all threads; returns where byte 0 of the row would lie.
__device__ inline const byte* staged(byte* tile, const byte* row, i64 begin, i64 end) {
    const byte* from = word_below(row + begin);
    const int words = int((row + end - from + 15) / 16);
    for (int word = threadIdx.x; word < words; word += blockDim.x)
        reinterpret_cast<Word*>(tile)[word] = reinterpret_cast<const Word*>(from)[word];
    return tile - (from - row);
}

// The columns [begin, end) of a row, by way of shared memory where they fit into half a tile.
__device__ inline Row near_row(byte* half_tile, const Frame& frame, int y, int begin, int end) {
    const Row row = row_of(frame, y);
    if (!row.chroma) {
        const bool fits = 3 * i64(end - begin) + 32 <= TILE / 2;
        return {fits ? staged(half_tile, row.pixels, 3 * i64(begin), 3 * i64(end)) : row.pixels, nullptr};
    }
    const bool fits = end - begin + 34 <= TILE / 4;
    if (!fits) return row;
    return {staged(half_tile, row.pixels, begin, end),
            staged(half_tile + TILE / 4, row.chroma, begin / 2 * 2, (end + 1) / 2 * 2)};
}

__device__ inline Pixel resized_pixel(const Row& upper, const Row& lower, const Between& rows, const Between& columns) {
    const bool mixes = columns.weight1 != 0;  // not where the frame shrinks by a whole odd number, as 1920 to 640
    const Pixel a = upper.at(columns.first), b = mixes ? upper.at(columns.second) : a;
    const int c0 = columns.weight0, c1 = columns.weight1;
    const Pixel above = {a.blue * c0 + b.blue * c1, a.green * c0 + b.green * c1, a.red * c0 + b.red * c1};
    if (rows.weight1 == 0)
        return {mixed(above.blue, 0, rows), mixed(above.green, 0, rows), mixed(above.red, 0, rows)};
    const Pixel c = lower.at(columns.first), d = mixes ? lower.at(columns.second) : c;
    return {mixed(above.blue, c.blue * c0 + d.blue * c1, rows), mixed(above.green, c.green * c0 + d.green * c1, rows),
            mixed(above.red, c.red * c0 + d.red * c1, rows)};
}

__device__ inline void begin_frame(const Job& job, int slot) {
    if (threadIdx.x == 0 && blockIdx.x == 0 && blockIdx.y == 0) job.states[slot] = {0, 0, 0};
}

extern "C" __global__ void __launch_bounds__(LETTERBOX_THREADS) letterbox(const Job job) {
    __shared__ Word words[TILE / 16];
    byte* tile = reinterpret_cast<byte*>(words);
    const int slot = blockIdx.z, out_y = blockIdx.y, begin = blockIdx.x * LETTERBOX_THREADS * PIXELS;
    const Frame& frame = job.frames[slot];
    begin_frame(job, slot);
    if (!frame.used) return;
    const int y = out_y - frame.top, left = frame.left;
    const int first = max(begin - left, 0);
    const int last = min(begin + LETTERBOX_THREADS * PIXELS - left, frame.content_width) - 1;
    const bool has_content = y >= 0 && y < frame.content_height && first <= last;
    Between rows = {};
    Row upper = {}, lower = {};
    if (has_content) {
        rows = between<ROWS>(y, frame.height, frame.content_height);
        // Generous: exact places take divisions, and a few bytes more cost nothing.
        const float scale = float(frame.width) / float(frame.content_width);
        const int from = max(int(float(first) * scale) - 2, 0);
        const int to = min(int(float(last + 1) * scale) + 3, frame.width);
        upper = near_row(tile, frame, rows.first, from, to);
        lower = rows.weight1 ? near_row(tile + TILE / 2, frame, rows.second, from, to) : upper;
    }
    __syncthreads();
    const int out_x = begin + threadIdx.x * PIXELS;
    Pixel pixels[PIXELS];
    for (int index = 0; index < PIXELS; ++index) {
        const int x = out_x + index - left;
        pixels[index] = {GREY, GREY, GREY};
        if (has_content && x >= first && x <= last)
            pixels[index] = resized_pixel(upper, lower, rows, between<COLUMNS>(x, frame.width, frame.content_width));
    }
    if (job.input_width % PIXELS == 0) {
        if (out_x < job.input_width) store_row(job, slot, out_y, out_x, pixels);
        return;
    }
    for (int index = 0; index < PIXELS && out_x + index < job.input_width; ++index)
        store(job, slot, out_y, out_x + index, pixels[index]);
}

__device__ inline void copy_bytes(u64 to, u64 from, i64 bytes) {
    const i64 start = i64(from & 15);  // both lie alike within their words
    const Word* source = reinterpret_cast<const Word*>(from - start);
    Word* target = reinterpret_cast<Word*>(to - start);
    for (i64 word = threadIdx.x; word < (start + bytes + 15) / 16; word += blockDim.x) target[word] = source[word];
}

__device__ inline void copy_row(const Frame& frame, int y) {
    const bool bgr = frame.chroma == 0;
    copy_bytes(frame.near_pixels + y * frame.pitch, frame.pixels + y * frame.pitch, bgr ? 3 * i64(frame.width) : frame.width);
    if (bgr) return;
    const i64 at = y / 2 * frame.chroma_pitch;
    copy_bytes(frame.near_chroma + at, frame.chroma + at, (frame.width + 1) / 2 * 2);
}

__device__ inline int last_row(const Between& rows) { return rows.weight1 ? rows.second : rows.first; }

// The rows that the letterbox reads, and no others, from the host's memory into the GPU's.
extern "C" __global__ void upload(const Job job) {
    const Frame& frame = job.frames[blockIdx.z];
    if (!frame.used) return;
    if (job.task == CLASSIFY) {
        for (int y = blockIdx.x; y < frame.height; y += gridDim.x) copy_row(frame, y);
        return;
    }
    for (int y = blockIdx.x; y < frame.content_height; y += gridDim.x) {
        const Between rows = between<ROWS>(y, frame.height, frame.content_height);
        const int done = y ? last_row(between<ROWS>(y - 1, frame.height, frame.content_height)) : -1;
        if (rows.first > done) copy_row(frame, rows.first);
        if (last_row(rows) > max(rows.first, done)) copy_row(frame, rows.second);
    }
}
