//! SSH algorithms behind tables: ciphers, MACs, key exchange, keys, signatures, digests
