//! What becomes of Heat's engines and their rows.

use std::time::Duration;

use serde_json::Value;
use testkit::{cloud::SimulatedCloud, recorded};

use crate::{at, engines, operator, rows};

#[tokio::test]
async fn engines_follow_the_recorded_timeline() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.set_clock(at("2026-11-22T05:08:56.1Z"));
    cloud.clear_engines();
    cloud.set_report_interval(10);
    cloud.set_rpc_timeout(Duration::from_millis(10));
    cloud.add_engine("engine-1.lab", 1);
    cloud.add_engine("engine-2.lab", 1);
    let token = operator(&cloud).await;
    let both = |change: &dyn Fn(&str)| ["engine-1.lab", "engine-2.lab"].into_iter().for_each(change);

    let timeline = std::fs::read_to_string(recorded::folder().join("heat/timeline.txt")).unwrap();
    let mut seen = 0;
    for line in timeline.lines() {
        let (time, what) = line.split_once(' ').unwrap();
        let (what, expected) = what.split_once(": ").map_or((what, None), |(what, rows)| (what, Some(rows)));
        // Starts were recorded when their rows were seen, and happened at the row's second.
        let started = match what {
            "engine-2 restarted" => Some("05:10:07.2"),
            "engine-2 started again" => Some("05:10:23.2"),
            "both restarted" if time.starts_with("05:10") => Some("05:10:46.2"),
            "both restarted" => Some("05:11:00.2"),
            _ => None,
        };
        cloud.set_clock(at(&format!("2026-11-22T{}Z", started.unwrap_or(time))));
        match what {
            "heat-engine-2 killed (SIGKILL)" => cloud.kill_engine("engine-2.lab"),
            "heat-engine-2 stopped gracefully (SIGTERM)" => cloud.stop_engine("engine-2.lab"),
            "engine-2 restarted" | "engine-2 started again" => cloud.restart_engine("engine-2.lab"),
            "both killed (SIGKILL)" => both(&|host| cloud.kill_engine(host)),
            "both stopped gracefully" => both(&|host| cloud.stop_engine(host)),
            "both restarted" => both(&|host| cloud.restart_engine(host)),
            _ => {}
        }
        cloud.set_clock(at(&format!("2026-11-22T{time}Z")));
        let (status, body) = engines(&cloud, &token).await;
        let Some(expected) = expected else {
            assert_eq!(status, if what.starts_with("both") { 503 } else { 200 }, "{line}");
            continue;
        };
        let mut expected: Vec<[String; 3]> = serde_json::from_str::<Vec<[String; 4]>>(expected)
            .unwrap()
            .into_iter()
            .map(|[host, status, updated, _]| [host, status, updated])
            .collect();
        expected.sort();
        assert_eq!(rows(&body), expected, "{line}");
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[tokio::test]
async fn ghosts_stay_until_they_are_cleaned() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.clear_engines();
    cloud.add_engine("engine-0.lab", 3);
    cloud.set_token_lifetime(Duration::from_secs(1_000_000));
    let token = operator(&cloud).await;
    cloud.restart_engine("engine-0.lab");
    cloud.advance(Duration::from_secs(86_400));
    let statuses = |body: &Value| rows(body).into_iter().map(|[_, status, _]| status).collect::<Vec<_>>();
    assert_eq!(statuses(&engines(&cloud, &token).await.1), ["down", "down", "down", "up", "up", "up"]);
    cloud.clean_services();
    assert_eq!(statuses(&engines(&cloud, &token).await.1), ["up", "up", "up"]);
    cloud.add_unreported_engine("engine-9.lab");
    let (_, body) = engines(&cloud, &token).await;
    assert!(body["services"].as_array().unwrap().iter().any(|row| row["updated_at"].is_null()));
}

#[tokio::test]
async fn one_hung_engine_of_two_takes_every_second_request_until_the_broker_drops_it() {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.set_report_interval(10);
    cloud.set_rpc_timeout(Duration::from_millis(10));
    let token = operator(&cloud).await;
    cloud.hang_engine("engine-1.lab");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(engines(&cloud, &token).await.0);
    }
    assert_eq!(statuses, [503, 200, 503, 200]);
    cloud.advance(Duration::from_secs(23));
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(engines(&cloud, &token).await);
    }
    let (_, listed) = answers.iter().find(|(status, _)| *status == 200).unwrap();
    assert_eq!(rows(listed)[0][1], "down");
    cloud.advance(Duration::from_secs(170));
    for _ in 0..4 {
        assert_eq!(engines(&cloud, &token).await.0, 200);
    }
    cloud.resume_engine("engine-1.lab");
    assert!(rows(&engines(&cloud, &token).await.1).iter().all(|row| row[1] == "up"));
}
