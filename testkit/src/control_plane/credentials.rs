//! Who a client is: kubeconfigs and clients for the administrator and for ServiceAccounts.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{
        AuthInfo, Cluster, Context as KubeContext, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
        NamedContext,
    },
};

use super::{ControlPlane, pki::AdminCredentials};

const CLUSTER: &str = "testkit";
/// Longer than any test, benchmark or demo.
const TOKEN_LIFETIME_SECONDS: i64 = 24 * 60 * 60;

impl ControlPlane {
    /// A client that may do anything, for the runtime it is made in.
    ///
    /// It does not retry: a test sees every answer of the API server.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(config(self.kubeconfig()).await?)?)
    }

    /// The administrator's kubeconfig, complete in itself: it refers to no files.
    #[must_use]
    pub fn kubeconfig(&self) -> Kubeconfig {
        self.admin.clone()
    }

    /// Writes the administrator's kubeconfig to a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<()> {
        write(&self.admin, path)
    }

    /// A client that acts as a ServiceAccount, with its rights and no others. It does not retry.
    ///
    /// # Errors
    /// There is no such ServiceAccount.
    pub async fn client_for_service_account(&self, namespace: &str, name: &str) -> Result<Client> {
        let config = self.service_account_config(namespace, name).await?;
        Ok(Client::try_from(config)?)
    }

    /// The configuration of a client that acts as a ServiceAccount.
    ///
    /// # Errors
    /// There is no such ServiceAccount.
    pub async fn service_account_config(&self, namespace: &str, name: &str) -> Result<Config> {
        let kubeconfig = self.kubeconfig_for_service_account(namespace, name).await?;
        config(kubeconfig).await
    }

    /// A kubeconfig that acts as a ServiceAccount: to run a program as it would run in the cluster.
    ///
    /// # Errors
    /// There is no such ServiceAccount.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<Kubeconfig> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client().await?, namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(TOKEN_LIFETIME_SECONDS), ..Default::default() }),
            ..Default::default()
        };
        let token = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("request a token for ServiceAccount {namespace}/{name}"))?
            .status
            .and_then(|status| status.token)
            .context("the API server returned a TokenRequest without a token")?;
        let mut kubeconfig = self.admin.clone();
        for context in &mut kubeconfig.contexts {
            if let Some(context) = &mut context.context {
                context.namespace = Some(namespace.to_owned());
            }
        }
        for user in &mut kubeconfig.auth_infos {
            user.auth_info = Some(AuthInfo { token: Some(token.clone().into()), ..Default::default() });
        }
        Ok(kubeconfig)
    }
}

pub(super) fn admin_kubeconfig(port: u16, credentials: &AdminCredentials) -> Kubeconfig {
    let encode = |pem: &str| STANDARD.encode(pem);
    let name = || CLUSTER.to_owned();
    Kubeconfig {
        api_version: Some("v1".to_owned()),
        kind: Some("Config".to_owned()),
        clusters: vec![NamedCluster {
            name: name(),
            cluster: Some(Cluster {
                server: Some(format!("https://127.0.0.1:{port}")),
                certificate_authority_data: Some(encode(&credentials.ca_certificate)),
                ..Default::default()
            }),
            ..Default::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name(),
            auth_info: Some(AuthInfo {
                client_certificate_data: Some(encode(&credentials.certificate)),
                client_key_data: Some(encode(&credentials.key).into()),
                ..Default::default()
            }),
            ..Default::default()
        }],
        contexts: vec![NamedContext {
            name: name(),
            context: Some(KubeContext { cluster: name(), user: Some(name()), ..Default::default() }),
            ..Default::default()
        }],
        current_context: Some(name()),
        ..Default::default()
    }
}

/// JSON, which every reader of YAML reads too. Only the owner may read it: it holds a key.
pub(crate) fn write(kubeconfig: &Kubeconfig, path: &Path) -> Result<()> {
    let write = || -> Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        // The mode above is for a new file; this one may have been there.
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec_pretty(kubeconfig)?)?;
        Ok(())
    };
    write().with_context(|| format!("write {}", path.display()))
}

async fn config(kubeconfig: Kubeconfig) -> Result<Config> {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(config)
}
