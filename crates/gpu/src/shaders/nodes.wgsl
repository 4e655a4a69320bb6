// A node over two siblings in each invocation: SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1. Nodes are held as
// the words of SHA-256's state.

struct Pair {
    // The left one; the right one follows it.
    left: u32,
    // Which node they become.
    out: u32,
}

@group(0) @binding(0) var<storage, read> pairs: array<Pair>;
@group(0) @binding(1) var<storage, read_write> nodes: array<vec4<u32>>;

@compute @workgroup_size(64)
fn hash_nodes(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&pairs) {
        return;
    }
    let pair = pairs[id.x];
    let at = 2u * pair.left;
    let n0 = nodes[at];
    let n1 = nodes[at + 1u];
    let n2 = nodes[at + 2u];
    let n3 = nodes[at + 3u];
    let first = compress(
        initial(), shifted(1u, n0), shifted(n0.w, n1), shifted(n1.w, n2), shifted(n2.w, n3),
    );
    // The last byte, the bit after it, and the length: 65 bytes.
    let none = vec4(0u);
    let second = compress(
        first, vec4((n3.w << 24u) | 0x800000u, 0u, 0u, 0u), none, none, vec4(0u, 0u, 0u, 520u),
    );
    nodes[2u * pair.out] = second.lo;
    nodes[2u * pair.out + 1u] = second.hi;
}
