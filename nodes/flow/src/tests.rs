use crate::*;

#[test]
fn the_shipped_matrix_is_one() {
    Matrix::shipped().unwrap();
}
