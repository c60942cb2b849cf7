//! The memory that the program has allocated. The library does not know the program's allocator.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

/// Returns the allocator's counter, if it has one.
pub(super) type Read = fn() -> Option<u64>;

/// Reads the allocator's counter. It is unset until [`super::Metrics::show_allocated`].
#[derive(Debug, Clone, Default)]
pub(super) struct Allocated(Arc<OnceLock<Read>>);

impl Allocated {
    /// Only the first call has an effect.
    pub(super) fn set(&self, read: Read) {
        let _ = self.0.set(read);
    }
}

impl Collector for Allocated {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(bytes) = self.0.get().and_then(|read| read()) else { return Ok(()) };
        let help = "Memory that the program has allocated and not freed";
        let metric = encoder.encode_descriptor("allocated_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(metric)
    }
}
