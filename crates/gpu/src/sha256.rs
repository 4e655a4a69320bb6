//! SHA-256's compression function (FIPS 180-4, §6.2.2) in WGSL, written out round by round: with constants and
//! the schedule's places known beforehand, no array has to be looked up.

use std::fmt::Write as _;

/// FIPS 180-4, §4.2.2.
#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// What comes before and after the rounds.
const BEGIN: &str = "
struct State {
    lo: vec4<u32>,
    hi: vec4<u32>,
}

fn initial() -> State {
    return State(
        vec4(0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au),
        vec4(0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u),
    );
}

// Four words of what follows a prefix of one byte, each a byte later; `before` is the word before them.
fn shifted(before: u32, word: vec4<u32>) -> vec4<u32> {
    return (vec4(before, word.xyz) << vec4(24u)) | (word >> vec4(8u));
}

fn turn(x: u32, n: u32) -> u32 {
    return (x >> n) | (x << (32u - n));
}

fn compress(state: State, m0: vec4<u32>, m1: vec4<u32>, m2: vec4<u32>, m3: vec4<u32>) -> State {
    var a = state.lo.x; var b = state.lo.y; var c = state.lo.z; var d = state.lo.w;
    var e = state.hi.x; var f = state.hi.y; var g = state.hi.z; var h = state.hi.w;
    var w0 = m0.x; var w1 = m0.y; var w2 = m0.z; var w3 = m0.w;
    var w4 = m1.x; var w5 = m1.y; var w6 = m1.z; var w7 = m1.w;
    var w8 = m2.x; var w9 = m2.y; var w10 = m2.z; var w11 = m2.w;
    var w12 = m3.x; var w13 = m3.y; var w14 = m3.z; var w15 = m3.w;
";
const END: &str = "    return State(state.lo + vec4(a, b, c, d), state.hi + vec4(e, f, g, h));
}
";

/// `initial()`, `compress(state, m0, m1, m2, m3)`, and `shifted(before, words)` for messages behind a prefix.
pub fn wgsl() -> String {
    let mut code = BEGIN.to_owned();
    for (round, k) in K.into_iter().enumerate() {
        let w = |back: usize| format!("w{}", (round + 16 - back) % 16);
        // After each round every variable takes the next one's place; after eight all are back.
        let [a, b, c, d, e, f, g, h] =
            std::array::from_fn(|place| char::from(b"abcdefgh"[(place + 64 - round) % 8]));
        let (now, two, seven, fifteen) = (w(16), w(2), w(7), w(15));
        // Writing to a string cannot fail.
        let _ = if round < 16 {
            Ok(())
        } else {
            writeln!(
                code,
                "    {now} += (turn({fifteen}, 7u) ^ turn({fifteen}, 18u) ^ ({fifteen} >> 3u)) + {seven} \
                 + (turn({two}, 17u) ^ turn({two}, 19u) ^ ({two} >> 10u));"
            )
        };
        let _ = writeln!(
            code,
            "    {h} += (turn({e}, 6u) ^ turn({e}, 11u) ^ turn({e}, 25u)) + ({g} ^ ({e} & ({f} ^ {g}))) \
             + {k}u + {now};\n    \
             {d} += {h};\n    \
             {h} += (turn({a}, 2u) ^ turn({a}, 13u) ^ turn({a}, 22u)) + (({a} & {b}) | ({c} & ({a} | {b})));"
        );
    }
    code + END
}
