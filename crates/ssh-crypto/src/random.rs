//! Randomness, passed in and never global, so that a test can repeat a handshake.

/// A source of random bytes fit for keys.
pub trait Random: Send {
    /// Fills `out` completely.
    fn fill(&mut self, out: &mut [u8]);
}

/// The operating system's generator behind AWS-LC's own (reseeded, fork-safe) one.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    /// # Panics
    /// If the system has no working random source: no key of ours would be safe after that.
    fn fill(&mut self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).expect("the system's random source works");
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Random sources for tests.

    use super::Random;

    /// Gives these bytes, in order, and nothing else.
    pub(crate) struct Bytes(pub(crate) Vec<u8>);

    impl Random for Bytes {
        fn fill(&mut self, out: &mut [u8]) {
            out.copy_from_slice(&self.0[..out.len()]);
            self.0.drain(..out.len());
        }
    }
}
