//! The limits for the lists that are parsed while they arrive.

use std::io::Write as _;

use axum::{body::Body, response::Response};
use cloudtenant_operator::{
    api::Period,
    openstack::{Error, Service},
    probe::{engines, usage},
    target::Target,
};
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use jiff::Timestamp;

use super::{Client, Cloud, LONG, failure};

/// In bytes.
const MIB: usize = 1 << 20;

/// A document of this length: Nova's page or Heat's list, with one row after many spaces.
fn document(service: Service, length: usize) -> Vec<u8> {
    let (begin, end) = match service {
        Service::Compute => (
            r#"{"tenant_usage": {"total_hours": 1, "total_vcpus_usage": 1, "total_memory_mb_usage": 1,
                "total_local_gb_usage": 1, "start": "2026-11-01T00:00:00.000000",
                "stop": "2026-11-22T05:09:43.000000", "server_usages": [{}, "#,
            "{}]}}",
        ),
        _ => (r#"{"services": ["#, r#"{"host": "h", "status": "up"}]}"#),
    };
    let mut document = vec![b' '; length];
    document[..begin.len()].copy_from_slice(begin.as_bytes());
    document[length - end.len()..].copy_from_slice(end.as_bytes());
    document
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A body that ends, of the limit and of one byte more. The server does not say its length.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_longer_than_its_limit_is_refused() {
    let cloud = Cloud::start().await;
    let url = &cloud.url;
    let more =
        format!("orchestration_endpoint_override: '{url}/heat/v1/p', compute_endpoint_override: '{url}/nova/v2.1', ");
    let client = Client::with(&cloud, "username: u, password: hunter2, user_domain_id: default", &more);
    let spec = serde_json::json!({ "projectID": "p", "cloudCredentialsRef": { "secretName": "cloud" } });
    let target = Target::new(&serde_json::from_value(spec).unwrap()).unwrap();
    let now = Timestamp::now();
    let frozen = usage::windows(Period::Month, now).previous;
    for (service, limit) in [(Service::Orchestration, 8 * MIB), (Service::Compute, 64 * MIB)] {
        for (longer, encoding) in [(0, "identity"), (1, "identity"), (0, "gzip"), (1, "gzip")] {
            let mut body = document(service, limit + longer);
            if encoding == "gzip" {
                body = gzip(&body);
            }
            let body = axum::body::Bytes::from(body);
            cloud.answers(move |_, _| {
                let pieces: Vec<_> =
                    (0..body.len()).step_by(MIB).map(|at| body.slice(at..body.len().min(at + MIB))).collect();
                let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>)));
                Response::builder().header("content-encoding", encoding).body(body).unwrap()
            });
            let read = match service {
                Service::Compute => usage::ask(&client.session, &target, Some(frozen), now).await.map(|_| ()),
                _ => engines::ask(&client.session, LONG, now).await.map(|_| ()),
            };
            let expected = if longer == 0 { Ok(()) } else { Err(failure(service, Error::BodyTooLarge)) };
            assert_eq!(read, expected, "{service}, {encoding}, {longer} bytes more");
        }
    }
}
