// The project's kernels as a shared library: launch() by name, as CUDA's driver does.
#include "kernels.cu"

static const std::map<std::string, void (*)(const Job)> KERNELS = {
    {"upload", upload}, {"letterbox", letterbox}, {"crop", crop}, {"crop_weights", crop_weights}, {"decode_raw", decode_raw},
    {"decode_rows", decode_rows}, {"rank", rank}, {"rotated_overlaps", rotated_overlaps}, {"scores", scores},
    {"suppress", suppress}, {"mask_logits", mask_logits}, {"masks", masks},
};

extern "C" int has_kernel(const char* name) { return KERNELS.count(name); }

extern "C" void launch(const char* name, const unsigned* grid, unsigned threads, const void* argument) {
    Job job;
    std::memcpy(&job, argument, sizeof job);
    const auto kernel = KERNELS.at(name);
    fibers::kernel = [&] { kernel(job); };
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x) fibers::run_block(threads);
}

extern "C" void sizes(int* out) {
    const std::size_t found[] = {sizeof(Frame), sizeof(State), sizeof(Candidate), sizeof(Gaussian), sizeof(Object), sizeof(Box), sizeof(Job)};
    std::copy(std::begin(found), std::end(found), out);
}
