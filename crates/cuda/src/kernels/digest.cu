// The weight tree (`transparency/weights.md`) and the sketch (`transparency/sketch.md`) of tensors where they lie in a
// card's memory. In the C that CUDA and a processor's compiler have in common, so that a test can run it on both.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef __cplusplus
#define KERNEL extern "C" __global__
#else
#define KERNEL __global__
#endif
#define DEVICE static __device__ __forceinline__

#define LEAF 4096u
// Threads of a block, and the most leaves of a chunk: one each.
#define THREADS 256u

// Consecutive leaves of one tensor, as `chunks.rs` writes them.
typedef struct {
    // Where its first byte lies.
    u64 at;
    // The tensor's leaf it begins with, a multiple of 256.
    u64 leaf;
    // Bytes, at least one.
    u32 length;
    // Which node the first of its subtrees becomes.
    u32 out;
    // Of the sketch, from the tensor's name.
    u32 key[2];
} Chunk;

// SHA-256 (FIPS 180-4, §4.2.2 and §6.2.2).

__constant__ u32 K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

DEVICE void begin(u32 *state) {
    state[0] = 0x6a09e667; state[1] = 0xbb67ae85; state[2] = 0x3c6ef372; state[3] = 0xa54ff53a;
    state[4] = 0x510e527f; state[5] = 0x9b05688c; state[6] = 0x1f83d9ab; state[7] = 0x5be0cd19;
}

DEVICE u32 turn(u32 x, u32 n) {
    return (x >> n) | (x << (32 - n));
}

// Uses up the message. Unrolled, every index is known beforehand, so that both arrays are registers.
DEVICE void compress(u32 *state, u32 *m) {
    u32 a = state[0], b = state[1], c = state[2], d = state[3];
    u32 e = state[4], f = state[5], g = state[6], h = state[7];
#pragma unroll
    for (int i = 0; i < 64; i++) {
        if (i >= 16) {
            u32 early = m[(i + 1) & 15], late = m[(i + 14) & 15];
            m[i & 15] += (turn(early, 7) ^ turn(early, 18) ^ (early >> 3)) + m[(i + 9) & 15]
                + (turn(late, 17) ^ turn(late, 19) ^ (late >> 10));
        }
        u32 one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (g ^ (e & (f ^ g))) + K[i] + m[i & 15];
        u32 two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) | (c & (a | b)));
        h = g; g = f; f = e; e = d + one;
        d = c; c = b; b = a; a = one + two;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

// A leaf: SHA-256(0x00 ‖ bytes), RFC 6962 §2.1. Because of the prefix no word of the message is a word of the tensor:
// each is cut out of two neighbours, and that is as well where the tensor begins at no multiple of 4.

// Byte i of the padded message of so many bytes.
DEVICE u32 padded(const u8 *leaf, u32 length, u32 size, u32 i) {
    if (i == 0) {
        return 0;
    }
    if (i <= length) {
        return leaf[i - 1];
    }
    if (i == length + 1) {
        return 0x80;
    }
    // The number of bits needs two bytes.
    u32 bits = 8 * (length + 1);
    return i == size - 1 ? bits & 0xff : i == size - 2 ? bits >> 8 : 0;
}

DEVICE void hash_leaf(const u8 *leaf, u32 length, u32 *state) {
    begin(state);
    u64 before = (u64)leaf - 1;
    const u32 *words = (const u32 *)(before & ~3ull);
    u32 from = 0x1111u * ((u32)before & 3) + 0x0123u;
    int aligned = ((u64)leaf & 15) == 0;
    // Nothing outside a tensor's own words is read, nor is the word before it: its last byte gives way to the prefix.
    u32 last = (before & 3) == 3 ? 0 : words[0];
    u32 block = 0;
    for (; 64 * (block + 1) <= length; block++) {
        u32 w[16], m[16];
        if (aligned) {
            const uint4 *four = (const uint4 *)(leaf + 64 * block);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                uint4 v = four[i];
                w[4 * i] = v.x; w[4 * i + 1] = v.y; w[4 * i + 2] = v.z; w[4 * i + 3] = v.w;
            }
        } else {
#pragma unroll
            for (int i = 0; i < 16; i++) {
                w[i] = words[16 * block + 1 + i];
            }
        }
        m[0] = __byte_perm(last, w[0], from);
#pragma unroll
        for (int i = 1; i < 16; i++) {
            m[i] = __byte_perm(w[i - 1], w[i], from);
        }
        if (block == 0) {
            m[0] &= 0xffffff;
        }
        last = w[15];
        compress(state, m);
    }
    u32 size = (length + 9) / 64 * 64 + 64;
    for (; 64 * block < size; block++) {
        u32 m[16];
#pragma unroll
        for (u32 i = 0; i < 16; i++) {
            u32 at = 64 * block + 4 * i;
            m[i] = padded(leaf, length, size, at) << 24 | padded(leaf, length, size, at + 1) << 16
                | padded(leaf, length, size, at + 2) << 8 | padded(leaf, length, size, at + 3);
        }
        compress(state, m);
    }
}

// A node: SHA-256(0x01 ‖ left ‖ right). The two are the words of SHA-256's state, one after the other.
DEVICE void hash_node(const u32 *both, u32 *state) {
    begin(state);
    u32 m[16];
    u32 last = 1;
#pragma unroll
    for (int i = 0; i < 16; i++) {
        u32 word = both[i];
        m[i] = last << 24 | word >> 8;
        last = word;
    }
    compress(state, m);
    m[0] = last << 24 | 0x800000;
#pragma unroll
    for (int i = 1; i < 15; i++) {
        m[i] = 0;
    }
    // 65 bytes.
    m[15] = 520;
    compress(state, m);
}

// A chunk in each block: its leaves, and above them the roots of the largest complete subtrees that they make up,
// from left to right (`leaves.rs`): one for each bit of their number, the highest first.
KERNEL void __launch_bounds__(THREADS) hash_chunks(const Chunk *chunks, u32 *nodes) {
    __shared__ u32 states[THREADS][8];
    Chunk chunk = chunks[blockIdx.x];
    u32 thread = threadIdx.x;
    u32 count = (chunk.length + LEAF - 1) / LEAF;
    if (thread < count) {
        u32 state[8];
        u32 from = thread * LEAF;
        u32 length = chunk.length - from < LEAF ? chunk.length - from : LEAF;
        hash_leaf((const u8 *)chunk.at + from, length, state);
        for (int i = 0; i < 8; i++) {
            states[thread][i] = state[i];
        }
    }
    __syncthreads();
    for (; count; count /= 2) {
        if (count % 2 && thread < 8) {
            nodes[8 * (chunk.out + __popc(count / 2)) + thread] = states[count - 1][thread];
        }
        u32 node[8];
        if (thread < count / 2) {
            hash_node(states[2 * thread], node);
        }
        __syncthreads();
        if (thread < count / 2) {
            for (int i = 0; i < 8; i++) {
                states[thread][i] = node[i];
            }
        }
        __syncthreads();
    }
}

// SHA-256's compression again and again, on nothing that has to be fetched: what no digest can be faster than.
KERNEL void __launch_bounds__(THREADS) compress_only(const u32 *unused, u32 *last) {
    u32 state[8], m[16];
    begin(state);
    state[0] ^= blockIdx.x * THREADS + threadIdx.x;
    for (int block = 0; block < 64; block++) {
#pragma unroll
        for (int i = 0; i < 16; i++) {
            m[i] = state[i % 8];
        }
        compress(state, m);
    }
    // So that it is not left out as useless; which block's stays does not matter.
    last[threadIdx.x] = state[0] ^ state[7];
    (void)unused;
}

// The sketch: elements as whole numbers of 2^-40, in two's complement, or why they have no place.

enum { PLACED, NAN_, INFINITE, OUT_OF_RANGE };

DEVICE float power_of_two(int n) {
    return __uint_as_float((u32)(127 + n) << 23);
}

// The shorter floats as floats, which hold all of their values: their bits in the places of a float's, times the
// difference of what their exponents mean. Both are exact, for subnormal numbers as well.

DEVICE float of_f16(u32 bits) {
    u32 sign = (bits & 0x8000) << 16, rest = (bits & 0x7fff) << 13;
    if ((bits & 0x7c00) == 0x7c00) {
        return __uint_as_float(rest | 0x7f800000);
    }
    return __uint_as_float(sign | rest) * power_of_two(112);
}

DEVICE float of_f8(u32 bits, int up, int bias, u32 nan) {
    float value = __uint_as_float((bits & 0x80) << 24 | (bits & 0x7f) << up) * power_of_two(127 - bias);
    return nan ? __uint_as_float(0x7fc00000) : value;
}

// 2^-127 is as little as 0 here.
DEVICE float of_f8_e8m0(u32 bits) {
    return __uint_as_float(bits == 0xff ? 0x7fc00000 : bits << 23);
}

// Times a power of two, which is exact, then rounded half to even.
DEVICE u32 place_float(float value, u64 *q) {
    if (fabsf(value) < 8388608.0f) {
        *q = (u64)__float2ll_rn(value * power_of_two(40));
        return PLACED;
    }
    return value != value ? NAN_ : fabsf(value) > 3.4028234e38f ? INFINITE : OUT_OF_RANGE;
}

DEVICE u32 place_double(double value, u64 *q) {
    if (fabs(value) < 8388608.0) {
        *q = (u64)__double2ll_rn(value * 1099511627776.0);
        return PLACED;
    }
    return value != value ? NAN_ : fabs(value) > 1.7976931348623157e308 ? INFINITE : OUT_OF_RANGE;
}

DEVICE u32 place_unsigned(u64 value, u64 *q) {
    *q = value << 40;
    return value < 1u << 23 ? PLACED : OUT_OF_RANGE;
}

DEVICE u32 place_signed(long long value, u64 *q) {
    *q = (u64)value << 40;
    return -(1 << 23) < value && value < 1 << 23 ? PLACED : OUT_OF_RANGE;
}

// Where an element goes, and with which sign: Philox4x32-10 (Salmon et al., SC 2011).

#define BLOCK 4096u
// Blocks of 4,096 elements whose signs are worked out at a time.
#define AHEAD 16u
// Buckets of each thread.
#define MINE (BLOCK / THREADS)

DEVICE void philox(u32 *c, u32 k0, u32 k1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u64 left = 0xd2511f53ull * c[0], right = 0xcd9e8d57ull * c[2];
        c[0] = (u32)(right >> 32) ^ c[1] ^ k0;
        c[1] = (u32)right;
        c[2] = (u32)(left >> 32) ^ c[3] ^ k1;
        c[3] = (u32)left;
        k0 += 0x9e3779b9;
        k1 += 0xbb67ae85;
    }
}

// Signs and masks of so many blocks, by all threads.
DEVICE void prepare(const Chunk *chunk, u64 first, u32 blocks, u32 (*signs)[BLOCK / 32], u32 *masks) {
    for (u32 call = threadIdx.x; call < blocks * 33; call += THREADS) {
        u32 block = call / 33, which = call % 33;
        u64 at = first + block;
        u32 c[4] = {which, (u32)at, (u32)(at >> 32), 0};
        philox(c, chunk->key[0], chunk->key[1]);
        if (which == 32) {
            masks[block] = c[0] % BLOCK;
        } else {
            for (int i = 0; i < 4; i++) {
                signs[block][which + 32 * i] = c[i];
            }
        }
    }
}

// A chunk in each block. A thread adds up what goes to each of its buckets, of every block of elements one, so that
// only the sums of a chunk meet in memory: 4,096 sums, then how many are NaN, infinite, out of range.
#define SKETCH(dtype, type, place)                                                                 \
    KERNEL void __launch_bounds__(THREADS) sketch_##dtype(const Chunk *chunks, u64 *sums) {        \
        __shared__ u32 signs[AHEAD][BLOCK / 32];                                                   \
        __shared__ u32 masks[AHEAD];                                                               \
        Chunk chunk = chunks[blockIdx.x];                                                          \
        const type *elements = (const type *)chunk.at;                                             \
        /* Its elements begin with a block. */                                                     \
        u64 first = chunk.leaf * (LEAF / sizeof(type)) / BLOCK;                                    \
        u32 count = chunk.length / (u32)sizeof(type), blocks = (count + BLOCK - 1) / BLOCK;        \
        u64 mine[MINE] = {0};                                                                      \
        u32 left_out[4] = {0};                                                                     \
        for (u32 from = 0; from < blocks; from += AHEAD) {                                         \
            u32 now = blocks - from < AHEAD ? blocks - from : AHEAD;                               \
            __syncthreads();                                                                       \
            prepare(&chunk, first + from, now, signs, masks);                                      \
            __syncthreads();                                                                       \
            for (u32 block = 0; block < now; block++) {                                            \
                u32 mask = masks[block];                                                           \
                _Pragma("unroll")                                                                  \
                for (u32 i = 0; i < MINE; i++) {                                                   \
                    u32 position = (threadIdx.x + THREADS * i) ^ mask;                             \
                    u32 e = (from + block) * BLOCK + position;                                     \
                    /* 0 changes no sum. */                                                        \
                    type value = e < count ? elements[e] : (type)0;                                \
                    u64 minus = 0 - (u64)(signs[block][position / 32] >> position % 32 & 1);       \
                    u64 q;                                                                         \
                    u32 why = place;                                                               \
                    if (why == PLACED) {                                                           \
                        mine[i] += (q ^ minus) - minus;                                            \
                    } else {                                                                       \
                        left_out[NAN_] += why == NAN_;                                             \
                        left_out[INFINITE] += why == INFINITE;                                     \
                        left_out[OUT_OF_RANGE] += why == OUT_OF_RANGE;                             \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        _Pragma("unroll")                                                                          \
        for (u32 i = 0; i < MINE; i++) {                                                           \
            if (mine[i]) {                                                                         \
                atomicAdd(&sums[threadIdx.x + THREADS * i], mine[i]);                              \
            }                                                                                      \
        }                                                                                          \
        _Pragma("unroll")                                                                          \
        for (u32 why = NAN_; why <= OUT_OF_RANGE; why++) {                                         \
            if (left_out[why]) {                                                                   \
                atomicAdd(&sums[BLOCK + why - 1], (u64)left_out[why]);                             \
            }                                                                                      \
        }                                                                                          \
    }

SKETCH(F32, float, place_float(value, &q))
SKETCH(F64, double, place_double(value, &q))
// The upper half of an F32.
SKETCH(BF16, unsigned short, place_float(__uint_as_float((u32)value << 16), &q))
SKETCH(F16, unsigned short, place_float(of_f16(value), &q))
// The upper half of an F16.
SKETCH(F8_E5M2, u8, place_float(of_f16((u32)value << 8), &q))
SKETCH(F8_E4M3, u8, place_float(of_f8(value, 20, 7, (value & 0x7f) == 0x7f), &q))
// Without −0, in whose place NaN is.
SKETCH(F8_E4M3FNUZ, u8, place_float(of_f8(value, 20, 8, value == 0x80), &q))
SKETCH(F8_E5M2FNUZ, u8, place_float(of_f8(value, 21, 16, value == 0x80), &q))
SKETCH(F8_E8M0, u8, place_float(of_f8_e8m0(value), &q))
SKETCH(I8, signed char, place_signed(value, &q))
SKETCH(U8, u8, place_unsigned(value, &q))
SKETCH(I16, short, place_signed(value, &q))
SKETCH(U16, unsigned short, place_unsigned(value, &q))
SKETCH(I32, int, place_signed(value, &q))
SKETCH(U32, u32, place_unsigned(value, &q))
SKETCH(I64, long long, place_signed(value, &q))
SKETCH(U64, u64, place_unsigned(value, &q))
