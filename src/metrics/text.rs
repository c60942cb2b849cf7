//! Converts OpenMetrics to Prometheus' older text format 0.0.4, which `promtool` and many collectors read.

use std::fmt;

/// Converts OpenMetrics text that is written to it, line by line, and writes the result to `to`. In that format, a
/// counter's metadata also has the suffix `_total`, and there are no units and no end marker.
pub(super) struct Plain<W> {
    to: W,
    /// The line that is not complete yet.
    line: String,
    /// The latest HELP line. It always precedes the TYPE line.
    help: Option<String>,
}

impl<W: fmt::Write> Plain<W> {
    pub(super) const fn new(to: W) -> Self {
        Self { to, line: String::new(), help: None }
    }

    fn end_line(&mut self) -> fmt::Result {
        let line = self.line.trim_end_matches('\n');
        if line.starts_with("# HELP ") {
            self.help = Some(line.to_owned());
        } else if let Some((name, type_)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if type_ == "counter" { "_total" } else { "" };
            let help = self.help.take();
            let described = help.as_ref().and_then(|line| line.strip_prefix("# HELP ")?.split_once(' '));
            if let Some((_, description)) = described {
                writeln!(self.to, "# HELP {name}{suffix} {description}")?;
            }
            writeln!(self.to, "# TYPE {name}{suffix} {type_}")?;
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            self.to.write_str(&self.line)?;
        }
        self.line.clear();
        Ok(())
    }
}

impl<W: fmt::Write> fmt::Write for Plain<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            self.line.push_str(piece);
            if piece.ends_with('\n') {
                self.end_line()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn counters_end_in_total_and_the_rest_stays() {
        let openmetrics = concat!(
            "# HELP a_seconds A.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n",
            "a_seconds_bucket{le=\"+Inf\"} 1\n",
            "# HELP b B, and more.\n# TYPE b counter\nb_total{of=\"# EOF\"} 2\n",
            "# HELP c C.\n# TYPE c gauge\nc 3\n# EOF\n",
        );
        let text = concat!(
            "# HELP a_seconds A.\n# TYPE a_seconds histogram\na_seconds_bucket{le=\"+Inf\"} 1\n",
            "# HELP b_total B, and more.\n# TYPE b_total counter\nb_total{of=\"# EOF\"} 2\n",
            "# HELP c C.\n# TYPE c gauge\nc 3\n",
        );
        for size in [1, 7, openmetrics.len()] {
            let mut plain = Plain::new(String::new());
            for piece in openmetrics.as_bytes().chunks(size) {
                plain.write_str(std::str::from_utf8(piece).unwrap()).unwrap();
            }
            assert_eq!(plain.to, text, "in pieces of {size} bytes");
        }
    }
}
