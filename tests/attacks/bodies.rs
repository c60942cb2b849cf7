//! Answers of a hostile cloud that are long, or become long.

use flate2::{Compress, Compression, FlushCompress};
use serde_json::json;

use crate::{
    hostile::{Answers, Hostile, Reply},
    scene::{PROJECT, Scene},
};

const MIB: usize = 1 << 20;

/// Entries that lead nowhere, nearly as many as fit into what is read of a login.
fn login() -> Reply {
    let mut text = format!(
        r#"{{"token":{{"expires_at":"2099-01-01T00:00:00Z","project":{{"id":"{PROJECT}","name":"p"}},"catalog":["#
    );
    text.push_str(&r#"{"type":"dcs"},"#.repeat(272_000));
    text.push_str(r#"{"type":"dcs"}]}}"#);
    Reply::gzip(text.as_bytes())
}

/// Two clouds with such logins.
pub async fn catalogues(scene: &Scene<'_>) -> [Hostile; 2] {
    let refused = Reply::Status(401, "{}".into());
    let answers = || Answers {
        keystone: Some(login()),
        heat: refused.clone(),
        dcs: refused.clone(),
        nova: refused.clone(),
        ..Answers::default()
    };
    let clouds = [Hostile::start(answers()), Hostile::start(answers())];
    for (number, cloud) in clouds.iter().enumerate() {
        scene
            .add(&format!("catalogue-{number}"), &[("clouds.yaml", cloud.clouds_yaml("").as_bytes())], &json!({}))
            .await;
    }
    clouds
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logins_with_272000_entries_in_a_few_kilobytes() {
    let scene = Scene::begin("a catalogue of 272,000 entries", &[]).await;
    let clouds = catalogues(&scene).await;
    scene.last(20).await;
    scene.end().await;
    assert!(clouds.iter().all(|cloud| cloud.calls()[0] > 0), "nobody logged in");
}

/// Rows whose names are as long as they may be, and about 8 MiB of them.
fn engines() -> Reply {
    let row = |number: usize| {
        let long = |what: &str| format!("{what}-{number:06}-{}", "x".repeat(205));
        json!({
            "id": format!("{number:036}"), "engine_id": format!("{number:036}"), "report_interval": 60,
            "host": long("host"), "hostname": long("host"), "binary": long("binary"), "topic": long("topic"),
            "created_at": "2020-01-01T00:00:00.000000", "updated_at": "2026-01-01T00:00:00.000000",
            "deleted_at": null, "status": if number.is_multiple_of(2) { "up" } else { "down" },
        })
    };
    let text = json!({ "services": (0..7000).map(row).collect::<Vec<_>>() }).to_string();
    assert!(text.len() < 8 * MIB, "{} bytes", text.len());
    Reply::gzip(text.as_bytes())
}

/// 30 tenants with such lists.
pub async fn engine_lists(scene: &Scene<'_>) -> Hostile {
    let cloud = Hostile::start(Answers { heat: engines(), ..Answers::default() });
    for number in 0..30 {
        let name = format!("engines-{number}");
        let yaml = cloud.clouds_yaml_of(&name, "");
        scene.add(&name, &[("clouds.yaml", yaml.as_bytes())], &json!({ "timeout": "30s" })).await;
    }
    cloud
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_lists_of_7000_long_engines() {
    let scene = Scene::begin("30 lists of 7,000 engines", &[]).await;
    let cloud = engine_lists(&scene).await;
    scene.last(30).await;
    let allocated = scene.end().await.seen.allocated;
    assert!(cloud.calls()[1] >= 10, "calls {:?}", cloud.calls());
    // 32 MiB for lists that are kept, and 24 MiB for bodies that arrive.
    assert!(allocated <= 80 * MIB as u64, "{allocated} bytes were allocated");
}

/// A gigabyte of spaces in gzip: one block that refers to nothing before it, repeated.
fn bomb() -> Reply {
    let mut compress = Compress::new(Compression::fast(), false);
    let mut block = Vec::with_capacity(MIB);
    compress.compress_vec(&vec![b' '; MIB], &mut block, FlushCompress::Full).unwrap();
    let mut bytes = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff".to_vec();
    for _ in 0..1024 {
        bytes.extend(&block);
    }
    Reply::Gzip(bytes.into())
}

/// Five tenants for each of three clouds with long answers, and of two with long logins.
pub async fn long_bodies(scene: &Scene<'_>) -> Vec<Hostile> {
    let links = json!([{ "rel": "self", "href": "/v1/" }]);
    let version = |number: usize| json!({ "id": format!("v{number}.0"), "status": "CURRENT", "links": links });
    let versions = json!({ "versions": (0..108_000).map(version).collect::<Vec<_>>() }).to_string();
    assert!((7 * MIB..8 * MIB).contains(&versions.len()), "{} bytes", versions.len());
    let replies = [(Reply::gzip(versions.as_bytes()), ""), (bomb(), "/v1/p"), (Reply::Long(1 << 30), "/v1/p")];
    let mut clouds = Vec::new();
    for (reply, version) in replies {
        let all = || reply.clone();
        clouds.push(Hostile::start(Answers { heat: all(), dcs: all(), nova: all(), version, ..Answers::default() }));
    }
    // And logins that are as long.
    for keystone in [bomb(), Reply::Long(1 << 30)] {
        clouds.push(Hostile::start(Answers { keystone: Some(keystone), ..Answers::default() }));
    }
    for (at, cloud) in clouds.iter().enumerate() {
        for number in 0..5 {
            let name = format!("long-{at}-{number}");
            let yaml = cloud.clouds_yaml_of(&name, "");
            scene.add(&name, &[("clouds.yaml", yaml.as_bytes())], &json!({})).await;
        }
    }
    clouds
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_versions_of_8_mib_and_bodies_of_a_gigabyte() {
    let scene = Scene::begin("long bodies", &[]).await;
    let clouds = long_bodies(&scene).await;
    scene.last(30).await;
    let calls: Vec<_> = clouds.iter().map(Hostile::calls).collect();
    println!("calls {calls:?}");
    scene.end().await;
    assert!(calls[..3].iter().all(|calls| calls[1] > 0) && calls.iter().all(|calls| calls[0] > 0), "{calls:?}");
}
