//! The expiry of credentials. Each pass records the session's value, and a scrape reads it.
//!
//! The status contains the expiry only during the last seven days, and only for the main entry. It replaces a value
//! that this process does not know. After a restart, an expired credential cannot log in any more.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use super::tenants::{ProjectLabel, current, identity};
use crate::watched::{
    kept::{Kept, Part},
    roster::Roster,
};

/// A credential of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// `cloudCredentialsRef`.
    Main,
    /// `probes.engines.cloudName`.
    Engines,
}

impl CredentialKind {
    const ALL: [Self; 2] = [Self::Main, Self::Engines];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Engines => "engines",
        }
    }
}

/// The known expiries, by UID. A CloudTenant that is created again under the same name has another UID.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(Arc<Mutex<HashMap<String, [Option<Timestamp>; 2]>>>);

impl Ends {
    pub(super) fn note(&self, uid: &str, credential: CredentialKind, end: Option<Timestamp>) {
        let mut ends = self.lock();
        if let Some(known) = ends.get_mut(uid) {
            known[credential as usize] = end;
        } else if end.is_some() {
            ends.entry(uid.to_owned()).or_default()[credential as usize] = end;
        }
    }

    pub(super) fn retain(&self, alive: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| alive(uid));
    }

    fn of(&self, tenant: &Kept, credential: CredentialKind) -> Option<Timestamp> {
        let known = tenant.uid.as_ref().and_then(|uid| self.lock().get(&**uid)?[credential as usize]);
        known.or_else(|| match credential {
            CredentialKind::Main => {
                // An unreadable CloudTenant has none.
                tenant.project_id()?;
                tenant.status(&[Part::Source]).source?.credentials_expire_at.map(|end| end.0)
            }
            CredentialKind::Engines => None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, [Option<Timestamp>; 2]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the roster and the recorded expiries at each scrape.
#[derive(Debug)]
pub(super) struct Expiries {
    roster: Roster,
    project: ProjectLabel,
    ends: Ends,
}

impl Expiries {
    pub(super) const fn new(roster: Roster, project: ProjectLabel, ends: Ends) -> Self {
        Self { roster, project, ends }
    }
}

impl Collector for Expiries {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let tenants = current(&self.roster);
        if tenants.is_empty() {
            return Ok(());
        }
        let (name, help) = (
            "credential_expiry_timestamp_seconds",
            "When a credential of the tenant ends, as last used; absent where it does not end, or nobody can know",
        );
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for tenant in &tenants {
            for credential in CredentialKind::ALL {
                let Some(end) = self.ends.of(tenant, credential) else { continue };
                let own = [("credential", credential.as_str())];
                let labels: Vec<_> = identity(tenant, self.project).chain(own).collect();
                metric.encode_family(&labels)?.encode_gauge(&(end.as_second() as f64))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::{metrics::Metrics, shard::Shard, watched::store::Writer};

    fn at(second: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(second).unwrap())
    }

    /// Adds a CloudTenant whose status contains the credential expiry 1000, or none.
    fn apply(writer: &mut Writer<Kept>, name: &str, uid: &str, in_status: bool) {
        let mut tenant = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
            "metadata": { "namespace": "shop", "name": name, "uid": uid },
            "spec": { "projectID": "p1", "cloudCredentialsRef": { "secretName": "s" } },
        });
        if in_status {
            let end = "1970-01-01T00:16:40Z";
            let source = json!({ "secretName": "s", "cloudName": "c", "host": "k", "credentialsExpireAt": end });
            tenant["status"] = json!({ "source": source });
        }
        writer.apply(&Event::Apply(serde_json::from_value(tenant).unwrap()));
    }

    fn series(metrics: &Metrics) -> Vec<String> {
        let text = metrics.encode();
        let prefix = "cloudtenant_credential_expiry_timestamp_seconds{namespace=\"shop\",name=";
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        let mut found: Vec<_> = lines.map(|line| line.replace(",tenant_namespace=\"shop\"", "")).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_sessions_expiry_takes_precedence_over_the_status() {
        let mut writer = Writer::default();
        for (name, in_status) in [("known", false), ("later", true), ("stored", true), ("unknown", false)] {
            apply(&mut writer, name, name, in_status);
        }
        let roster = Roster::default();
        roster.add(None, writer.store());
        let metrics = Metrics::with_tenants(roster.clone(), ProjectLabel::On);
        let stored = [
            "\"later\",project=\"p1\",credential=\"main\"} 1000.0",
            "\"stored\",project=\"p1\",credential=\"main\"} 1000.0",
        ];
        metrics.credential_ends("known", CredentialKind::Main, at(5000));
        assert_eq!(series(&metrics), stored, "only the leader has sessions");

        metrics.leads(Shard::default(), true);
        metrics.credential_ends("known", CredentialKind::Main, at(5000));
        metrics.credential_ends("known", CredentialKind::Engines, at(6000));
        metrics.credential_ends("later", CredentialKind::Main, at(7000));
        metrics.credential_ends("stored", CredentialKind::Engines, None);
        metrics.credential_ends("unknown", CredentialKind::Main, None);
        metrics.credential_ends("deleted", CredentialKind::Main, at(8000));
        let expected = [
            "\"known\",project=\"p1\",credential=\"engines\"} 6000.0",
            "\"known\",project=\"p1\",credential=\"main\"} 5000.0",
            "\"later\",project=\"p1\",credential=\"main\"} 7000.0",
            "\"stored\",project=\"p1\",credential=\"main\"} 1000.0",
        ];
        assert_eq!(series(&metrics), expected);

        // A credential without an expiry replaced it.
        metrics.credential_ends("known", CredentialKind::Main, None);
        metrics.credential_ends("known", CredentialKind::Engines, None);
        assert_eq!(series(&metrics), expected[2..]);

        // Another CloudTenant has the same name.
        apply(&mut writer, "later", "later-2", false);
        assert_eq!(series(&metrics), expected[3..]);

        metrics.credential_ends("unknown", CredentialKind::Main, at(9000));
        metrics.retain(Shard::default(), |uid| uid != "unknown");
        assert_eq!(series(&metrics), expected[3..], "what belongs to deleted ones is forgotten");

        metrics.credential_ends("known", CredentialKind::Main, at(5000));
        metrics.leads(Shard::default(), false);
        assert_eq!(series(&metrics), expected[3..], "it leads no more");
        roster.clear();
        assert_eq!(series(&metrics), [""; 0], "and knows no tenants");
    }
}
