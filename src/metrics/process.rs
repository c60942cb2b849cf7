//! Metrics of the process itself, with the names of Prometheus' own clients. Linux only.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    #[cfg(target_os = "linux")]
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        use prometheus_client::{
            encoding::EncodeMetric as _,
            metrics::{MetricType, counter::ConstCounter},
        };

        // Values that the kernel does not provide are omitted.
        let Ok((stat, process)) = procfs::process::Process::myself().and_then(|own| Ok((own.stat()?, own))) else {
            return Ok(());
        };
        let ticks = procfs::ticks_per_second() as f64;
        let cpu = (stat.utime + stat.stime) as f64 / ticks;
        let help = "Processor time of the process";
        let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(cpu).encode(metric)?;
        let booted = procfs::boot_time_secs().ok().map(|at| at as f64 + stat.starttime as f64 / ticks);
        let resident = stat.rss as f64 * procfs::page_size() as f64;
        let gauges = [
            ("process_resident_memory_bytes", "Memory of the process in main storage", Some(resident)),
            ("process_start_time_seconds", "When the process was started", booted),
            ("process_open_fds", "Open file descriptors", process.fd_count().ok().map(|count| count as f64)),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn encode(&self, _: DescriptorEncoder) -> fmt::Result {
        Ok(())
    }
}
