//! Two copies of a process do not draw the same noise.

// `fork` can only be called unsafely: its child may find locks taken by threads that it does not have. It takes none
// here but those of the allocator, which the C library frees for it.
#![allow(unsafe_code)]

use std::io::{Read as _, Write as _};

use privacy::mechanism::{
    DiscreteGaussian, DiscreteLaplace, MAX_VARIANCE, MechanismError, RandomisedResponse,
};

/// 64 draws of each mechanism. That two of them agree by chance has a probability below 2⁻⁶⁴.
fn draw() -> Result<Vec<u8>, MechanismError> {
    let gaussian = DiscreteGaussian::new(MAX_VARIANCE)?.add(&[0; 64])?;
    let laplace = DiscreteLaplace::new(u32::MAX, 1)?.add(&[0; 64])?;
    let told = RandomisedResponse::new(2, 3)?.tell(&[true; 256])?;
    let numbers = gaussian.into_iter().chain(laplace).flat_map(i64::to_le_bytes);
    Ok(numbers.chain(told.into_iter().map(u8::from)).collect())
}

#[test]
fn a_forked_process_draws_other_noise() {
    // Whatever is set up once is set up before the fork.
    draw().unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let sent = writer.write_all(&draw().unwrap_or_default());
        unsafe { libc::_exit(i32::from(sent.is_err())) }
    }
    drop(writer);
    let ours = draw().unwrap();
    let mut theirs = Vec::new();
    reader.read_to_end(&mut theirs).unwrap();
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!((status, ours.len()), (0, theirs.len()));
    for (mechanism, part) in
        [("Gaussian", 0..512), ("Laplace", 512..1024), ("response", 1024..1280)]
    {
        assert_ne!(ours[part.clone()], theirs[part], "{mechanism}");
    }
}
