//! Element types, spelled as safetensors spells them, and the values of their elements.

use half::{bf16, f16};

macro_rules! dtypes {
    ($($variant:ident = $name:literal, $bits:literal;)*) => {
        /// An element type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, non_camel_case_types)]
        #[non_exhaustive]
        pub enum Dtype { $($variant,)* }

        impl Dtype {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in a safetensors header.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Bits of one element; below 8 for packed types.
            pub fn bits(self) -> u64 {
                match self { $(Self::$variant => $bits,)* }
            }
        }
    };
}

dtypes! {
    Bool = "BOOL", 8;
    F4 = "F4", 4;
    F6_E2M3 = "F6_E2M3", 6;
    F6_E3M2 = "F6_E3M2", 6;
    U8 = "U8", 8;
    I8 = "I8", 8;
    F8_E5M2 = "F8_E5M2", 8;
    F8_E4M3 = "F8_E4M3", 8;
    F8_E8M0 = "F8_E8M0", 8;
    F8_E4M3FNUZ = "F8_E4M3FNUZ", 8;
    F8_E5M2FNUZ = "F8_E5M2FNUZ", 8;
    I16 = "I16", 16;
    U16 = "U16", 16;
    F16 = "F16", 16;
    BF16 = "BF16", 16;
    I32 = "I32", 32;
    U32 = "U32", 32;
    F32 = "F32", 32;
    C64 = "C64", 64;
    F64 = "F64", 64;
    I64 = "I64", 64;
    U64 = "U64", 64;
}

impl Dtype {
    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dtype| dtype.name() == name)
    }

    /// The bytes of a tensor of this type and shape; `None` where they would not be whole, or too many to
    /// count.
    pub fn length(self, shape: &[u64]) -> Option<u64> {
        let elements = shape.iter().try_fold(1u64, |product, side| product.checked_mul(*side))?;
        let bits = elements.checked_mul(self.bits())?;
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// Bytes from one numeric value to the next; a complex number is two values. `None` for packed types,
    /// whose values are not compared.
    pub fn value_bytes(self) -> Option<usize> {
        match self {
            Self::F4 | Self::F6_E2M3 | Self::F6_E3M2 => None,
            Self::C64 => Some(4),
            other => Some((other.bits() / 8) as usize),
        }
    }

    /// The value of one element given its little-endian bytes, [`Dtype::value_bytes`] of them. 64-bit
    /// integers are rounded to the nearest double. Packed types have no value here: NaN.
    pub fn value(self, bytes: &[u8]) -> f64 {
        fn le<const N: usize>(bytes: &[u8]) -> [u8; N] {
            bytes.try_into().unwrap_or([0; N])
        }
        match self {
            Self::Bool | Self::U8 => f64::from(le::<1>(bytes)[0]),
            Self::I8 => f64::from(i8::from_le_bytes(le(bytes))),
            Self::F8_E4M3 => {
                f8(le::<1>(bytes)[0], F8 { exponent: 4, bias: 7, kind: F8Kind::NanOnly })
            }
            Self::F8_E5M2 => {
                f8(le::<1>(bytes)[0], F8 { exponent: 5, bias: 15, kind: F8Kind::Ieee })
            }
            Self::F8_E4M3FNUZ => {
                f8(le::<1>(bytes)[0], F8 { exponent: 4, bias: 8, kind: F8Kind::Fnuz })
            }
            Self::F8_E5M2FNUZ => {
                f8(le::<1>(bytes)[0], F8 { exponent: 5, bias: 16, kind: F8Kind::Fnuz })
            }
            Self::F8_E8M0 => match le::<1>(bytes)[0] {
                0xff => f64::NAN,
                exponent => f64::powi(2.0, i32::from(exponent) - 127),
            },
            Self::I16 => f64::from(i16::from_le_bytes(le(bytes))),
            Self::U16 => f64::from(u16::from_le_bytes(le(bytes))),
            Self::F16 => f16::from_le_bytes(le(bytes)).to_f64(),
            Self::BF16 => bf16::from_le_bytes(le(bytes)).to_f64(),
            Self::I32 => f64::from(i32::from_le_bytes(le(bytes))),
            Self::U32 => f64::from(u32::from_le_bytes(le(bytes))),
            Self::F32 | Self::C64 => f64::from(f32::from_le_bytes(le(bytes))),
            Self::F64 => f64::from_le_bytes(le(bytes)),
            Self::I64 => i64::from_le_bytes(le(bytes)) as f64,
            Self::U64 => u64::from_le_bytes(le(bytes)) as f64,
            Self::F4 | Self::F6_E2M3 | Self::F6_E3M2 => f64::NAN,
        }
    }
}

/// An 8-bit float format (<https://arxiv.org/abs/2209.05433>; FNUZ: <https://arxiv.org/abs/2206.02915>).
struct F8 {
    exponent: u32,
    bias: i32,
    kind: F8Kind,
}

#[derive(PartialEq)]
enum F8Kind {
    /// Infinities and NaNs as in IEEE 754.
    Ieee,
    /// No infinity; all bits one is NaN.
    NanOnly,
    /// No infinity and no −0; what would be −0 is NaN.
    Fnuz,
}

fn f8(byte: u8, format: F8) -> f64 {
    let mantissa_bits = 7 - format.exponent;
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    let top = (1 << format.exponent) - 1;
    let exponent = i32::from(byte & 0x7f) >> mantissa_bits;
    let mantissa = f64::from(byte & ((1 << mantissa_bits) - 1));
    let scale = f64::from(1u32 << mantissa_bits);
    match format.kind {
        F8Kind::Fnuz if byte == 0x80 => return f64::NAN,
        F8Kind::NanOnly if byte & 0x7f == 0x7f => return f64::NAN,
        F8Kind::Ieee if exponent == top => {
            return if mantissa == 0.0 { sign * f64::INFINITY } else { f64::NAN };
        }
        _ => {}
    }
    if exponent == 0 {
        sign * mantissa / scale * f64::powi(2.0, 1 - format.bias)
    } else {
        sign * (1.0 + mantissa / scale) * f64::powi(2.0, exponent - format.bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for dtype in Dtype::ALL {
            assert_eq!(Dtype::from_name(dtype.name()), Some(*dtype));
        }
        assert_eq!(Dtype::from_name("F33"), None);
    }

    #[test]
    fn known_values_of_the_small_floats() {
        // From the tables of arXiv 2209.05433: largest, smallest normal, smallest subnormal.
        let e4m3 = |byte| Dtype::F8_E4M3.value(&[byte]);
        assert_eq!((e4m3(0x7e), e4m3(0x08), e4m3(0x01)), (448.0, 0.015625, 0.001953125));
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        let e5m2 = |byte| Dtype::F8_E5M2.value(&[byte]);
        assert_eq!((e5m2(0x7b), e5m2(0x04), e5m2(0x01)), (57344.0, 2f64.powi(-14), 2f64.powi(-16)));
        assert_eq!((e5m2(0x7c), e5m2(0xfc)), (f64::INFINITY, f64::NEG_INFINITY));
        assert_eq!(Dtype::F8_E4M3FNUZ.value(&[0x7f]), 240.0);
        assert!(Dtype::F8_E5M2FNUZ.value(&[0x80]).is_nan());
        assert_eq!(Dtype::F8_E8M0.value(&[127]), 1.0);
        assert_eq!(Dtype::BF16.value(&[0x80, 0x3f]), 1.0);
        assert_eq!(Dtype::F16.value(&[0x00, 0xc0]), -2.0);
        assert_eq!(Dtype::I8.value(&[0xff]), -1.0);
    }
}
