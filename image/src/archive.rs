//! An OCI image as an archive: the same bytes for the same contents, wherever and whenever it is made.

use std::{borrow::Cow, fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

const MEDIA_TYPE: &str = "application/vnd.oci.image";
/// Nobody: what the distroless images call `nonroot`. A number, so that Kubernetes sees that it is not root.
const USER: &str = "65532:65532";

/// What goes into an image.
pub struct Image<'a> {
    /// With its tag.
    pub name: String,
    /// As Go names it.
    pub architecture: &'static str,
    pub entrypoint: String,
    pub labels: Vec<(&'static str, String)>,
    /// In seconds since 1970.
    pub created: i64,
    /// Directories come before what is in them.
    pub files: Vec<File<'a>>,
}

/// An entry of the image's only layer.
pub struct File<'a> {
    /// Without the leading slash; a directory's ends with one.
    pub path: String,
    pub mode: u32,
    pub bytes: Cow<'a, [u8]>,
}

/// A finished image.
pub struct Built {
    pub archive: Vec<u8>,
    /// Of the manifest: what a registry calls the image's digest.
    pub digest: String,
    /// Bytes of the layer as it is on a node.
    pub unpacked: usize,
}

impl Image<'_> {
    pub fn archive(&self) -> Result<Built> {
        let layer = tar_of(&self.files, self.created)?;
        // The builder's header has neither a time nor a file name.
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
        gzip.write_all(&layer)?;
        let layer_blob = Blob::new("layer.v1.tar+gzip", gzip.finish()?);
        let config = Blob::new("config.v1+json", serde_json::to_vec(&self.config(&digest(&layer))?)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": format!("{MEDIA_TYPE}.manifest.v1+json"),
            "config": config.descriptor(),
            "layers": [layer_blob.descriptor()],
            "annotations": self.labels(),
        });
        let manifest = Blob::new("manifest.v1+json", serde_json::to_vec(&manifest)?);
        let mut entry = manifest.descriptor();
        entry["platform"] = json!({"architecture": self.architecture, "os": "linux"});
        // Loaders take the image's name from here: containerd from the first, Podman and Skopeo from the second.
        entry["annotations"] = json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": self.name.rsplit(':').next(),
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": format!("{MEDIA_TYPE}.index.v1+json"),
            "manifests": [entry],
        });
        let mut files = vec![
            File::directory("blobs/"),
            File::directory("blobs/sha256/"),
            File::new("index.json", serde_json::to_vec(&index)?),
            File::new("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ];
        let digest = manifest.digest.clone();
        for blob in [layer_blob, config, manifest] {
            files.push(File::new(&format!("blobs/sha256/{}", blob.digest.trim_start_matches("sha256:")), blob.bytes));
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Built { archive: tar_of(&files, self.created)?, digest, unpacked: layer.len() })
    }

    fn config(&self, layer: &str) -> Result<Value> {
        let created = Timestamp::from_second(self.created)?.to_string();
        Ok(json!({
            "created": created,
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": [self.entrypoint],
                "WorkingDir": "/",
                "Labels": self.labels(),
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": created, "created_by": "cargo run -p image -- build"}],
        }))
    }

    fn labels(&self) -> Value {
        Value::Object(self.labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<Map<_, _>>())
    }
}

impl File<'static> {
    pub fn new(path: &str, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), mode: 0o644, bytes: bytes.into() }
    }

    pub fn directory(path: &str) -> Self {
        Self { path: path.to_owned(), mode: 0o755, bytes: Vec::new().into() }
    }
}

struct Blob {
    kind: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(kind: &'static str, bytes: Vec<u8>) -> Self {
        Self { kind, digest: digest(&bytes), bytes }
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": format!("{MEDIA_TYPE}.{}", self.kind), "digest": self.digest, "size": self.bytes.len()})
    }
}

fn tar_of(files: &[File<'_>], time: i64) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for file in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(if file.path.ends_with('/') { EntryType::Directory } else { EntryType::Regular });
        header.set_mode(file.mode);
        header.set_mtime(time.try_into()?);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(file.bytes.len().try_into()?);
        tar.append_data(&mut header, &file.path, file.bytes.as_ref())?;
    }
    Ok(tar.into_inner()?)
}

/// Writes the files below a directory.
pub fn unpack(files: &[File<'_>], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    tar::Archive::new(tar_of(files, 0)?.as_slice()).unpack(directory)?;
    Ok(())
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hexadecimal(&Sha256::digest(bytes)))
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
