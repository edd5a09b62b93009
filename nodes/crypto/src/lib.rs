//! National cryptography: SM2/SM3/SM4, the rustls provider, X.509, media frames, sealed keys.
