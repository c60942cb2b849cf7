//! The use of the budget. Namespaces are not named, because their number is unbounded.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

use crate::budget::Budget;

/// The budget to export. It is an unused default until [`Kept::set`].
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Budget>>);

impl Kept {
    pub(super) fn set(&self, budget: Budget) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = budget;
    }
}

impl Collector for Kept {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let budget = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (used, limits) = (budget.used(), budget.limits());
        for (name, help, all, namespace) in [
            ("kept_bytes", "What is kept of tenants: by all, and by the namespace with most", used.all, used.largest),
            ("kept_limit_bytes", "How much may be kept: by all, and by one namespace", limits.all, limits.namespace),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (scope, bytes) in [("all", all), ("namespace", namespace)] {
                let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
                gauge.encode(metric.encode_family(&[("scope", scope)])?)?;
            }
        }
        Ok(())
    }
}
