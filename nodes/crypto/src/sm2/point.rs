//! Points of the curve y² = x³ − 3x + b over the field (GB/T 32918.5).
//!
//! Sums and doubles are computed in Jacobian coordinates: (X, Y, Z) is (X/Z², Y/Z³), and Z = 0 is the
//! point at infinity. [`Jacobian::add_distinct`] and [`Jacobian::add_affine_distinct`] are wrong for
//! two equal points and for infinity; each caller says why neither occurs or what it does about it.

use zeroize::Zeroize;

use super::field::Field;
use super::limbs::Mask;

/// The curve's coefficient b.
const B: Field = Field::from_limbs(&[
    0xddbc_bd41_4d94_0e93,
    0xf397_89f5_15ab_8f92,
    0x4d5a_9e4b_cf65_09a7,
    0x28e9_fa9e_9d9f_5e34,
]);

/// G.
pub(super) const GENERATOR: Affine = Affine {
    x: Field::from_limbs(&[
        0x715a_4589_334c_74c7,
        0x8fe3_0bbf_f266_0be1,
        0x5f99_0446_6a39_c994,
        0x32c4_ae2c_1f19_8119,
    ]),
    y: Field::from_limbs(&[
        0x02df_32e5_2139_f0a0,
        0xd0a9_877c_c62a_4740,
        0x59bd_cee3_6b69_2153,
        0xbc37_36a2_f4f6_779c,
    ]),
};

/// A point of the curve other than infinity.
#[derive(Clone, Copy, PartialEq, Eq, Zeroize)]
pub(super) struct Affine {
    pub(super) x: Field,
    pub(super) y: Field,
}

/// Any point of the curve.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Jacobian {
    pub(super) x: Field,
    pub(super) y: Field,
    pub(super) z: Field,
}

impl Affine {
    /// Reads x and y, 32 big-endian bytes each; `None` unless both are below p and on the curve.
    /// Every point found is of order n: the curve's cofactor is 1.
    pub(super) fn from_bytes(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let point = Self {
            x: Field::from_bytes(x)?,
            y: Field::from_bytes(y)?,
        };
        point.is_on_curve().then_some(point)
    }

    /// Whether y² = x³ − 3x + b.
    fn is_on_curve(&self) -> bool {
        let three = Field::ONE.double().add(&Field::ONE);
        let right = self.x.square().sub(&three).mul(&self.x).add(&B);
        self.y.square() == right
    }

    pub(super) const fn neg(&self) -> Self {
        Self {
            x: self.x,
            y: self.y.neg(),
        }
    }

    /// −self if the mask says yes.
    #[inline(always)]
    pub(super) const fn negated_if(&self, mask: Mask) -> Self {
        Self {
            x: self.x,
            y: Field::select(mask, &self.y.neg(), &self.y),
        }
    }

    pub(super) const fn to_jacobian(self) -> Jacobian {
        Jacobian {
            x: self.x,
            y: self.y,
            z: Field::ONE,
        }
    }
}

impl Jacobian {
    pub(super) const INFINITY: Self = Self {
        x: Field::ONE,
        y: Field::ONE,
        z: Field::ZERO,
    };

    /// Whether this is the point at infinity.
    #[inline(always)]
    pub(super) fn is_infinity(&self) -> Mask {
        self.z.is_zero()
    }

    /// 2·self, infinity included (dbl-2001-b of the Explicit-Formulas Database, for a = −3).
    pub(super) fn double(&self) -> Self {
        let delta = self.z.square();
        let gamma = self.y.square();
        let beta = self.x.mul(&gamma);
        let product = self.x.sub(&delta).mul(&self.x.add(&delta));
        let alpha = product.double().add(&product);
        let beta_4 = beta.double().double();
        let x = alpha.square().sub(&beta_4.double());
        let gamma_squared_8 = gamma.double().square().double();
        Self {
            x,
            y: alpha.mul(&beta_4.sub(&x)).sub(&gamma_squared_8),
            z: self.y.mul(&self.z).double(),
        }
    }

    /// self + other where they are neither equal nor infinity; opposite points give infinity.
    pub(super) fn add_affine_distinct(&self, other: &Affine) -> Self {
        self.add_affine_parts(other).sum()
    }

    /// self + other where they are neither equal nor infinity; opposite points give infinity.
    pub(super) fn add_distinct(&self, other: &Self) -> Self {
        self.add_parts(other).sum()
    }

    /// self + other, whatever they are, with the same operations for all.
    pub(super) fn add_complete(&self, other: &Self) -> Self {
        let parts = self.add_parts(other);
        let equal = parts.h.is_zero().and(parts.r.is_zero());
        let sum = Self::select(equal, &self.double(), &parts.sum());
        let sum = Self::select(other.is_infinity(), self, &sum);
        Self::select(self.is_infinity(), other, &sum)
    }

    /// self + other, whatever they are, in a time that depends on them.
    pub(super) fn add_public(&self, other: &Self) -> Self {
        if self.is_infinity().reveal() {
            return *other;
        }
        if other.is_infinity().reveal() {
            return *self;
        }
        self.add_parts(other).sum_public(self)
    }

    /// self + other, whatever self is, in a time that depends on them.
    pub(super) fn add_affine_public(&self, other: &Affine) -> Self {
        if self.is_infinity().reveal() {
            return other.to_jacobian();
        }
        self.add_affine_parts(other).sum_public(self)
    }

    pub(super) const fn neg(&self) -> Self {
        Self {
            x: self.x,
            y: self.y.neg(),
            z: self.z,
        }
    }

    /// −self if the mask says yes.
    #[inline(always)]
    pub(super) const fn negated_if(&self, mask: Mask) -> Self {
        Self {
            x: self.x,
            y: Field::select(mask, &self.y.neg(), &self.y),
            z: self.z,
        }
    }

    /// `yes` or `no` by the mask.
    #[inline(always)]
    pub(super) const fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        Self {
            x: Field::select(mask, &yes.x, &no.x),
            y: Field::select(mask, &yes.y, &no.y),
            z: Field::select(mask, &yes.z, &no.z),
        }
    }

    /// Affine coordinates of a point that is not infinity.
    pub(super) fn to_affine(self) -> Affine {
        let inverse = self.z.invert();
        let inverse_squared = inverse.square();
        Affine {
            x: self.x.mul(&inverse_squared),
            y: self.y.mul(&inverse_squared).mul(&inverse),
        }
    }

    /// Whether the point is not infinity and its x is `x`, without an inversion.
    pub(super) fn has_x(&self, x: &Field) -> bool {
        !self.is_infinity().reveal() && x.mul(&self.z.square()) == self.x
    }

    #[inline(always)]
    const fn add_affine_parts(&self, other: &Affine) -> Parts {
        let z_squared = self.z.square();
        let h = other.x.mul(&z_squared).sub(&self.x);
        let r = other.y.mul(&self.z).mul(&z_squared).sub(&self.y);
        Parts {
            x: self.x,
            y: self.y,
            z: self.z,
            h,
            r,
        }
    }

    #[inline(always)]
    const fn add_parts(&self, other: &Self) -> Parts {
        let (z1_squared, z2_squared) = (self.z.square(), other.z.square());
        let x = self.x.mul(&z2_squared);
        let y = self.y.mul(&other.z).mul(&z2_squared);
        let h = other.x.mul(&z1_squared).sub(&x);
        let r = other.y.mul(&self.z).mul(&z1_squared).sub(&y);
        Parts {
            x,
            y,
            z: self.z.mul(&other.z),
            h,
            r,
        }
    }
}

/// A sum half done: the first point over the common denominator z, and how the second differs.
struct Parts {
    x: Field,
    y: Field,
    z: Field,
    h: Field,
    r: Field,
}

impl Parts {
    #[inline(always)]
    const fn sum(&self) -> Jacobian {
        let h_squared = self.h.square();
        let h_cubed = self.h.mul(&h_squared);
        let v = self.x.mul(&h_squared);
        let x = self.r.square().sub(&h_cubed).sub(&v.double());
        Jacobian {
            x,
            y: self.r.mul(&v.sub(&x)).sub(&self.y.mul(&h_cubed)),
            z: self.z.mul(&self.h),
        }
    }

    /// The sum, or the double of `first` where both points are the same.
    #[inline(always)]
    fn sum_public(&self, first: &Jacobian) -> Jacobian {
        if self.h == Field::ZERO && self.r == Field::ZERO {
            return first.double();
        }
        self.sum()
    }
}
