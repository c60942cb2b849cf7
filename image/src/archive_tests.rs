#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, io::Read as _};

use flate2::read::GzDecoder;

use super::*;
use crate::{contents, notices::Notice};

fn image(program: &[u8], created: i64) -> Image<'_> {
    Image {
        name: "registry.example/operator:1.2.3".into(),
        architecture: "amd64",
        entrypoint: "/operator".into(),
        labels: vec![("org.opencontainers.image.title", "operator".into())],
        created,
        files: contents::operator(program, vec![Notice { name: "LICENSE", text: b"text".to_vec() }]),
    }
}

fn files(archive: &[u8]) -> BTreeMap<String, (u32, u64, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        files.insert(path, (entry.header().mode().unwrap(), entry.header().mtime().unwrap(), bytes));
    }
    files
}

fn blob(archive: &BTreeMap<String, (u32, u64, Vec<u8>)>, descriptor: &Value) -> Vec<u8> {
    let name = descriptor["digest"].as_str().unwrap();
    let bytes = &archive[&name.replace("sha256:", "blobs/sha256/")].2;
    assert_eq!(digest(bytes), name, "a blob is named by its digest");
    assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
    bytes.clone()
}

#[test]
fn the_same_contents_give_the_same_bytes_and_others_do_not() {
    let (one, again) = (image(b"program", 7).archive().unwrap(), image(b"program", 7).archive().unwrap());
    assert_eq!((&one.archive, &one.digest), (&again.archive, &again.digest));
    assert_ne!(one.digest, image(b"another", 7).archive().unwrap().digest);
    assert_ne!(one.digest, image(b"program", 8).archive().unwrap().digest);
}

#[test]
fn an_archive_holds_what_a_loader_looks_for() {
    let built = image(b"program", 7).archive().unwrap();
    let archive = files(&built.archive);
    assert_eq!(archive["oci-layout"].2, br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index: Value = serde_json::from_slice(&archive["index.json"].2).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["digest"], built.digest.as_str());
    assert_eq!(entry["annotations"]["io.containerd.image.name"], "registry.example/operator:1.2.3");
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");

    let manifest: Value = serde_json::from_slice(&blob(&archive, entry)).unwrap();
    let config: Value = serde_json::from_slice(&blob(&archive, &manifest["config"])).unwrap();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/operator"]));
    assert_eq!(config["created"], "1970-01-01T00:00:07Z");
    let mut layer = Vec::new();
    GzDecoder::new(blob(&archive, &manifest["layers"][0]).as_slice()).read_to_end(&mut layer).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([digest(&layer)]));

    let layer = files(&layer);
    assert_eq!(layer["cloudtenant-operator"], (0o755, 7, b"program".to_vec()));
    let names: Vec<_> = layer.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "cloudtenant-operator",
            "etc/",
            "etc/group",
            "etc/nsswitch.conf",
            "etc/passwd",
            "etc/ssl/",
            "etc/ssl/certs/",
            "etc/ssl/certs/ca-certificates.crt",
            "licenses/",
            "licenses/LICENSE",
        ],
        "nothing else is in the image"
    );
}
