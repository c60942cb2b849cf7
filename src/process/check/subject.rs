//! Loads the input of a check from two files or from a cluster.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use kube::{Api, Client};

use super::{Subject, admission, document};
use crate::{
    cluster::secrets::{self, Texts},
    openstack::Network,
    probe::failure::{self, SecretError},
    target::Target,
    watched::object::Watched,
};

impl Subject {
    /// Reads a CloudTenant and a clouds.yaml from files.
    ///
    /// # Errors
    /// A file is unreadable, or contains no CloudTenant that the API server would accept.
    pub fn from_files(tenant: &Path, clouds: &Path, cacert: Option<&Path>, network: Network) -> anyhow::Result<Self> {
        let read = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
        let found = document::find(&read(tenant)?).and_then(admission::admit);
        let spec = found.with_context(|| tenant.display().to_string())?;
        let cacert = cacert.map(read).transpose()?.map(Into::into);
        let texts = Texts { clouds: read(clouds)?.into(), cacert, projects: None };
        Ok(Self { target: Target::new(&spec)?, secret: Ok(texts), network })
    }

    /// Reads a CloudTenant and its Secret from a cluster.
    ///
    /// # Errors
    /// The cluster is unreachable, or the CloudTenant is missing or unusable.
    pub async fn from_cluster(
        client: Client,
        namespace: Option<&str>,
        name: &str,
        network: Network,
    ) -> anyhow::Result<Self> {
        let namespace = namespace.unwrap_or_else(|| client.default_namespace()).to_owned();
        let tenants: Api<Watched> = Api::namespaced(client.clone(), &namespace);
        let tenant = tenants.get(name).await.with_context(|| format!("CloudTenant {name} in namespace {namespace}"))?;
        let tenant = tenant.0.map_err(|odd| anyhow!("CloudTenant {name} in namespace {namespace}: {}", odd.why))?;
        let target = Target::new(&tenant.spec)?;
        let secret = secrets::get(&client, &namespace, &target.secret_name).await.and_then(|secret| {
            let missing = || SecretError::KeyMissing { secret: target.secret_name.clone() };
            secret.texts.ok_or_else(missing)
        });
        Ok(Self { secret: secret.map_err(|error| failure::of_secret(&error)), target, network })
    }
}
