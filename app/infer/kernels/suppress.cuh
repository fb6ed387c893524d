// Candidates, best first, into the objects that are reported, written where the host reads them.
#pragma once
#include "types.cuh"

constexpr int SUPPRESS_THREADS = 1024;
constexpr int CHUNK = 256;
constexpr int CHUNK_WORDS = CHUNK / 32;

struct Chunk {
    Box boxes[CHUNK];               // moved apart by class
    u32 overlap[CHUNK][CHUNK_WORDS];  // with later boxes of the chunk
    u32 alive[CHUNK_WORDS];
    int picked[CHUNK];
    int taken, total;
};

// In the CPU path's order of operations: decisions near the threshold hang on the last bits.
__device__ inline bool overlaps(const Box& one, const Box& two, float iou) {
    const float width = fmaxf(fminf(one.right, two.right) - fmaxf(one.left, two.left), 0.0f);
    const float height = fmaxf(fminf(one.bottom, two.bottom) - fmaxf(one.top, two.top), 0.0f);
    const float shared = width * height;
    if (shared == 0.0f) return false;
    const float own = (one.right - one.left) * (one.bottom - one.top);
    const float other = (two.right - two.left) * (two.bottom - two.top);
    return shared / (own + other - shared) > iou;
}

__device__ inline Box moved_apart(const Candidate& one) {
    const float by = float(one.class_id) * CLASS_DISTANCE;
    return {one.box.left + by, one.box.top + by, one.box.right + by, one.box.bottom + by};
}

__device__ inline void kill(Chunk& chunk, int index) { atomicAnd(&chunk.alive[index / 32], ~(1u << index % 32)); }

__device__ inline void compare_boxes(const Job& job, Chunk& chunk, const Box* kept, int size) {
    const int index = threadIdx.x % CHUNK;
    for (int other = threadIdx.x / CHUNK; index < size && other < chunk.total; other += SUPPRESS_THREADS / CHUNK) {
        if (!overlaps(kept[other], chunk.boxes[index], job.iou)) continue;
        kill(chunk, index);
        break;
    }
    for (int task = threadIdx.x; task < CHUNK * CHUNK_WORDS; task += SUPPRESS_THREADS) {
        const int own = task % CHUNK, word = task / CHUNK;
        const int begin = max(word * 32, own + 1), end = min(word * 32 + 32, size);
        u32 bits = 0;
        for (int other = begin; own < size && other < end; ++other)
            if (overlaps(chunk.boxes[own], chunk.boxes[other], job.iou)) bits |= 1u << other % 32;
        chunk.overlap[own][word] = bits;
    }
}

// One thread picks, best first; each that is picked removes those that it overlaps.
__device__ inline void pick(Chunk& chunk, bool by_overlap, int limit) {
    u32 removed[CHUNK_WORDS] = {};
    int taken = 0;
#pragma unroll
    for (int word = 0; word < CHUNK_WORDS; ++word) {
        u32 left = chunk.alive[word] & ~removed[word];
        while (left && chunk.total + taken < limit) {
            const int bit = __ffs(left) - 1, index = word * 32 + bit;
            chunk.picked[taken++] = index;
            if (by_overlap) {
#pragma unroll
                for (int other = 0; other < CHUNK_WORDS; ++other) removed[other] |= chunk.overlap[index][other];
            }
            left &= ~(1u << bit) & ~removed[word];
        }
    }
    chunk.taken = taken;
}

__device__ inline void suppress_chunk(const Job& job, Chunk& chunk, int slot, int start, int size) {
    const bool by_overlap = job.head == RAW && job.task != OBB, rotated = job.head == RAW && job.task == OBB;
    const int thread = threadIdx.x;
    const i64 rows = i64(slot) * job.rows + start, limit = i64(slot) * job.limit;
    if (thread < CHUNK_WORDS) chunk.alive[thread] = 0;
    __syncthreads();
    if (thread < size) {
        if (by_overlap) chunk.boxes[thread] = moved_apart(job.sorted[rows + thread]);
        if (!rotated || !job.dead[rows + thread]) atomicOr(&chunk.alive[thread / 32], 1u << thread % 32);
    }
    __syncthreads();
    if (by_overlap) compare_boxes(job, chunk, job.kept_boxes + limit, size);
    __syncthreads();
    if (thread == 0) pick(chunk, by_overlap, job.limit);
    __syncthreads();
    if (thread < chunk.taken) {
        const int index = chunk.picked[thread];
        job.kept[limit + chunk.total + thread] = start + index;
        if (by_overlap) job.kept_boxes[limit + chunk.total + thread] = chunk.boxes[index];
    }
    __syncthreads();
    if (thread == 0) chunk.total += chunk.taken;
    __syncthreads();
}

__device__ inline float to_frame_x(const Frame& frame, float x) {
    return fminf(fmaxf((x - float(frame.left)) / frame.gain_x, 0.0f), float(frame.width));
}

__device__ inline float to_frame_y(const Frame& frame, float y) {
    return fminf(fmaxf((y - float(frame.top)) / frame.gain_y, 0.0f), float(frame.height));
}

struct Rotated {
    float x, y, width, height, angle;
};

__device__ inline Rotated rotated_to_frame(const Frame& frame, const Candidate& one) {
    return {(one.box.left - float(frame.left)) / frame.gain_x, (one.box.top - float(frame.top)) / frame.gain_y,
            one.box.right / frame.gain_x, one.box.bottom / frame.gain_y, one.angle};
}

// The box around a rotated one's corners.
__device__ inline Box around(const Rotated& one) {
    const float cosine = cosf(one.angle), sine = sinf(one.angle);
    const float along_x = one.width / 2.0f * cosine, along_y = one.width / 2.0f * sine;
    const float across_x = one.height / 2.0f * -sine, across_y = one.height / 2.0f * cosine;
    const float x = fmaxf(fabsf(along_x + across_x), fabsf(along_x - across_x));
    const float y = fmaxf(fabsf(along_y + across_y), fabsf(along_y - across_y));
    return {one.x - x, one.y - y, one.x + x, one.y + y};
}

__device__ inline Box box_in_frame(const Job& job, const Frame& frame, const Candidate& one) {
    if (job.task == OBB) return around(rotated_to_frame(frame, one));
    return {to_frame_x(frame, one.box.left), to_frame_y(frame, one.box.top), to_frame_x(frame, one.box.right),
            to_frame_y(frame, one.box.bottom)};
}

// A pixel belongs to a box by its corner.
__device__ inline void place_mask(const Job& job, int slot, const Candidate& one, Object& object) {
    const Box box = box_in_frame(job, job.frames[slot], one);
    const int left = int(ceilf(box.left)), top = int(ceilf(box.top));
    const int width = max(int(ceilf(box.right)) - left, 0), height = max(int(ceilf(box.bottom)) - top, 0);
    const u64 units = (u64(width) * height + 15) / 16;
    object = {i64(atomicAdd(&job.states[slot].mask_units, units)), one.row, left, top, width, height, 0};
}

__device__ inline int mask_word(const Object& object, int word) {
    const int words[] = {object.left, object.top, object.width, object.height, int(object.offset), 0};
    return words[word];
}

__device__ inline float keypoint_word(const Job& job, const Frame& frame, int slot, int row, int word) {
    const int part = word % 3, value = 4 + word / 3 * job.keypoint_values + part;
    if (part == 2) return job.keypoint_values == 3 ? value_of(job, slot, row, value) : 1.0f;
    const float place = value_of(job, slot, row, value);
    return part == 0 ? to_frame_x(frame, place) : to_frame_y(frame, place);
}

__device__ inline int record_word(const Job& job, int slot, const Candidate& one, const Object& object, int word) {
    const Frame& frame = job.frames[slot];
    if (word == 4) return __float_as_int(one.score);
    if (word == 5) return one.class_id;
    if (word >= FIXED_WORDS && job.task == SEGMENT) return mask_word(object, word - FIXED_WORDS);
    if (word >= FIXED_WORDS && job.task == POSE)
        return __float_as_int(keypoint_word(job, frame, slot, one.row, word - FIXED_WORDS));
    if (word >= FIXED_WORDS) {
        const Rotated rotated = rotated_to_frame(frame, one);
        const float values[] = {rotated.x, rotated.y, rotated.width, rotated.height, rotated.angle};
        return __float_as_int(values[word - FIXED_WORDS]);
    }
    const Box box = box_in_frame(job, frame, one);
    return __float_as_int(word == 0 ? box.left : word == 1 ? box.top : word == 2 ? box.right : box.bottom);
}

__device__ inline void report(const Job& job, int slot, int count) {
    const i64 rows = i64(slot) * job.rows, limit = i64(slot) * job.limit;
    for (int index = threadIdx.x; job.task == SEGMENT && index < count; index += SUPPRESS_THREADS)
        place_mask(job, slot, job.sorted[rows + job.kept[limit + index]], job.objects[limit + index]);
    __syncthreads();
    int* records = job.records + i64(slot) * (job.limit + 1) * job.record_words;
    for (int at = threadIdx.x; at < count * job.record_words; at += SUPPRESS_THREADS) {
        const int index = at / job.record_words;
        const Object object = job.task == SEGMENT ? job.objects[limit + index] : Object{};
        const Candidate& one = job.sorted[rows + job.kept[limit + index]];
        records[job.record_words + at] = record_word(job, slot, one, object, at % job.record_words);
    }
    if (threadIdx.x == 0) {
        job.states[slot].count = count;
        records[0] = count;
        records[1] = int(job.states[slot].mask_units);
    }
}

// One block a frame: suppression by chunks, until enough are kept.
extern "C" __global__ void __launch_bounds__(SUPPRESS_THREADS) suppress(const Job job) {
    __shared__ Chunk chunk;
    const int slot = blockIdx.z;
    if (!job.frames[slot].used) return;
    if (threadIdx.x == 0) chunk.total = 0;
    __syncthreads();
    const int candidates = min(job.states[slot].candidates, MAX_CANDIDATES);
    for (int start = 0; start < candidates && chunk.total < job.limit; start += CHUNK)
        suppress_chunk(job, chunk, slot, start, min(CHUNK, candidates - start));
    report(job, slot, chunk.total);
}
