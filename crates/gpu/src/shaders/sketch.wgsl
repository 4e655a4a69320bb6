// The sketch of a run of blocks in each workgroup (`transparency/sketch.md`). An invocation adds up what goes to
// each of its buckets, of every block one element, so that only the sums of a run meet in memory.

// A run of at most RUN consecutive blocks of one tensor.
struct Run {
    // Where its first element begins, in bytes.
    at: u32,
    kind: u32,
    key: vec2<u32>,
    // The first block, its lower half first.
    block: vec2<u32>,
    // The first element's position in its block.
    start: u32,
    // Elements.
    count: u32,
}

@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read> runs: array<Run>;
// The sums, the lower half of each first; then how many are NaN, infinite, out of range.
@group(0) @binding(2) var<storage, read_write> sums: array<atomic<u32>>;

const BLOCK = 4096u;
const INVOCATIONS = 256u;

const NAN = 1u;
const INFINITE = 2u;
const OUT_OF_RANGE = 3u;

var<workgroup> signs: array<u32, RUN * 128u>;
var<workgroup> masks: array<u32, RUN>;

// The product's upper and lower half.
fn product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let one = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let two = (a & 0xffffu) * (b >> 16u) + (one & 0xffffu);
    return vec2((a >> 16u) * (b >> 16u) + (one >> 16u) + (two >> 16u), a * b);
}

// Philox4x32-10.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let left = product(0xd2511f53u, c.x);
        let right = product(0xcd9e8d57u, c.z);
        c = vec4(right.x ^ c.y ^ k.x, right.y, left.x ^ c.w ^ k.y, left.y);
        k += vec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// An element in units of 2^-40 without its sign, or why it has no place.
struct Fixed {
    lo: u32,
    hi: u32,
    left_out: u32,
    negative: u32,
}

fn left_out(why: u32) -> Fixed {
    return Fixed(0u, 0u, why, 0u);
}

// m · 2^shift, rounded half to even; m < 2^24, and the result below 2^63.
fn scaled(m: u32, shift: i32, negative: u32) -> Fixed {
    if shift >= 32 {
        return Fixed(0u, m << u32(shift - 32), 0u, negative);
    }
    if shift > 0 {
        return Fixed(m << u32(shift), m >> u32(32 - shift), 0u, negative);
    }
    if shift == 0 {
        return Fixed(m, 0u, 0u, negative);
    }
    if shift < -25 {
        return Fixed(0u, 0u, 0u, negative);
    }
    let down = u32(-shift);
    let whole = m >> down;
    let rest = m & ((1u << down) - 1u);
    let half = 1u << (down - 1u);
    let up = rest > half || (rest == half && (whole & 1u) == 1u);
    return Fixed(whole + u32(up), 0u, 0u, negative);
}

fn of_f32(bits: u32) -> Fixed {
    let exponent = (bits >> 23u) & 0xffu;
    let mantissa = bits & 0x7fffffu;
    if exponent == 0xffu {
        return left_out(select(INFINITE, NAN, mantissa != 0u));
    }
    if exponent >= 150u {
        return left_out(OUT_OF_RANGE);
    }
    if exponent == 0u {
        return Fixed();
    }
    return scaled(mantissa | 0x800000u, i32(exponent) - 110, bits >> 31u);
}

// A float of at most 16 bits, none of them out of range: `width` bits of mantissa below an exponent, and what
// the place of the last bit of a number of exponent 0 weighs, in powers of two.
fn of_small(bits: u32, width: u32, least: i32, negative: u32) -> Fixed {
    let exponent = bits >> width;
    let mantissa = bits & ((1u << width) - 1u);
    if exponent == 0u {
        return scaled(mantissa, least + 40, negative);
    }
    return scaled(mantissa | (1u << width), least + 39 + i32(exponent), negative);
}

fn of_f16(bits: u32) -> Fixed {
    if (bits & 0x7c00u) == 0x7c00u {
        return left_out(select(INFINITE, NAN, (bits & 0x3ffu) != 0u));
    }
    return of_small(bits & 0x7fffu, 10u, -24, bits >> 15u);
}

fn of_f8_e4m3(bits: u32) -> Fixed {
    if (bits & 0x7fu) == 0x7fu {
        return left_out(NAN);
    }
    return of_small(bits & 0x7fu, 3u, -9, bits >> 7u);
}

// Without infinities and −0, in whose place NaN is.
fn of_fnuz(bits: u32, width: u32, least: i32) -> Fixed {
    if bits == 0x80u {
        return left_out(NAN);
    }
    return of_small(bits & 0x7fu, width, least, bits >> 7u);
}

fn of_f8_e8m0(bits: u32) -> Fixed {
    if bits == 0xffu {
        return left_out(NAN);
    }
    if bits >= 150u {
        return left_out(OUT_OF_RANGE);
    }
    return scaled(1u, i32(bits) - 87, 0u);
}

// Whether any of the lowest bits is set.
fn any_below(value: vec2<u32>, bits: u32) -> bool {
    if bits < 32u {
        return (value.x & ((1u << bits) - 1u)) != 0u;
    }
    return value.x != 0u || (value.y & ((1u << (bits - 32u)) - 1u)) != 0u;
}

fn shifted_down(value: vec2<u32>, by: u32) -> vec2<u32> {
    if by == 0u {
        return value;
    }
    if by >= 32u {
        return vec2(value.y >> (by - 32u), 0u);
    }
    return vec2((value.x >> by) | (value.y << (32u - by)), value.y >> by);
}

fn of_f64(lo: u32, hi: u32) -> Fixed {
    let negative = hi >> 31u;
    let exponent = (hi >> 20u) & 0x7ffu;
    if exponent == 0x7ffu {
        return left_out(select(INFINITE, NAN, ((hi & 0xfffffu) | lo) != 0u));
    }
    if exponent >= 1046u {
        return left_out(OUT_OF_RANGE);
    }
    let m = vec2(lo, (hi & 0xfffffu) | 0x100000u);
    if exponent > 1035u {
        let up = exponent - 1035u;
        return Fixed(m.x << up, (m.y << up) | (m.x >> (32u - up)), 0u, negative);
    }
    let down = 1035u - exponent;
    if down == 0u {
        return Fixed(m.x, m.y, 0u, negative);
    }
    // Below half a unit; subnormal numbers are.
    if down > 53u {
        return Fixed();
    }
    let whole = shifted_down(m, down);
    let half = (shifted_down(m, down - 1u).x & 1u) == 1u;
    let up = u32(half && (any_below(m, down - 1u) || (whole.x & 1u) == 1u));
    return Fixed(whole.x + up, whole.y + u32(whole.x + up < up), 0u, negative);
}

// An integer of 64 bits without its sign.
fn of_integer(lo: u32, hi: u32, negative: u32) -> Fixed {
    if hi != 0u || lo >= 0x800000u {
        return left_out(OUT_OF_RANGE);
    }
    return Fixed(0u, lo << 8u, 0u, negative);
}

// One of at most 32 bits, with its sign in the highest.
fn of_signed(word: u32) -> Fixed {
    let negative = word >> 31u;
    return of_integer(select(word, ~word + 1u, negative == 1u), 0u, negative);
}

fn of_i64(lo: u32, hi: u32) -> Fixed {
    if (hi >> 31u) == 0u {
        return of_integer(lo, hi, 0u);
    }
    return of_integer(~lo + 1u, ~hi + u32(lo == 0u), 1u);
}

fn byte_at(at: u32) -> u32 {
    return (words[at / 4u] >> (8u * (at % 4u))) & 0xffu;
}

fn half_at(at: u32) -> u32 {
    return (words[at / 4u] >> (8u * (at % 4u))) & 0xffffu;
}

fn element(run: Run, e: u32) -> Fixed {
    let two = run.at + 2u * e;
    let four = (run.at + 4u * e) / 4u;
    let eight = (run.at + 8u * e) / 4u;
    switch run.kind {
        case F32: { return of_f32(words[four]); }
        case BF16: { return of_f32(half_at(two) << 16u); }
        case F16: { return of_f16(half_at(two)); }
        case F64: { return of_f64(words[eight], words[eight + 1u]); }
        case F8_E4M3: { return of_f8_e4m3(byte_at(run.at + e)); }
        // The upper half of an F16.
        case F8_E5M2: { return of_f16(byte_at(run.at + e) << 8u); }
        case F8_E4M3FNUZ: { return of_fnuz(byte_at(run.at + e), 3u, -10); }
        case F8_E5M2FNUZ: { return of_fnuz(byte_at(run.at + e), 2u, -17); }
        case F8_E8M0: { return of_f8_e8m0(byte_at(run.at + e)); }
        case I8: { return of_signed(u32(i32(byte_at(run.at + e) << 24u) >> 24u)); }
        case U8: { return of_integer(byte_at(run.at + e), 0u, 0u); }
        case I16: { return of_signed(u32(i32(half_at(two) << 16u) >> 16u)); }
        case U16: { return of_integer(half_at(two), 0u, 0u); }
        case I32: { return of_signed(words[four]); }
        case U32: { return of_integer(words[four], 0u, 0u); }
        case I64: { return of_i64(words[eight], words[eight + 1u]); }
        case U64: { return of_integer(words[eight], words[eight + 1u], 0u); }
        default: { return left_out(OUT_OF_RANGE); }
    }
}

// Signs and masks of the run's blocks.
fn prepare(run: Run, blocks: u32, invocation: u32) {
    for (var call = invocation; call < blocks * 33u; call += INVOCATIONS) {
        let block = call / 33u;
        let lo = run.block.x + block;
        let hi = run.block.y + u32(lo < block);
        let out = philox(vec4(call % 33u, lo, hi, 0u), run.key);
        if call % 33u == 32u {
            masks[block] = out.x % BLOCK;
        } else {
            let word = block * 128u + call % 33u;
            signs[word] = out.x;
            signs[word + 32u] = out.y;
            signs[word + 64u] = out.z;
            signs[word + 96u] = out.w;
        }
    }
}

@compute @workgroup_size(256)
fn add_up(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let run = runs[group.x];
    let blocks = (run.start + run.count + BLOCK - 1u) / BLOCK;
    prepare(run, blocks, invocation);
    workgroupBarrier();
    var counts = vec3(0u);
    for (var bucket = invocation; bucket < BLOCK; bucket += INVOCATIONS) {
        var lo = 0u;
        var hi = 0u;
        for (var block = 0u; block < blocks; block++) {
            let position = bucket ^ masks[block];
            // Before the first one it wraps to a large number.
            let e = block * BLOCK + position - run.start;
            if e >= run.count {
                continue;
            }
            let q = element(run, e);
            if q.left_out != 0u {
                counts += vec3(u32(q.left_out == NAN), u32(q.left_out == INFINITE), u32(q.left_out == OUT_OF_RANGE));
                continue;
            }
            let sign = (signs[block * 128u + position / 32u] >> (position % 32u)) & 1u;
            // All ones for minus: two's complement.
            let flip = 0u - (sign ^ q.negative);
            let low = (q.lo ^ flip) - flip;
            let high = (q.hi ^ flip) + u32(flip != 0u && q.lo == 0u);
            lo += low;
            hi += high + u32(lo < low);
        }
        if (lo | hi) != 0u {
            // Each addition to the lower half carries by itself, in whatever order they come.
            let old = atomicAdd(&sums[2u * bucket], lo);
            atomicAdd(&sums[2u * bucket + 1u], hi + u32(old + lo < lo));
        }
    }
    for (var why = 0u; why < 3u; why++) {
        if counts[why] != 0u {
            atomicAdd(&sums[2u * BLOCK + why], counts[why]);
        }
    }
}
