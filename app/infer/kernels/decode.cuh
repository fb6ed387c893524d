// The network's answer into candidates, best first. As app/vision/decode.py and app/vision/nms.py.
#pragma once
#include "types.cuh"

constexpr int ANCHORS = 32;  // per block of decode_raw
constexpr int GROUPS = 8;    // that share the classes of an anchor
constexpr int RANK_THREADS = 256;
constexpr float EPS = 1e-7f;

__device__ inline bool is_wanted(const Job& job, int class_id) { return !job.wanted || job.wanted[class_id]; }

// The order of candidates: the surer first, of equals the earlier row. A head that suppresses has its own order.
__device__ inline u64 key_of(const Job& job, float score, int row) {
    const u64 order = 0xffffffffu - u32(row);
    return job.head == RAW ? u64(__float_as_uint(score)) << 32 | order : order;
}

__device__ inline void add_candidate(const Job& job, int slot, int row, float score, int class_id) {
    Box box = {value_of(job, slot, row, 0), value_of(job, slot, row, 1), value_of(job, slot, row, 2),
               value_of(job, slot, row, 3)};
    if (job.head == RAW && job.task != OBB) {
        const float half_width = box.right / 2.0f, half_height = box.bottom / 2.0f;
        box = {box.left - half_width, box.top - half_height, box.left + half_width, box.top + half_height};
    }
    const float angle = job.task == OBB ? value_of(job, slot, row, 4) : 0.0f;
    const i64 at = i64(slot) * job.rows + atomicAdd(&job.states[slot].candidates, 1);
    job.keys[at] = key_of(job, score, row);
    job.found[at] = {box, score, angle, class_id, row};
}

struct Best {
    float score;
    int class_id;
};

template <bool HALF>
__device__ inline Best best_class(const Job& job, int slot, int row, int begin, int end) {
    const i64 start = (i64(slot) * (4 + job.classes + job.extra) + 4) * job.rows + row;
    Best best = {-infinity(), begin};
    bool unknown = false;
#pragma unroll 10
    for (int class_id = begin; class_id < end; ++class_id) {
        const float score = load(job.predictions, start + i64(class_id) * job.rows, HALF);
        unknown |= score != score;
        if (score > best.score) best = {score, class_id};
    }
    return {unknown ? __int_as_float(0x7fc00000) : best.score, best.class_id};
}

// One thread of 32 × 8 looks at an eighth of an anchor's classes; what passes is looked at more closely.
extern "C" __global__ void __launch_bounds__(ANCHORS * GROUPS) decode_raw(const Job job) {
    __shared__ Best bests[GROUPS][ANCHORS];
    __shared__ int passes[ANCHORS];
    const int lane = threadIdx.x % ANCHORS, group = threadIdx.x / ANCHORS, slot = blockIdx.z;
    const int row = blockIdx.x * ANCHORS + lane;
    if (!job.frames[slot].used) return;
    const int share = (job.classes + GROUPS - 1) / GROUPS;
    const int begin = min(group * share, job.classes), end = row < job.rows ? min(begin + share, job.classes) : begin;
    bests[group][lane] = job.predictions_are_half ? best_class<true>(job, slot, row, begin, end)
                                                  : best_class<false>(job, slot, row, begin, end);
    __syncthreads();
    Best best = {-infinity(), 0};
    if (group == 0) {
        bool unknown = false;
        for (int other = 0; other < GROUPS; ++other) {
            const Best theirs = bests[other][lane];
            unknown |= theirs.score != theirs.score;
            if (theirs.score > best.score) best = theirs;
        }
        passes[lane] = !unknown && best.score > job.confidence && best.score < LIMIT && is_wanted(job, best.class_id);
    }
    __syncthreads();
    const bool passed = passes[lane];
    __syncthreads();
    for (int value = group; passed && value < 4 + job.extra; value += GROUPS)
        if (!(fabsf(value_of(job, slot, row, value)) < LIMIT)) atomicExch(&passes[lane], 0);
    __syncthreads();
    if (group == 0 && passes[lane]) add_candidate(job, slot, row, best.score, best.class_id);
}

// Rows of a head that has suppressed already.
extern "C" __global__ void decode_rows(const Job job) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x, slot = blockIdx.z;
    if (!job.frames[slot].used || row >= job.rows) return;
    const i64 start = (i64(slot) * job.rows + row) * (6 + job.extra);
    const float score = load(job.predictions, start + 4, job.predictions_are_half);
    const float class_id = load(job.predictions, start + 5, job.predictions_are_half);
    if (!(class_id >= 0.0f && class_id < float(job.classes) && score > job.confidence && score < LIMIT)) return;
    bool usable = is_wanted(job, int(class_id));
    for (int value = 0; value < 4 + job.extra; ++value) usable &= fabsf(value_of(job, slot, row, value)) < LIMIT;
    if (usable) add_candidate(job, slot, row, score, int(class_id));
}

__device__ inline Gaussian gaussian_of(const Job& job, const Candidate& one) {
    const float x = one.box.left + float(one.class_id) * CLASS_DISTANCE;
    const float y = one.box.top + float(one.class_id) * CLASS_DISTANCE;
    const float width = one.box.right, height = one.box.bottom;
    const float along = width * width / 12.0f, across = height * height / 12.0f;
    const float cosine = cosf(one.angle), sine = sinf(one.angle);
    const float cos2 = cosine * cosine, sin2 = sine * sine, side = fmaxf(width, height);
    return {x, y, along * cos2 + across * sin2, along * sin2 + across * cos2, (along - across) * cosine * sine,
            fminf(width, height) < 1.0f ? infinity() : side * side * job.reach};
}

// Each candidate counts those before it, and goes to that place.
extern "C" __global__ void __launch_bounds__(RANK_THREADS) rank(const Job job) {
    __shared__ u64 tile[RANK_THREADS];
    const int slot = blockIdx.z, index = blockIdx.x * RANK_THREADS + threadIdx.x;
    if (!job.frames[slot].used) return;
    const int count = job.states[slot].candidates;
    if (int(blockIdx.x) * RANK_THREADS >= count) return;
    const i64 start = i64(slot) * job.rows;
    const u64 own = index < count ? job.keys[start + index] : 0;
    int place = 0;
    for (int base = 0; base < count; base += RANK_THREADS) {
        const int size = min(RANK_THREADS, count - base);
        if (int(threadIdx.x) < size) tile[threadIdx.x] = job.keys[start + base + threadIdx.x];
        __syncthreads();
        for (int other = 0; other < size; ++other) place += tile[other] > own;
        __syncthreads();
    }
    if (index >= count || place >= MAX_CANDIDATES) return;
    const Candidate one = job.found[start + index];
    job.sorted[start + place] = one;
    if (job.task == OBB) job.gaussians[start + place] = gaussian_of(job, one);
}

// Probabilistic IoU (Llerena et al. 2021, arXiv:2106.06072): 1 − the Hellinger distance of two Gaussians.
__device__ inline float gaussian_overlap(const Gaussian& one, const Gaussian& two) {
    const float a = one.a + two.a, b = one.b + two.b, c = one.c + two.c, x = one.x - two.x, y = one.y - two.y;
    const float determinant = a * b - c * c;
    float near = (a * (y * y) + b * (x * x)) / (determinant + EPS) * 0.25f;
    near += c * -x * y / (determinant + EPS) * 0.5f;
    const float own = fmaxf(one.a * one.b - one.c * one.c, 0.0f) * fmaxf(two.a * two.b - two.c * two.c, 0.0f);
    const float alike = logf(determinant / (4.0f * sqrtf(own) + EPS) + EPS) * 0.5f;
    const float sum = near + alike;
    if (sum != sum) return 0.0f;  // a negative rest of rounding: no overlap
    const float distance = fminf(fmaxf(sum, EPS), 100.0f);
    return 1.0f - sqrtf(1.0f - expf(-distance) + EPS);
}

// A rotated box goes when any surer one of its class, kept or not, overlaps it.
extern "C" __global__ void rotated_overlaps(const Job job) {
    const int slot = blockIdx.z, worse = blockIdx.x * blockDim.x + threadIdx.x;
    if (!job.frames[slot].used || worse >= min(job.states[slot].candidates, MAX_CANDIDATES)) return;
    const i64 start = i64(slot) * job.rows;
    const Gaussian own = job.gaussians[start + worse];
    const int class_id = job.sorted[start + worse].class_id;
    int dead = 0;
    for (int better = 0; better < worse && !dead; ++better) {
        if (job.sorted[start + better].class_id != class_id) continue;
        const Gaussian theirs = job.gaussians[start + better];
        const float x = own.x - theirs.x, y = own.y - theirs.y;
        if (x * x + y * y <= own.reach + theirs.reach) dead = gaussian_overlap(theirs, own) > job.iou;
    }
    job.dead[start + worse] = dead;
}

// A classifier's answer is its scores; what is no number is no probability.
extern "C" __global__ void scores(const Job job) {
    const int slot = blockIdx.z, class_id = blockIdx.x * blockDim.x + threadIdx.x;
    if (!job.frames[slot].used || class_id >= job.classes) return;
    const i64 at = i64(slot) * job.classes + class_id;
    const float score = load(job.predictions, at, job.predictions_are_half);
    job.records[at] = __float_as_int(isfinite(score) ? score : 0.0f);
}
