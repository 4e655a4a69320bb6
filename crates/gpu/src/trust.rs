//! A driver's compiler can be wrong, and memory broken: no card is used before it gave the processor's digest of a
//! few bytes of every type.

use weight_digest::cpu::Cpu;
use weight_digest::dtype::Dtype;
use weight_digest::engine::{Engine, Span};
use weight_digest::sketch::{Sketch, SketchKey};
use weight_digest::tree::LEAF;

/// Leaves of a tensor, and some bytes of another.
const LENGTH: usize = 5 * LEAF + 24;

/// Checks an engine; the error says that it fails, or that it is wrong.
pub fn check(engine: &dyn Engine) -> Result<(), String> {
    // A multiplicative hash: bits of every kind, of NaN and infinity too.
    let bytes: Vec<u8> =
        (0..LENGTH as u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 19) as u8).collect();
    let spans: Vec<Span<'_>> = (0..)
        .zip(Dtype::ALL)
        .map(|(first, dtype)| Span {
            dtype: *dtype,
            key: SketchKey::new(dtype.name()),
            first,
            bytes: &bytes,
        })
        .collect();
    let digest = |engine: &dyn Engine| {
        let mut sketch = Sketch::default();
        let leaves = engine.digest(&spans, Some(&mut sketch)).map_err(|error| error.why)?;
        Ok::<_, String>((leaves, sketch))
    };
    if digest(engine)? == digest(&Cpu)? {
        Ok(())
    } else {
        Err("it digests bytes otherwise than the processor, so it is not used".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weight_digest::engine::EngineError;
    use weight_digest::leaves::LeafRange;

    /// The processor, and one bit of a sum wrong where it is told so.
    #[derive(Debug)]
    struct Doubtful(bool);

    impl Engine for Doubtful {
        fn name(&self) -> String {
            "doubtful".to_owned()
        }

        fn batch(&self) -> usize {
            LEAF
        }

        fn digest(
            &self,
            spans: &[Span<'_>],
            mut sketch: Option<&mut Sketch>,
        ) -> Result<Vec<LeafRange>, EngineError> {
            if let (true, Some(sketch)) = (self.0, sketch.as_deref_mut()) {
                sketch.buckets.sums_mut()[17] ^= 1;
            }
            Cpu.digest(spans, sketch)
        }
    }

    #[test]
    fn who_is_wrong_by_a_bit_is_not_trusted() {
        assert_eq!(check(&Doubtful(false)), Ok(()));
        assert!(check(&Doubtful(true)).is_err_and(|why| why.contains("otherwise")));
    }
}
