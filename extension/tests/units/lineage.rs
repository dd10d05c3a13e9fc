use super::{FINGERPRINT_BITS, MOST_RESTORES, next, of_place, restores_here};
use pgrx::pg_sys::Oid;

#[test]
fn every_part_of_the_place_counts() {
    let place = |cluster, database, sequence| of_place(cluster, Oid::from(database), Oid::from(sequence));
    let here = place(7, 5, 16_400);
    for there in [place(8, 5, 16_400), place(7, 6, 16_400), place(7, 5, 16_401)] {
        assert_ne!(here, there);
        assert!(there > 0 && there < 1 << FINGERPRINT_BITS);
    }
    assert_eq!(here, place(7, 5, 16_400));
}

#[test]
fn another_place_counts_one_more() {
    let (here, there) = (0x123, 0x456);
    assert_eq!(next(0).ok(), Some(0), "a fresh installation");
    let lineage = (3 << FINGERPRINT_BITS) | here;
    assert_eq!(restores_here(lineage, here), Some(3));
    assert_eq!(restores_here(lineage, there), None);
    assert_eq!(next(lineage).ok(), Some(4));
    assert!(next((MOST_RESTORES << FINGERPRINT_BITS) | here).is_err());
}
