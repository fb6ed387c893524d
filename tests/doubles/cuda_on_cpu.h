// CUDA's kernels on a processor, for tests: each thread of a block is a fiber that runs up to the next barrier.
// Blocks run one after another, so `__shared__` memory is a static variable. Forced before the kernels with -include.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

using std::max;
using std::min;
#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define __ffs __builtin_ffs

struct Place3 {
    unsigned x, y, z;
};
static Place3 threadIdx, blockIdx, blockDim, gridDim;

namespace fibers {
constexpr std::size_t STACK = 1 << 16;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    bool done;
};

static std::vector<Fiber> all;
static ucontext_t scheduler;
static std::function<void()> kernel;
static std::size_t current;
static int votes, verdict;

inline void enter() {
    kernel();
    all[current].done = true;
    swapcontext(&all[current].context, &scheduler);
}

inline void start(std::size_t index) {
    Fiber& fiber = all[index];
    fiber.stack.resize(STACK);
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, enter, 0);
}

inline void barrier() { swapcontext(&all[current].context, &scheduler); }

// All threads of a block, from barrier to barrier. The last thread goes first: no kernel may rely on an order.
inline void run_block(unsigned threads) {
    if (all.size() < threads) all.resize(threads);
    for (std::size_t index = 0; index < threads; ++index) start(index);
    for (bool alive = true; alive;) {
        alive = false;
        for (std::size_t index = threads; index-- > 0;) {
            if (all[index].done) continue;
            current = index;
            threadIdx = {static_cast<unsigned>(index), 0, 0};
            swapcontext(&scheduler, &all[index].context);
            alive |= !all[index].done;
        }
        verdict = votes;
        votes = 0;
    }
}
}  // namespace fibers

inline void __syncthreads() { fibers::barrier(); }

inline int __syncthreads_or(int vote) {
    fibers::votes |= vote != 0;
    fibers::barrier();
    return fibers::verdict;
}

template <class T, class U>
T atomicAdd(T* at, U value) {
    T before = *at;
    *at += value;
    return before;
}

template <class T>
T atomicExch(T* at, T value) {
    return std::exchange(*at, value);
}

template <class T>
T atomicAnd(T* at, T value) {
    return std::exchange(*at, *at & value);
}

template <class T>
T atomicOr(T* at, T value) {
    return std::exchange(*at, *at | value);
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline int __float_as_int(float value) { return static_cast<int>(__float_as_uint(value)); }

inline float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline float half_to_float(unsigned short bits) {
    _Float16 half;
    std::memcpy(&half, &bits, sizeof half);
    return static_cast<float>(half);
}

inline unsigned short float_to_half(float value) {
    const _Float16 half = static_cast<_Float16>(value);
    unsigned short bits;
    std::memcpy(&bits, &half, sizeof bits);
    return bits;
}
using std::isfinite;
