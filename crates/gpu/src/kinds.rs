//! The numbers by which `sketch.wgsl` knows the types of elements.

use std::fmt::Write as _;

use weight_digest::dtype::Dtype;

/// The number of a type whose values are sketched.
pub fn kind(dtype: Dtype) -> Option<u32> {
    dtype.value_bytes()?;
    let as_sketched = match dtype {
        Dtype::Bool => Dtype::U8,
        Dtype::C64 => Dtype::F32,
        other => other,
    };
    Dtype::ALL.iter().position(|known| *known == as_sketched).map(|at| at as u32)
}

/// The numbers as constants with the types' names.
pub fn wgsl() -> String {
    Dtype::ALL.iter().enumerate().fold(String::new(), |mut code, (at, dtype)| {
        // Writing to a string cannot fail.
        let _ = writeln!(code, "const {} = {at}u;", dtype.name());
        code
    })
}
