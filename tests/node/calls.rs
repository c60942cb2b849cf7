//! Other programs, and what they say.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// How a program ended, and what it wrote to both of its outputs.
pub struct Said {
    pub well: bool,
    pub text: String,
}

/// Runs it to its end.
pub fn ask(command: &mut Command) -> Result<Said> {
    let output = command.stdin(Stdio::null()).output().with_context(|| called(command))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Said { well: output.status.success(), text: String::from_utf8_lossy(&text).trim().to_owned() })
}

/// Runs it to its end, which must be a good one.
pub fn call(command: &mut Command) -> Result<String> {
    let said = ask(command)?;
    if !said.well {
        bail!("{}:\n{}", called(command), said.text);
    }
    Ok(said.text)
}

/// As somebody would have typed it.
pub fn called(command: &Command) -> String {
    let name = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = [name].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
