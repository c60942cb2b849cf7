//! The names of a set's CloudTenants.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// The longest name of a set, which is also the value of a label.
pub const LONGEST_SET: usize = 63;

/// The name of the CloudTenant for a project: the set's name and the project's ID. An ID that cannot be a part of a name
/// is made one, and 32 bits of its hash distinguish it from similar IDs.
#[must_use]
pub fn of(set: &str, project_id: &str) -> String {
    if is_label(project_id) {
        return format!("{set}-{project_id}");
    }
    let readable: String = project_id
        .chars()
        .take(LONGEST_SET)
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let mut name = set.to_owned();
    for part in [readable.trim_matches('-'), &hash(project_id)].into_iter().filter(|part| !part.is_empty()) {
        name.push('-');
        name.push_str(part);
    }
    name
}

/// The first 8 hexadecimal digits of the SHA-256.
fn hash(text: &str) -> String {
    let mut hash = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref().iter().take(4) {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// Whether the text is a label of a DNS name, in lower case.
fn is_label(text: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    text.len() <= 63 && !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}
