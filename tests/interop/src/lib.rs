//! What the interop tests share: fixtures, digests, trees of odd files.
