//! How far the clocks of a cloud's services are ahead of the operator's clock.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

/// Maximum number of series. Anyone who may write Secrets may name any number of hosts.
const MOST: usize = 4000;

/// In seconds, by cloud and service. Unused clouds are removed. A `Family` would keep each host that a Secret ever
/// named.
#[derive(Debug, Clone, Default)]
pub(super) struct Clocks(Arc<Mutex<BTreeMap<(String, &'static str), f64>>>);

impl Clocks {
    pub(super) fn note(&self, cloud: &str, service: &'static str, seconds: f64) {
        let mut clocks = self.lock();
        let key = (cloud.to_owned(), service);
        if clocks.len() < MOST || clocks.contains_key(&key) {
            clocks.insert(key, seconds);
        }
    }

    pub(super) fn retain(&self, in_use: impl Fn(&str) -> bool) {
        self.lock().retain(|(cloud, _), _| in_use(cloud));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, &'static str), f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Clocks {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let clocks = self.lock().clone();
        if clocks.is_empty() {
            return Ok(());
        }
        let name = "cloud_clock_ahead_seconds";
        let help = "How far a service's clock was ahead of ours when it last answered";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ((cloud, service), seconds) in clocks {
            let labels = [("cloud", cloud.as_str()), ("service", service)];
            ConstGauge::new(seconds).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
