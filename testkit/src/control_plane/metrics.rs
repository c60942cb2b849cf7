//! What the API server counted: above all, the requests that an operator made.

use anyhow::{Context, Result};

use super::{ControlPlane, get};

const REQUESTS: &str = "apiserver_request_total";

impl ControlPlane {
    /// Reads the API server's metrics, as they are now.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn metrics(&self) -> Result<ApiServerMetrics> {
        let text = self.client().await?.request_text(get("/metrics")?).await;
        text.map(|text| ApiServerMetrics { text }).context("read the API server's metrics")
    }
}

/// The API server's metrics at one moment. Compare two of them to count what happened in between.
#[derive(Clone, Debug)]
pub struct ApiServerMetrics {
    text: String,
}

impl ApiServerMetrics {
    /// How many requests were made for a resource, of every group, version and scope, and with every
    /// response code.
    ///
    /// `resource` is the plural (`"cloudtenants"`), `subresource` is empty for the object itself
    /// (or `"status"`), and `verb` is the API server's: `"GET"`, `"LIST"`, `"WATCH"`, `"POST"`,
    /// `"PUT"`, `"PATCH"`, `"DELETE"`, and `"APPLY"`, which is server-side apply and not in `"PATCH"`.
    #[must_use]
    pub fn requests(&self, resource: &str, subresource: &str, verb: &str) -> u64 {
        let wanted =
            [format!("resource=\"{resource}\""), format!("subresource=\"{subresource}\""), format!("verb=\"{verb}\"")];
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix(REQUESTS)?.strip_prefix('{')?.rsplit_once("} "))
            .filter(|(labels, _)| {
                // The API server's label values hold no commas.
                let labels: Vec<_> = labels.split(',').collect();
                wanted.iter().all(|label| labels.contains(&label.as_str()))
            })
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            // A count: neither negative nor fractional.
            .map(|value| value as u64)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_response_codes_and_tells_labels_apart() {
        let metrics = ApiServerMetrics {
            text: [
                "# TYPE apiserver_request_total counter",
                r#"apiserver_request_total{code="200",resource="pods",subresource="",verb="APPLY"} 3"#,
                r#"apiserver_request_total{code="201",resource="pods",subresource="",verb="APPLY"} 2"#,
                r#"apiserver_request_total{code="200",resource="pods",subresource="status",verb="APPLY"} 1e+06"#,
                r#"apiserver_request_total{code="200",resource="pods",subresource="",verb="LIST"} 7"#,
                r#"apiserver_request_total_of_another{resource="pods",subresource="",verb="APPLY"} 50"#,
            ]
            .join("\n"),
        };
        assert_eq!(metrics.requests("pods", "", "APPLY"), 5);
        assert_eq!(metrics.requests("pods", "status", "APPLY"), 1_000_000);
        assert_eq!(metrics.requests("secrets", "", "APPLY"), 0);
    }
}
