//! Recorded answers of real services and the examples of their API documents, from `fixtures/`.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};

/// One exchange with a service: what was asked, and what came.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// The request's method.
    pub method: String,
    /// The URL that was asked.
    pub request_url: String,
    /// The request's headers; tokens are masked.
    pub request_headers: Vec<(String, String)>,
    /// The request's body, secrets masked.
    pub request_body: Option<String>,
    /// The answer's status.
    pub status: u16,
    /// The answer's headers in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The answer's body, byte for byte.
    pub body: Vec<u8>,
    /// When the request was sent (RFC 3339); none in a document's example.
    pub sent: Option<String>,
    /// How long the answer took; zero in a document's example.
    pub took: Duration,
}

impl Recorded {
    /// Reads `fixtures/{name}.http`.
    ///
    /// # Errors
    /// When there is no such file or it is not in the recordings' form.
    pub fn load(name: &str) -> Result<Self> {
        let path = folder().join(format!("{name}.http"));
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("parsing {}", path.display()))
    }

    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut recorded = Self::default();
        let mut rest = bytes;
        while let Some((line, after)) = next_line(rest) {
            rest = after;
            let line = std::str::from_utf8(line)?.trim_end();
            if let Some(comment) = line.strip_prefix("# ") {
                recorded.read_comment(comment)?;
            } else if let Some(status) = line.strip_prefix("HTTP/1.1 ") {
                recorded.status = status.get(..3).context("a status line without a code")?.parse()?;
            } else if line.is_empty() {
                break;
            } else {
                recorded.headers.push(pair(line)?);
            }
        }
        anyhow::ensure!(recorded.status != 0, "no status line");
        // The recorder ended each file with a newline of its own.
        let length = match recorded.status {
            204 => Some(0),
            _ => recorded.header("content-length").and_then(|value| value.parse().ok()),
        };
        recorded.body = rest[..length.unwrap_or(rest.len()).min(rest.len())].to_vec();
        Ok(recorded)
    }

    fn read_comment(&mut self, comment: &str) -> Result<()> {
        if let Some(command) = comment.strip_prefix("curl ") {
            self.read_command(command)?;
        } else if let Some(sent) = comment.strip_prefix("sent ") {
            self.sent = Some(sent.to_owned());
        } else if let Some(result) = comment.strip_prefix("result ") {
            let seconds = result.split([' ', ',']).nth(2).and_then(|word| word.strip_suffix('s'));
            self.took = Duration::from_secs_f64(seconds.context("no duration")?.parse()?);
        }
        Ok(())
    }

    fn read_command(&mut self, command: &str) -> Result<()> {
        "GET".clone_into(&mut self.method);
        let mut arguments = command.split('\'').skip(1).step_by(2);
        while let Some(argument) = arguments.next() {
            match argument {
                "-H" => self.request_headers.push(pair(arguments.next().context("-H of nothing")?)?),
                "-X" => arguments.next().context("-X of nothing")?.clone_into(&mut self.method),
                "-d" => {
                    if self.method == "GET" {
                        "POST".clone_into(&mut self.method);
                    }
                    self.request_body = arguments.next().map(str::to_owned);
                }
                url if url.starts_with("http") => url.clone_into(&mut self.request_url),
                header => {
                    let header = header.strip_prefix("-H").context("an argument that is not known")?;
                    self.request_headers.push(pair(header)?);
                }
            }
        }
        Ok(())
    }
}

/// Every recording of a folder of `fixtures/`, by its name (`services-all-up`), in order.
///
/// # Errors
/// When the folder or one of its recordings cannot be read.
pub fn all(service: &str) -> Result<Vec<(String, Recorded)>> {
    let path = folder().join(service);
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
        let name = entry?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".http")).map(str::to_owned));
    }
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let recorded = Recorded::load(&format!("{service}/{name}"))?;
            Ok((name, recorded))
        })
        .collect()
}

/// Where the recordings lie.
#[must_use]
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value)
}

fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn pair(line: &str) -> Result<(String, String)> {
    let (name, value) = line.split_once(": ").with_context(|| format!("not a header: {line}"))?;
    Ok((name.to_owned(), value.to_owned()))
}
