// A leaf of a tensor in each invocation: SHA-256(0x00 ‖ bytes), RFC 6962 §2.1. The prefix shifts every word of
// the message by a byte against those of the tensor.

struct Leaf {
    // Where it begins, in words of 32 bits; a multiple of four.
    at: u32,
    // Its bytes, from 1 to 4,096.
    length: u32,
    // Which node it becomes.
    out: u32,
}

@group(0) @binding(0) var<storage, read> words: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> leaves: array<Leaf>;
@group(0) @binding(2) var<storage, read_write> nodes: array<vec4<u32>>;

// Big-endian, as SHA-256 takes them.
fn turned(word: vec4<u32>) -> vec4<u32> {
    return (word << vec4(24u)) | ((word & vec4(0xff00u)) << vec4(8u))
        | ((word >> vec4(8u)) & vec4(0xff00u)) | (word >> vec4(24u));
}

// The tensor's word that ends one byte before the message's word `k` does, with zeros behind the leaf.
fn held(leaf: Leaf, k: u32) -> u32 {
    if 4u * k >= leaf.length {
        return 0u;
    }
    let at = leaf.at + k;
    let word = turned(words[at / 4u])[at % 4u];
    let left = leaf.length - 4u * k;
    if left >= 4u {
        return word;
    }
    return word & ~(0xffffffffu >> (8u * left));
}

// Any word of the padded message of `blocks` blocks.
fn message(leaf: Leaf, blocks: u32, k: u32) -> u32 {
    let end = leaf.length + 1u;
    if k == 16u * blocks - 1u {
        return end * 8u;
    }
    var word = held(leaf, k) >> 8u;
    if k > 0u {
        word |= held(leaf, k - 1u) << 24u;
    }
    if k == end / 4u {
        word |= 0x80u << (24u - 8u * (end % 4u));
    }
    return word;
}

fn message4(leaf: Leaf, blocks: u32, k: u32) -> vec4<u32> {
    return vec4(
        message(leaf, blocks, k),
        message(leaf, blocks, k + 1u),
        message(leaf, blocks, k + 2u),
        message(leaf, blocks, k + 3u),
    );
}

@compute @workgroup_size(64)
fn hash_leaves(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&leaves) {
        return;
    }
    let leaf = leaves[id.x];
    let blocks = (leaf.length + 9u) / 64u + 1u;
    var state = initial();
    var before = 0u;
    for (var block = 0u; block < blocks; block++) {
        var m0: vec4<u32>;
        var m1: vec4<u32>;
        var m2: vec4<u32>;
        var m3: vec4<u32>;
        // The prefix counts: the last byte of such a block is one before the last of its words.
        if 64u * (block + 1u) <= leaf.length + 1u {
            let at = leaf.at / 4u + 4u * block;
            let w0 = turned(words[at]);
            let w1 = turned(words[at + 1u]);
            let w2 = turned(words[at + 2u]);
            let w3 = turned(words[at + 3u]);
            m0 = shifted(before, w0);
            m1 = shifted(w0.w, w1);
            m2 = shifted(w1.w, w2);
            m3 = shifted(w2.w, w3);
            before = w3.w;
        } else {
            m0 = message4(leaf, blocks, 16u * block);
            m1 = message4(leaf, blocks, 16u * block + 4u);
            m2 = message4(leaf, blocks, 16u * block + 8u);
            m3 = message4(leaf, blocks, 16u * block + 12u);
        }
        state = compress(state, m0, m1, m2, m3);
    }
    nodes[2u * leaf.out] = state.lo;
    nodes[2u * leaf.out + 1u] = state.hi;
}
