//! The panics that the process has caught.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter},
};

use crate::panics::Part;

#[derive(Debug)]
pub(super) struct Caught;

impl Collector for Caught {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "Panics that were caught, by the work that they ended";
        let mut metric = encoder.encode_descriptor("panics", help, None, MetricType::Counter)?;
        for part in Part::ALL {
            let labels = [("where", part.as_str())];
            ConstCounter::new(part.count()).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
