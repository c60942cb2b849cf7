//! Reads a kubeconfig and refuses, by name, each field that the operator cannot honour.
//!
//! kube reads the fields. This module first checks what kube ignores or interprets differently from client-go.

use std::{collections::BTreeMap, env, io};

use http::Uri;
use kube::{
    Config,
    config::{AuthInfo, Cluster, ExecConfig, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::proxy::{Proxy, ProxyError};

/// The reasons why the operator has no connection to the Kubernetes API.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The kubeconfig is unreadable, or lacks an entry that it refers to.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] KubeconfigError),
    /// The operator cannot honour a field of the kubeconfig.
    #[error("the kubeconfig's {field}: {problem}")]
    Refused {
        /// The section of the kubeconfig and the field, such as `cluster.proxy-url`.
        field: String,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// The proxy cannot be used.
    #[error("the kubeconfig's cluster.proxy-url")]
    Proxy(#[from] ProxyError),
    /// There is no kubeconfig and no service account of a Pod.
    #[error("there is neither a kubeconfig ({kubeconfig}) nor a Pod's account ({in_cluster})")]
    Nowhere {
        /// Why there is no kubeconfig.
        kubeconfig: KubeconfigError,
        /// Why there is no service account.
        in_cluster: InClusterError,
    },
}

/// Returns the environment's kubeconfig or, without one, the Pod's service account.
pub(super) async fn infer() -> Result<Config, ConfigError> {
    let named = env::var_os("KUBECONFIG").is_some_and(|paths| !paths.is_empty());
    let mut config = match Kubeconfig::read() {
        Ok(kubeconfig) if is_empty(&kubeconfig) => in_cluster(KubeconfigError::CurrentContextNotSet)?,
        Ok(kubeconfig) => from_kubeconfig(kubeconfig).await?,
        Err(error) if is_absent(&error, named) => in_cluster(error)?,
        Err(error) => return Err(error.into()),
    };
    config.apply_debug_overrides();
    Ok(config)
}

fn in_cluster(kubeconfig: KubeconfigError) -> Result<Config, ConfigError> {
    Config::incluster().map_err(|in_cluster| ConfigError::Nowhere { kubeconfig, in_cluster })
}

/// Whether there is no kubeconfig. An unreadable home directory, as in a Pod, contains none.
fn is_absent(error: &KubeconfigError, named: bool) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => !named || error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn is_empty(kubeconfig: &Kubeconfig) -> bool {
    let Kubeconfig { clusters, auth_infos, contexts, current_context, .. } = kubeconfig;
    let none = current_context.as_ref().is_none_or(String::is_empty);
    none && clusters.is_empty() && auth_infos.is_empty() && contexts.is_empty()
}

/// Returns the configuration of the kubeconfig's current context.
///
/// # Errors
/// The kubeconfig is unreadable, or has a field that cannot be honoured.
pub async fn from_kubeconfig(mut kubeconfig: Kubeconfig) -> Result<Config, ConfigError> {
    let proxy = checked(&mut kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // Without this, kube would use the environment's proxy if the kubeconfig has none.
    config.proxy_url = proxy;
    Ok(config)
}

fn refused(field: impl Into<String>, problem: &'static str) -> ConfigError {
    ConfigError::Refused { field: field.into(), problem }
}

/// Checks what the current context uses and returns its proxy.
fn checked(kubeconfig: &mut Kubeconfig) -> Result<Option<Uri>, ConfigError> {
    let Kubeconfig { clusters, auth_infos, contexts, current_context, .. } = kubeconfig;
    let context = contexts.iter_mut().find(|named| Some(&named.name) == current_context.as_ref());
    // kube reports a missing context or cluster.
    let Some(context) = context.and_then(|named| named.context.as_mut()) else { return Ok(None) };
    known(&context.other, "context")?;
    context.user.take_if(|name| name.is_empty());
    context.namespace.take_if(|name| name.is_empty());
    if let Some(name) = &context.user {
        let user = auth_infos.iter_mut().find(|named| named.name == *name);
        let user = user.ok_or_else(|| refused("context.user", "there is no such user: add it under users"))?;
        if let Some(user) = &mut user.auth_info {
            check_user(user)?;
        }
    }
    let cluster = clusters.iter_mut().find(|named| named.name == context.cluster);
    cluster.and_then(|named| named.cluster.as_mut()).map_or(Ok(None), check_cluster)
}

/// An unknown field may be a misspelt one.
fn known(other: &BTreeMap<String, serde_json::Value>, part: &str) -> Result<(), ConfigError> {
    let first = other.keys().next();
    first.map_or(Ok(()), |key| Err(refused(format!("{part}.{}", key.escape_debug()), "it is not known: remove it")))
}

fn check_cluster(cluster: &mut Cluster) -> Result<Option<Uri>, ConfigError> {
    known(&cluster.other, "cluster")?;
    let Cluster { server, certificate_authority: file, certificate_authority_data: data, .. } = cluster;
    let (proxy, name) = (&mut cluster.proxy_url, &mut cluster.tls_server_name);
    // client-go treats an empty string as absent.
    for text in [server, &mut *file, &mut *data, &mut *proxy, name] {
        text.take_if(|text| text.is_empty());
    }
    if cluster.insecure_skip_tls_verify == Some(true) && (file.is_some() || data.is_some()) {
        let problem = "it stands beside a certificate-authority, which would not be asked: remove one of them";
        return Err(refused("cluster.insecure-skip-tls-verify", problem));
    }
    let Some(url) = proxy else { return Ok(None) };
    let url = url.parse::<Uri>().map_err(|_| ProxyError::NoUrl)?;
    Proxy::new(&url)?;
    Ok(Some(url))
}

fn check_user(user: &mut AuthInfo) -> Result<(), ConfigError> {
    known(&user.other, "user")?;
    for text in [
        &mut user.username,
        &mut user.token_file,
        &mut user.client_certificate,
        &mut user.client_certificate_data,
        &mut user.client_key,
        &mut user.impersonate,
        &mut user.impersonate_uid,
    ] {
        text.take_if(|text| text.is_empty());
    }
    for secret in [&mut user.token, &mut user.password, &mut user.client_key_data] {
        secret.take_if(|secret| is_blank(secret));
    }
    if user.auth_provider.is_some() {
        return Err(refused("user.auth-provider", "it is not supported: use exec, or a token"));
    }
    // client-go prefers the file to the token.
    if user.token_file.is_some() {
        user.token = None;
    }
    let token = user.token.is_some() || user.token_file.is_some();
    if user.username.is_some() && token {
        return Err(refused("user.username", "it stands beside a token: remove one of them"));
    }
    if user.username.is_none() && user.password.is_some() {
        return Err(refused("user.password", "there is no username: add it, or remove the password"));
    }
    if user.username.is_some() {
        user.password.get_or_insert_default();
    }
    check_certificate(user)?;
    let AuthInfo { impersonate_uid: uid, impersonate_groups: groups, impersonate_user_extra: extra, .. } = user;
    groups.take_if(|groups| groups.is_empty());
    extra.take_if(|extra| extra.is_empty());
    let more = [("as-uid", uid.is_some()), ("as-groups", groups.is_some()), ("as-user-extra", extra.is_some())];
    if user.impersonate.is_none()
        && let Some((field, _)) = more.iter().find(|(_, given)| *given)
    {
        return Err(refused(format!("user.{field}"), "there is no `as`: name the user that is impersonated"));
    }
    let basic = user.username.is_some();
    user.exec.as_ref().map_or(Ok(()), |exec| check_exec(exec, token || basic))
}

fn is_blank(secret: &secrecy::SecretString) -> bool {
    secrecy::ExposeSecret::expose_secret(secret).is_empty()
}

fn check_certificate(user: &AuthInfo) -> Result<(), ConfigError> {
    let certificate = user.client_certificate.is_some() || user.client_certificate_data.is_some();
    let key = user.client_key.is_some() || user.client_key_data.is_some();
    match (certificate, key) {
        (true, false) => Err(refused("user.client-certificate", "there is no client-key: add the certificate's key")),
        (false, true) => Err(refused("user.client-key", "there is no client-certificate: add the key's certificate")),
        _ => Ok(()),
    }
}

fn check_exec(exec: &ExecConfig, other_login: bool) -> Result<(), ConfigError> {
    known(&exec.other, "user.exec")?;
    if other_login {
        return Err(refused("user.exec", "it stands beside a token or a username: remove one of them"));
    }
    if exec.command.as_ref().is_none_or(String::is_empty) {
        return Err(refused("user.exec.command", "it is missing: name the program that prints the credential"));
    }
    let complete = |variable: &std::collections::HashMap<String, String>| {
        variable.len() == 2 && variable.contains_key("name") && variable.contains_key("value")
    };
    if !exec.env.iter().flatten().all(complete) {
        return Err(refused("user.exec.env", "each variable needs a name and a value, and nothing else"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
