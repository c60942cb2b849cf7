//! The files of an image.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::{
    archive::File,
    compile::PROGRAM,
    notices::{self, Notice},
};

/// All that the operator's image holds, sorted.
pub fn operator(program_bytes: &[u8], notices: Vec<Notice>) -> Vec<File<'_>> {
    let mut files = vec![
        File::directory("etc/"),
        File::directory("etc/ssl/"),
        File::directory("etc/ssl/certs/"),
        File::new("etc/ssl/certs/ca-certificates.crt", roots().into_bytes()),
        // For whoever looks up who 65532 is.
        File::new("etc/passwd", b"nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n".to_vec()),
        File::new("etc/group", b"nonroot:x:65532:\n".to_vec()),
        // How the C library finds hosts: /etc/hosts, which the kubelet writes, before DNS. It is its own default, said.
        File::new("etc/nsswitch.conf", b"hosts: files dns\n".to_vec()),
        File::directory(notices::DIRECTORY),
        program(PROGRAM, program_bytes),
    ];
    files.extend(notices.into_iter().map(|one| File::new(&format!("{}{}", notices::DIRECTORY, one.name), one.text)));
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// A file that can be run.
pub fn program<'a>(name: &str, bytes: &'a [u8]) -> File<'a> {
    File { path: name.to_owned(), mode: 0o755, bytes: bytes.into() }
}

/// Mozilla's roots for TLS servers. They come from a crate, so that `Cargo.lock` pins them and no machine's own get in.
pub fn roots() -> String {
    let mut pem = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        let text = STANDARD.encode(certificate.as_ref());
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            // Writing to a String cannot fail.
            let _ = writeln!(pem, "{line}");
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_roots_are_many_and_each_is_pem() {
        let roots = super::roots();
        let count = roots.matches("-----BEGIN CERTIFICATE-----\n").count();
        assert!(count > 100, "{count}");
        assert_eq!(count, roots.matches("-----END CERTIFICATE-----\n").count());
        assert!(roots.lines().all(|line| line.len() <= 64));
    }
}
