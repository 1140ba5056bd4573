//! Differencing against earlier releases.

/// Whether two cells differ by some units but by fewer than `threshold`: then the difference of their numbers would tell of
/// those few. Both iterators give the units of a cell in ascending order, each once, as a roaring bitmap does. It stops as
/// soon as the answer is known.
pub fn differs_too_little(
    new: impl IntoIterator<Item = u32>,
    earlier: impl IntoIterator<Item = u32>,
    threshold: u32,
) -> bool {
    let (mut new, mut earlier) = (new.into_iter().peekable(), earlier.into_iter().peekable());
    let mut different = 0u32;
    loop {
        match (new.peek(), earlier.peek()) {
            (None, None) => return different > 0,
            (Some(a), Some(b)) if a == b => {
                new.next();
                earlier.next();
                continue;
            }
            (Some(a), Some(b)) if a < b => drop(new.next()),
            (Some(_), None) => drop(new.next()),
            (_, Some(_)) => drop(earlier.next()),
        }
        different += 1;
        if different >= threshold {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::differs_too_little;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_size_of_the_symmetric_difference(
            a in prop::collection::btree_set(0u32..40, 0..30),
            b in prop::collection::btree_set(0u32..40, 0..30),
            threshold in 1u32..15,
        ) {
            let size = a.symmetric_difference(&b).collect::<BTreeSet<_>>().len();
            let told = differs_too_little(a.iter().copied(), b.iter().copied(), threshold);
            prop_assert_eq!(told, size > 0 && size < threshold as usize);
        }
    }

    #[test]
    fn equal_cells_and_cells_far_apart_are_fine() {
        assert!(!differs_too_little(0..100, 0..100, 10));
        assert!(!differs_too_little(0..110, 0..100, 10));
        assert!(differs_too_little(0..109, 0..100, 10));
        assert!(!differs_too_little(0..100, 100..200, 10));
    }
}
