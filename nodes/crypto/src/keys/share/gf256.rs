//! The field of 256 elements, x^8 + x^4 + x^3 + x + 1: without tables and without branches on values.

/// The product.
pub(super) const fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    let mut bit = 0;
    // Eight rounds whatever the values are: only the masks depend on them.
    while bit < 8 {
        product ^= a & 0_u8.wrapping_sub(b >> bit & 1);
        a = a << 1 ^ (0x1b & 0_u8.wrapping_sub(a >> 7));
        bit += 1;
    }
    product
}

/// The inverse, a^254; 0 has none and gives 0.
pub(super) const fn invert(a: u8) -> u8 {
    let mut result = 1;
    let mut power = a;
    // 254 = 2 + 4 + ... + 128.
    let mut bit = 1;
    while bit < 8 {
        power = multiply(power, power);
        result = multiply(result, power);
        bit += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: multiply as polynomials, then divide.
    fn slow(a: u8, b: u8) -> u8 {
        let mut wide = 0_u16;
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                wide ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if wide >> bit & 1 == 1 {
                wide ^= 0x11b << (bit - 8);
            }
        }
        wide as u8
    }

    #[test]
    fn products_and_inverses_are_the_field_s() {
        assert_eq!(multiply(0x57, 0x83), 0xc1, "FIPS 197, 4.2");
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), slow(a, b), "{a} {b}");
            }
            let one = u8::from(a != 0);
            assert_eq!(multiply(a, invert(a)), one, "{a}");
        }
    }
}
