//! Puts the operator's container image together: one static binary on an empty base, and an SBOM beside it.
//!
//! No builder and no registry is needed. Two builds of one commit by the same toolchain give one digest.

mod archive;
mod commit;
mod compile;
mod contents;
mod linked;
mod notices;
mod sbom;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};

use crate::{archive::Image, commit::Commit, compile::Target, sbom::Bill};

/// Builds container images without a builder.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compiles the operator and puts its image together, as an OCI archive, with its SBOM beside it.
    Build(Build),
    /// Puts any static binary into an image of its own, as an OCI archive.
    Pack(Pack),
    /// Prints the certificates of Mozilla's roots as PEM, as they are in the image.
    Roots,
}

/// What the image may take on a node, in bytes. Whoever needs more should know why.
const LIMIT: usize = 25_000_000;

#[derive(Debug, clap::Args)]
struct Build {
    /// The archive. The SBOM is written beside it, with the ending `.cdx.json`.
    #[arg(long, default_value = "target/image.tar")]
    out: PathBuf,
    /// The image's name; the version of the operator is its tag.
    #[arg(long, default_value = "ghcr.io/cloudtenant/cloudtenant-operator")]
    repository: String,
    /// The tag, if not the version.
    #[arg(long)]
    tag: Option<String>,
    /// Where the source can be found, for the image's label.
    #[arg(long)]
    source: Option<String>,
    /// What to compile for, as Rust names it; this machine's GNU triple if not given.
    #[arg(long)]
    target: Option<String>,
    /// A binary that is compiled already.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Also writes the image's files below this directory, for a builder.
    #[arg(long)]
    rootfs: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Pack {
    /// The archive.
    #[arg(long)]
    out: PathBuf,
    /// The image's name with its tag.
    #[arg(long)]
    name: String,
    /// The static binary: it becomes the entry point.
    #[arg(long)]
    binary: PathBuf,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Build(arguments) => build(&arguments),
        Command::Pack(arguments) => pack(&arguments),
        Command::Roots => {
            print!("{}", contents::roots());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(arguments: &Build) -> Result<()> {
    let commit = Commit::read()?;
    let target = Target::new(arguments.target.as_deref())?;
    let project = compile::Project::read()?;
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => project.compile(&target)?,
    };
    let program = fs::read(&binary).with_context(|| format!("read {}", binary.display()))?;
    let bill = Bill::read(&project, &target)?;
    let tag = arguments.tag.as_ref().unwrap_or(&project.version);
    let image = Image {
        name: format!("{}:{tag}", arguments.repository),
        architecture: target.architecture,
        entrypoint: format!("/{}", compile::PROGRAM),
        labels: commit.labels(&project, arguments.source.as_deref()),
        created: commit.time,
        files: contents::operator(&program, notices::notices(&project, &bill.components)?),
    };
    if let Some(directory) = &arguments.rootfs {
        archive::unpack(&image.files, directory)?;
    }
    let sbom = arguments.out.with_extension("cdx.json");
    write(&sbom, &bill.document(&program, &commit)?)?;
    let unpacked = finish(&image, &arguments.out)?;
    ensure!(unpacked < LIMIT, "the image has {unpacked} bytes, which is more than {LIMIT}");
    println!("sbom    {}", sbom.display());
    Ok(())
}

fn pack(arguments: &Pack) -> Result<()> {
    let program = fs::read(&arguments.binary).with_context(|| format!("read {}", arguments.binary.display()))?;
    let name = arguments.binary.file_name().and_then(|name| name.to_str()).context("the binary has no name")?;
    let image = Image {
        name: arguments.name.clone(),
        architecture: Target::new(None)?.architecture,
        entrypoint: format!("/{name}"),
        labels: Vec::new(),
        created: 0,
        files: vec![contents::program(name, &program)],
    };
    finish(&image, &arguments.out).map(drop)
}

fn finish(image: &Image, out: &PathBuf) -> Result<usize> {
    let built = image.archive()?;
    write(out, &built.archive)?;
    println!("name    {}", image.name);
    println!("digest  {}", built.digest);
    println!(
        "size    {:.1} MB in the archive, {:.1} MB unpacked",
        megabytes(built.archive.len()),
        megabytes(built.unpacked)
    );
    println!("archive {}", out.display());
    Ok(built.unpacked)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn write(file: &PathBuf, bytes: &[u8]) -> Result<()> {
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
}
