// All kernels, as one unit: scripts/build_kernels makes a fat binary of it, and NVRTC compiles it where there is none.
#include "crop.cuh"
#include "decode.cuh"
#include "masks.cuh"
#include "preprocess.cuh"
#include "suppress.cuh"
