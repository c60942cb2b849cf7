//! Converts OpenMetrics to Prometheus' older text format 0.0.4, which `promtool` and many collectors read.

/// In that format, a counter's metadata also has the suffix `_total`, and there are no units and no end marker.
pub(super) fn plain(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
            continue;
        }
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let Some((name, type_)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let suffix = if type_ == "counter" { "_total" } else { "" };
        // The HELP line always precedes the TYPE line.
        let described = help.take().and_then(|line| line.strip_prefix("# HELP ")?.split_once(' '));
        if let Some((_, description)) = described {
            text.push_str(&format!("# HELP {name}{suffix} {description}\n"));
        }
        text.push_str(&format!("# TYPE {name}{suffix} {type_}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
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
        assert_eq!(plain(openmetrics), text);
    }
}
