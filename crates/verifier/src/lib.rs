//! The WebAssembly face of the verifier: strings and bytes in, JSON out.
