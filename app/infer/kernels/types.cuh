// What the host and the kernels say to each other. app/infer/gpu/layout.py has the same fields in the same order.
#pragma once

using byte = unsigned char;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;

// One frame of the batch: where it is and how it lies in the network's input. Written anew for every frame.
struct Frame {
    u64 pixels;  // BGR rows, or the luma of NV12, as the host filled them
    u64 chroma;  // NV12's interleaved U and V; 0 for BGR
    u64 near_pixels, near_chroma;  // where the preparing kernel reads them: the GPU's own memory, or the same place
    i64 pitch, chroma_pitch;       // bytes from row to row
    u64 room;       // where finished masks go; for classification, the weights of each row's and column's filter
    i64 room_size;  // in units of 16 bytes; for classification, the weights a row or column may have
    int used;                      // 0: the batch has no frame here
    int height, width;
    int content_height, content_width, top, left;  // the frame as it is resized, and its place in the input
    float gain_x, gain_y;                          // pixels of the input per pixel of the frame
    int mask_factor, mask_height, mask_width, mask_top, mask_left;  // the prototypes grown, and the frame in them
    float mask_ratio_x, mask_ratio_y;
};

struct State {
    u64 mask_units;  // of 16 bytes, that the masks of this frame take
    int candidates;
    int count;
};

struct Box {
    float left, top, right, bottom;  // or, for rotated boxes, centre and size
};

struct Candidate {
    Box box;  // in pixels of the input
    float score;
    float angle;
    int class_id;
    int row;  // anchor, or row of an end-to-end head
};

// A rotated box as a Gaussian, and how far another may be that still overlaps it.
struct Gaussian {
    float x, y, a, b, c, reach;
};

struct Object {
    i64 offset;  // of its mask, in units of 16 bytes
    int row, left, top, width, height, padding;
};

// What stays the same for a model: its tensors, its thresholds, and the room to work in.
struct Job {
    const Frame* frames;
    void* input;
    const void* predictions;
    const void* prototypes;
    const byte* wanted;  // per class: 1 where it is reported
    State* states;
    u64* keys;
    Candidate* found;
    Candidate* sorted;
    Gaussian* gaussians;
    int* dead;
    int* kept;
    Box* kept_boxes;
    Object* objects;
    float* logits;
    int* records;  // on the host
    int batch, input_height, input_width, input_is_half;
    int predictions_are_half, prototypes_are_half;
    int task, head;
    int rows, classes, extra, keypoint_values;
    int limit, record_words;
    int channels, proto_height, proto_width;
    float confidence, iou, reach;
};

struct alignas(16) Word {
    u32 parts[4];
};

enum { DETECT, SEGMENT, POSE, OBB, CLASSIFY };
enum { RAW, SUPPRESSED };

constexpr float CLASS_DISTANCE = 7680.0f;  // as in app/vision/nms.py
constexpr float LIMIT = 1e9f;              // as in app/vision/decode.py
constexpr int MAX_CANDIDATES = 30000;
constexpr int FIXED_WORDS = 6;  // of a record: box, score, class

#ifdef __CUDACC__
__device__ inline float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ inline unsigned short float_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

// Two halves in one word, by one instruction where the GPU has it.
__device__ inline u32 halves(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    u32 bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
#else
    return float_to_half(low) | u32(float_to_half(high)) << 16;
#endif
}

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

__device__ inline float load(const void* tensor, i64 at, bool is_half) {
    return is_half ? half_to_float(static_cast<const unsigned short*>(tensor)[at])
                   : static_cast<const float*>(tensor)[at];
}

// Where a value beside the classes is: x, y, w, h first, then mask coefficients, keypoints or the angle.
__device__ inline i64 index_of(const Job& job, int slot, int row, int value) {
    if (job.head == RAW) {
        const i64 width = 4 + job.classes + job.extra;
        const i64 line = value < 4 ? value : job.classes + value;
        return (slot * width + line) * job.rows + row;
    }
    return (i64(slot) * job.rows + row) * (6 + job.extra) + (value < 4 ? value : value + 2);
}

__device__ inline float value_of(const Job& job, int slot, int row, int value) {
    return load(job.predictions, index_of(job, slot, row, value), job.predictions_are_half);
}
