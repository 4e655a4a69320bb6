// What CUDA C has and C has not, so that a processor's compiler takes kernels: threads of a block take turns, one
// after the other up to the next barrier.

#include <math.h>
#include <string.h>

typedef struct { unsigned x, y, z, w; } uint4;
typedef struct { unsigned x; } standin_index;

standin_index threadIdx, blockIdx;
// Set by the driver that loads this.
void (*standin_barrier)(void);

#define __global__
#define __device__
#define __forceinline__ inline
#define __constant__ static const
// One block at a time.
#define __shared__ static
#define __launch_bounds__(...)
#define __syncthreads() standin_barrier()

#define __popc __builtin_popcount

static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    unsigned long long bytes = (unsigned long long)y << 32 | x;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) {
        out |= (unsigned)(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    }
    return out;
}

static inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Rounded half to even, as everywhere unless told otherwise.
static inline long long __float2ll_rn(float value) { return llrintf(value); }
static inline long long __double2ll_rn(double value) { return llrint(value); }

static inline void atomicAdd(unsigned long long *to, unsigned long long value) { *to += value; }
