// Grafana's own types for dashboards, as the test of the dashboard reads it with.
module example.invalid/grafana

go 1.26.0

require github.com/grafana/grafana-foundation-sdk/go v0.0.12
