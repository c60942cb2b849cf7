use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{
    openstack,
    world::{SHOP, TENANT, TOLD, World},
};

pub async fn play(world: &mut World) -> Result<()> {
    let before = (world.events("EngineDown").await?, world.events("EngineRecovered").await?);
    let began = Instant::now();
    openstack::ctl("kill heat-engine-2")?;
    world.until_condition("EnginesHealthy", "False", "EnginesDown", TOLD).await?;
    world.seconds("engine killed until told", began);
    openstack::ctl("start heat-engine-2")?;
    let began = Instant::now();
    world.until_condition("EnginesHealthy", "True", "AllEnginesUp", TOLD).await?;
    world.seconds("engine reports again until told", began);
    let listed = world.kubectl(&["events", "--namespace", SHOP, "--for", &format!("cloudtenant/{TENANT}")])?;
    println!("{listed}");
    for reason in ["EngineDown", "EngineRecovered"] {
        ensure!(listed.contains(reason), "kubectl events lists no {reason}");
    }
    let after = (world.events("EngineDown").await?, world.events("EngineRecovered").await?);
    ensure!(after == (before.0 + 1, before.1 + 1), "events before {before:?}, after {after:?}");
    Ok(())
}
