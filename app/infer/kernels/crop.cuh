// Frames into a classifier's input: the shorter side fills it, the middle is cut out. As app/vision/preprocess.py.
#pragma once
#include "preprocess.cuh"

constexpr int FILTER_BITS = 22;
constexpr int FILTER_HALF = 1 << (FILTER_BITS - 1);

__device__ inline double triangle(double place) {
    const double distance = place < 0.0 ? -place : place;
    return distance < 1.0 ? 1.0 - distance : 0.0;
}

// The samples under Pillow's triangle filter, which grows with the scale, and where their weights are.
struct Taps {
    int first, count;
    const int* weights;
};

// Pillow's weights are whole numbers of 22 bits, made of doubles: of each row and column once, as doubles are slow.
__device__ inline Taps taps_at(const Frame& frame, int line, int at, int size, int resized, bool fill) {
    const double scale = double(size) / double(resized), width = scale > 1.0 ? scale : 1.0;
    const double centre = (at + 0.5) * scale, inverse = 1.0 / width;
    const int first = max(int(centre - width + 0.5), 0), count = min(int(centre + width + 0.5), size) - first;
    int* weights = reinterpret_cast<int*>(frame.room) + line * frame.room_size;
    if (!fill) return {first, count, weights};
    double total = 0.0;
    for (int index = 0; index < count; ++index) total += triangle((index + first - centre + 0.5) * inverse);
    for (int index = 0; index < count; ++index) {
        const double share = triangle((index + first - centre + 0.5) * inverse) / total;
        weights[index] = int(0.5 + share * (1 << FILTER_BITS));
    }
    return {first, count, weights};
}

__device__ inline Taps row_taps(const Job& job, int slot, int y, bool fill = false) {
    const Frame& frame = job.frames[slot];
    return taps_at(frame, y, y - frame.top, frame.height, frame.content_height, fill);
}

__device__ inline Taps column_taps(const Job& job, int slot, int x, bool fill = false) {
    const Frame& frame = job.frames[slot];
    return taps_at(frame, job.input_height + x, x - frame.left, frame.width, frame.content_width, fill);
}

extern "C" __global__ void crop_weights(const Job job) {
    const int slot = blockIdx.z, line = blockIdx.x * blockDim.x + threadIdx.x;
    if (!job.frames[slot].used || line >= job.input_height + job.input_width) return;
    if (line < job.input_height)
        row_taps(job, slot, line, true);
    else
        column_taps(job, slot, line - job.input_height, true);
}

struct Sum {
    int blue, green, red;

    __device__ void add(const Pixel& pixel, int weight) {
        blue += pixel.blue * weight, green += pixel.green * weight, red += pixel.red * weight;
    }

    __device__ Pixel rounded() const {
        return {clamp_byte(blue >> FILTER_BITS), clamp_byte(green >> FILTER_BITS), clamp_byte(red >> FILTER_BITS)};
    }
};

__device__ inline Pixel filtered_row(const Row& row, const Taps& taps) {
    Sum sum = {FILTER_HALF, FILTER_HALF, FILTER_HALF};
    for (int index = 0; index < taps.count; ++index) sum.add(row.at(taps.first + index), taps.weights[index]);
    return sum.rounded();
}

// For classification: the shorter side fills the input, the middle is cut out. Rounded to bytes between the passes.
extern "C" __global__ void crop(const Job job) {
    const int slot = blockIdx.z, at = blockIdx.x * blockDim.x + threadIdx.x;
    const Frame& frame = job.frames[slot];
    begin_frame(job, slot);
    if (!frame.used || at >= job.input_height * job.input_width) return;
    const int y = at / job.input_width, x = at % job.input_width;
    const Taps rows = row_taps(job, slot, y), columns = column_taps(job, slot, x);
    Sum sum = {FILTER_HALF, FILTER_HALF, FILTER_HALF};
    for (int index = 0; index < rows.count; ++index) {
        const int weight = rows.weights[index];
        if (weight != 0) sum.add(filtered_row(row_of(frame, rows.first + index), columns), weight);
    }
    store(job, slot, y, x, sum.rounded());
}
