//! SM4's S-box (GB/T 32907, 6.2) as a circuit of 114 XOR and AND gates.
//!
//! The S-box is an inversion in GF(2^8) between two affine maps: `S(x) = A·(A·x + C)⁻¹ + C` modulo
//! x^8+x^7+x^6+x^5+x^4+x^2+1. The middle is the inversion of Boyar and Peralta's AES circuit
//! ("A depth-16 circuit for the AES S-box", 2011), which works in a tower of subfields; the linear
//! layers around it carry SM4's field there and back, for the isomorphism whose two layers were the
//! cheapest that a search over straight-line programs found (22 and 30 gates).
//!
//! The constants are left out: they are the same for every byte, so the caller folds them into the
//! round keys.

/// What the constant `C` adds to each input byte of a word: `A⁻¹·C`.
pub(super) const INPUT: u32 = 0x7575_7575;
/// What the constant `C` adds to each output byte of a word.
pub(super) const OUTPUT: u32 = 0xd3d3_d3d3;

/// `S(x ^ 0x75) ^ 0xd3` on bit planes: plane `i` holds bit `i` of every byte.
#[inline(always)]
pub(super) fn circuit([x0, x1, x2, x3, x4, x5, x6, x7]: [u32; 8]) -> [u32; 8] {
    // Into the tower field, with every sum that the products below need.
    let y20 = x2 ^ x7;
    let y5 = x2 ^ x6;
    let y10 = x4 ^ y20;
    let y2 = x1 ^ y5;
    let y7 = x0 ^ y10;
    let y18 = y2 ^ y7;
    let t0 = x3 ^ x7;
    let y0 = x1 ^ t0;
    let y11 = y7 ^ y0;
    let y17 = y10 ^ y11;
    let y1 = x5 ^ t0;
    let y9 = x4 ^ y17;
    let y6 = y10 ^ y1;
    let y16 = x0 ^ y6;
    let y15 = y0 ^ y6;
    let y4 = y2 ^ y9;
    let y12 = x6 ^ y15;
    let y21 = x5 ^ y11;
    let y3 = y4 ^ y12;
    let y14 = x1 ^ y12;
    let y8 = y5 ^ y3;
    let y19 = y10 ^ y8;
    // The norm, in GF(2^4).
    let m0 = y12 & y15;
    let m1 = y3 & y6 ^ m0;
    let m2 = y4 & y0 ^ m0;
    let m3 = x1 & y16;
    let m4 = y5 & y1 ^ m3;
    let m5 = y2 & y7 ^ m3;
    let m6 = y9 & y11;
    let m7 = y14 & y17 ^ m6;
    let m8 = y8 & y10 ^ m6;
    let n0 = m1 ^ m7 ^ y20;
    let n1 = m2 ^ m8 ^ y19;
    let n2 = m4 ^ m7 ^ y21;
    let n3 = m5 ^ m8 ^ y18;
    // Its inverse, and the sums that the products need.
    let p0 = n0 ^ n1;
    let p1 = n0 & n2;
    let p2 = n3 ^ p1;
    let v1 = p0 & p2 ^ n1;
    let p3 = n2 ^ n3;
    let p4 = n1 ^ p1;
    let v3 = p4 & p3 ^ n3;
    let p5 = n3 & (p2 ^ v3);
    let v2 = p5 ^ n2 ^ v3;
    let p6 = p2 ^ p5;
    let v0 = v1 & p6 ^ p0;
    let w0 = v0 ^ v2;
    let w1 = v1 ^ v3;
    let w2 = v1 ^ v0;
    let w3 = v3 ^ v2;
    let w4 = w1 ^ w0;
    // Times the conjugate.
    let z0 = w3 & y15;
    let z1 = v2 & y6;
    let z2 = v3 & y0;
    let z3 = w2 & y16;
    let z4 = v0 & y1;
    let z5 = v1 & y7;
    let z6 = w1 & y11;
    let z7 = w4 & y17;
    let z8 = w0 & y10;
    let z9 = w3 & y12;
    let z10 = v2 & y3;
    let z11 = v3 & y4;
    let z12 = w2 & x1;
    let z13 = v0 & y5;
    let z14 = v1 & y2;
    let z15 = w1 & y9;
    let z16 = w4 & y14;
    let z17 = w0 & y8;
    // Back to SM4's field.
    let u0 = z9 ^ z15;
    let u1 = z6 ^ z10;
    let u2 = z0 ^ z1;
    let u3 = z13 ^ u1;
    let u4 = z14 ^ u3;
    let u5 = z17 ^ u0;
    let s3 = z11 ^ u5;
    let u6 = z8 ^ u2;
    let u7 = z7 ^ u4;
    let u8 = z4 ^ z5;
    let u9 = u5 ^ u7;
    let s5 = u2 ^ u9;
    let u10 = u6 ^ u8;
    let u11 = z3 ^ z4;
    let s2 = u9 ^ u11;
    let u12 = u4 ^ u10;
    let s1 = z11 ^ u12;
    let u13 = z12 ^ z13;
    let u14 = z15 ^ z16;
    let s7 = u13 ^ u14;
    let u15 = u1 ^ u10;
    let u16 = z16 ^ u0;
    let s4 = u15 ^ u16;
    let u17 = u11 ^ s4;
    let u18 = z6 ^ u17;
    let s0 = z7 ^ u18;
    let u19 = s3 ^ s5;
    let u20 = z2 ^ u8;
    let u21 = u19 ^ u20;
    let s6 = z1 ^ u21;
    [s0, s1, s2, s3, s4, s5, s6, s7]
}

/// The S-box of the four bytes of `word`, constants included.
pub(super) fn substitute(word: u32) -> u32 {
    const EVERY_BYTE: u32 = 0x0101_0101;
    let word = word ^ INPUT;
    // Bits above the lowest of each byte carry rubbish through the circuit and are dropped.
    let planes = circuit(std::array::from_fn(|bit| word >> bit));
    let word = (0..8).fold(0, |word, bit| word | (planes[bit] & EVERY_BYTE) << bit);
    word ^ OUTPUT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a·b` in SM4's field, bit by bit.
    fn multiply(mut a: u8, b: u8) -> u8 {
        let mut product = 0;
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                product ^= a;
            }
            a = a << 1 ^ if a >> 7 == 1 { 0xf5 } else { 0 };
        }
        product
    }

    /// The circulant matrix `A`, by its columns.
    fn affine(x: u8) -> u8 {
        let columns = [0xcb, 0x97, 0x2f, 0x5e, 0xbc, 0x79, 0xf2, 0xe5];
        (0..8)
            .filter(|bit| x >> bit & 1 == 1)
            .fold(0xd3, |sum, bit| sum ^ columns[bit])
    }

    #[test]
    fn the_circuit_is_the_s_box_for_every_byte() {
        for x in 0..=255 {
            let inner = affine(x);
            let inverse = (0..=255).find(|y| multiply(inner, *y) == 1).unwrap_or(0);
            let expected = affine(inverse);
            for position in [0, 8, 16, 24] {
                let word = substitute(u32::from(x) << position);
                assert_eq!((word >> position) as u8, expected, "S({x:#04x})");
                let others = word & !(0xff << position);
                assert_eq!(others, 0xd6d6_d6d6 & !(0xff << position), "S({x:#04x})");
            }
        }
        // Two ends of the table as the standard prints it.
        assert_eq!(substitute(0x0001_feff), 0xd690_3948);
    }
}
