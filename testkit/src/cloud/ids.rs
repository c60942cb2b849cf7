//! New ids in the forms of the services.

use std::hash::{BuildHasher, RandomState};

/// Keystone's form of an id: 32 hexadecimal digits.
pub(super) fn new_id() -> String {
    let half = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}", half(), half())
}

/// Heat's and Nova's form of an id, with hyphens.
pub(super) fn new_uuid() -> String {
    let id = new_id();
    let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
    parts.join("-")
}
