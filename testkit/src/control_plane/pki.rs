//! The certificates and keys of one control plane.

use std::{fs, path::Path};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// The files that kube-apiserver reads, all in the control plane's directory.
pub(super) const CA_CERTIFICATE: &str = "ca.crt";
pub(super) const SERVER_CERTIFICATE: &str = "server.crt";
pub(super) const SERVER_KEY: &str = "server.key";
pub(super) const SERVICE_ACCOUNT_KEY: &str = "service-account.key";
pub(super) const SERVICE_ACCOUNT_PUBLIC_KEY: &str = "service-account.pub";

/// What a client needs to speak to the API server as its administrator, in PEM.
pub(super) struct AdminCredentials {
    pub(super) ca_certificate: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Writes the server's side into `directory`, and returns the administrator's.
pub(super) fn issue(directory: &Path) -> Result<AdminCredentials> {
    let ca = authority()?;
    let (server_certificate, server_key) = server(&ca)?;
    let service_account = KeyPair::generate()?;
    let write = |name: &str, pem: String| fs::write(directory.join(name), pem);
    write(CA_CERTIFICATE, ca.pem())?;
    write(SERVER_CERTIFICATE, server_certificate)?;
    write(SERVER_KEY, server_key)?;
    write(SERVICE_ACCOUNT_KEY, service_account.serialize_pem())?;
    // kube-apiserver verifies tokens with a public key; it refuses a private ECDSA key for that.
    write(SERVICE_ACCOUNT_PUBLIC_KEY, service_account.public_key_pem())?;
    let (certificate, key) = administrator(&ca)?;
    Ok(AdminCredentials { ca_certificate: ca.pem(), certificate, key })
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Result<Authority> {
    let mut params = named("testkit-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn server(ca: &Authority) -> Result<(String, String)> {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name = named("kube-apiserver").distinguished_name;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    signed(&params, ca)
}

/// The API server reads a client's name from the certificate's common name, its groups from the
/// organizations; RBAC lets `system:masters` do anything.
fn administrator(ca: &Authority) -> Result<(String, String)> {
    let mut params = named("testkit-admin");
    params.distinguished_name.push(DnType::OrganizationName, "system:masters");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    signed(&params, ca)
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn signed(params: &CertificateParams, ca: &Authority) -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, ca)?.pem(), key.serialize_pem()))
}
