use std::collections::BTreeSet;

use anyhow::{Result, anyhow, ensure};

use crate::{
    can_i,
    world::{RELEASE, SHOP, SYSTEM, World},
};

pub async fn play(world: &mut World) -> Result<()> {
    let account = format!("system:serviceaccount:{SYSTEM}:{RELEASE}");
    let lease = can_i::lease(RELEASE);
    for (namespace, more) in [(SHOP, None), (SYSTEM, Some(lease))] {
        let listed = world.kubectl(&["auth", "can-i", "--list", "--as", &account, "--namespace", namespace])?;
        let needed: BTreeSet<_> = can_i::tenants(false).into_iter().chain(more.into_iter().flatten()).collect();
        can_i::judge(&listed, &needed).map_err(|error| anyhow!("{namespace}: {error}"))?;
        println!("  {namespace}: {}", needed.into_iter().collect::<Vec<_>>().join(", "));
    }
    for words in [&["get", "secrets", "--all-namespaces"][..], &["get", "secrets", "--namespace", SHOP]] {
        let said = world.ask_kubectl(&[words, &["--as", &account]].concat())?;
        ensure!(!said.well && said.text.contains("Forbidden"), "kubectl {}: {}", words.join(" "), said.text);
    }
    println!("  it cannot list Secrets");
    Ok(())
}
