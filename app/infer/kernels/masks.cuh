// Masks at the size of their boxes, one byte a pixel. As app/vision/masks.py.
#pragma once
#include "types.cuh"

constexpr int MASK_THREADS = 256;
constexpr int MASK_BYTES = 16;  // per thread: one word

struct Span {
    int first, last;
};

// Which two samples of the grown prototypes a pixel lies between.
struct Place {
    int first, second;
    float weight;
};

__device__ inline Place place_of(int pixel, float ratio, int content, int margin) {
    const float place = fmaxf((float(pixel) + 0.5f) * ratio - 0.5f, 0.0f);
    const int first = min(int(place), content - 1), second = min(first + 1, content - 1);
    return {first + margin, second + margin, place - float(first)};
}

__device__ inline Place row_place(const Frame& frame, int y) {
    return place_of(y, frame.mask_ratio_y, frame.mask_height, frame.mask_top);
}

__device__ inline Place column_place(const Frame& frame, int x) {
    return place_of(x, frame.mask_ratio_x, frame.mask_width, frame.mask_left);
}

// The prototypes' samples that the pixels [begin, begin + size) need; growing looks one to each side.
__device__ inline Span span_of(Place first, Place last, int factor, int size) {
    return {max(first.first / factor - 1, 0), min(last.second / factor + 1, size - 1)};
}

// Each object's logits, where its box needs them. Blocks take tiles of all objects in turn.
extern "C" __global__ void __launch_bounds__(MASK_THREADS) mask_logits(const Job job) {
    const int slot = blockIdx.z;
    const Frame& frame = job.frames[slot];
    if (!frame.used) return;
    const int count = job.states[slot].count, samples = job.proto_height * job.proto_width;
    const int step = job.head == RAW ? job.rows : 1;  // from one coefficient of an object to the next
    i64 tile = blockIdx.x, base = 0;
    for (int index = 0; index < count; ++index) {
        const Object object = job.objects[i64(slot) * job.limit + index];
        if (object.width == 0 || object.height == 0) continue;
        const Span rows = span_of(row_place(frame, object.top), row_place(frame, object.top + object.height - 1),
                                  frame.mask_factor, job.proto_height);
        const Span columns = span_of(column_place(frame, object.left),
                                     column_place(frame, object.left + object.width - 1), frame.mask_factor,
                                     job.proto_width);
        const int width = columns.last - columns.first + 1, size = width * (rows.last - rows.first + 1);
        const i64 tiles = (size + MASK_THREADS - 1) / MASK_THREADS;
        for (; tile < base + tiles; tile += gridDim.x) {
            const int at = int(tile - base) * MASK_THREADS + threadIdx.x;
            if (at >= size) continue;
            const int sample = (rows.first + at / width) * job.proto_width + columns.first + at % width;
            i64 prototype = i64(slot) * job.channels * samples + sample;
            i64 coefficient = index_of(job, slot, object.row, 4);
            float logit = 0.0f;
#pragma unroll 4
            for (int channel = 0; channel < job.channels; ++channel, prototype += samples, coefficient += step)
                logit += load(job.predictions, coefficient, job.predictions_are_half) *
                         load(job.prototypes, prototype, job.prototypes_are_half);
            job.logits[(i64(slot) * job.limit + index) * samples + sample] = logit;
        }
        base += tiles;
    }
}

struct Logits {
    const float* samples;
    int height, width, factor;

    // A sample of the logits grown by the factor: bilinear, the edges held.
    __device__ float grown(int y, int x) const {
        if (factor == 1) return samples[y * width + x];
        const float place_y = (float(y) + 0.5f) / float(factor) - 0.5f, place_x = (float(x) + 0.5f) / float(factor) - 0.5f;
        const int top = int(floorf(place_y)), left = int(floorf(place_x));
        const float down = place_y - float(top), right = place_x - float(left);
        const float upper = line(top, left, right), lower = line(top + 1, left, right);
        return upper * (1.0f - down) + lower * down;
    }

    __device__ float line(int y, int x, float right) const {
        const float* row = samples + min(max(y, 0), height - 1) * width;
        return row[min(max(x, 0), width - 1)] * (1.0f - right) + row[min(max(x + 1, 0), width - 1)] * right;
    }

    __device__ bool above(const Place& row, const Place& column) const {
        const float a = grown(row.first, column.first), b = grown(row.first, column.second);
        const float c = grown(row.second, column.first), d = grown(row.second, column.second);
        const float upper = a + (b - a) * column.weight, lower = c + (d - c) * column.weight;
        return upper + (lower - upper) * row.weight > 0.0f;
    }
};

// Sixteen pixels of an object, in reading order.
__device__ inline Word mask_pixels(const Frame& frame, const Logits& logits, const Object& object, i64 at) {
    Word word = {};
    int y = int(at / object.width), x = int(at % object.width);
    Place row = row_place(frame, object.top + y);
    for (int index = 0; index < MASK_BYTES && y < object.height; ++index) {
        const u32 pixel = logits.above(row, column_place(frame, object.left + x));
        word.parts[index / 4] |= pixel << index % 4 * 8;
        if (++x < object.width) continue;
        x = 0;
        row = row_place(frame, object.top + ++y);
    }
    return word;
}

extern "C" __global__ void __launch_bounds__(MASK_THREADS) masks(const Job job) {
    const int slot = blockIdx.z;
    const Frame& frame = job.frames[slot];
    if (!frame.used) return;
    const int count = job.states[slot].count, samples = job.proto_height * job.proto_width;
    int* records = job.records + i64(slot) * (job.limit + 1) * job.record_words;
    Word* masks = reinterpret_cast<Word*>(frame.room);
    i64 tile = blockIdx.x, base = 0;
    for (int index = 0; index < count; ++index) {
        const Object object = job.objects[i64(slot) * job.limit + index];
        const i64 units = (i64(object.width) * object.height + MASK_BYTES - 1) / MASK_BYTES;
        if (object.offset + units > frame.room_size) continue;  // the host makes more room and asks again
        const i64 tiles = (units + MASK_THREADS - 1) / MASK_THREADS;
        const Logits logits = {job.logits + (i64(slot) * job.limit + index) * samples, job.proto_height,
                               job.proto_width, frame.mask_factor};
        for (; tile < base + tiles; tile += gridDim.x) {
            const i64 unit = (tile - base) * MASK_THREADS + threadIdx.x;
            Word word = {};
            if (unit < units) {
                word = mask_pixels(frame, logits, object, unit * MASK_BYTES);
                masks[object.offset + unit] = word;
            }
            const bool seen = __syncthreads_or(word.parts[0] | word.parts[1] | word.parts[2] | word.parts[3]);
            if (seen && threadIdx.x == 0) records[(index + 1) * job.record_words + FIXED_WORDS + 5] = 1;
        }
        base += tiles;
    }
}
