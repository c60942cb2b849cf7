//! The fields of a certificate that webpki checks but does not expose.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_cert::{
    certificate::{CertificateInner, Raw, TbsCertificateInner},
    der::{
        Any, Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
        asn1::{ObjectIdentifier, UintRef},
        oid::db::{rfc5280, rfc5912, rfc8410},
    },
    ext::pkix::{BasicConstraints, ExtendedKeyUsage},
    name::Name,
    spki::SubjectPublicKeyInfoOwned,
};

/// The sizes of RSA keys that ring can verify, in bits.
const RSA: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The fields of one certificate. They are parsed and not verified.
pub(super) struct Facts {
    /// The time since 1970.
    pub(super) not_before: Duration,
    /// The time since 1970.
    pub(super) not_after: Duration,
    pub(super) subject: Name,
    pub(super) issuer: Name,
    /// Whether its subjectAltName has a host name or an address.
    pub(super) names_hosts: bool,
    /// Whether it is an authority's: `CA:TRUE`.
    pub(super) is_authority: bool,
    /// Whether its extended key usage, if present, allows server authentication.
    pub(super) is_for_servers: bool,
    /// Its kind of key if the client's TLS does not support it.
    pub(super) unsupported_key: Option<&'static str>,
}

impl Facts {
    /// `None` if the certificate cannot be parsed.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let TbsCertificateInner { validity, subject, issuer, subject_public_key_info: key, extensions, .. } =
            CertificateInner::<Raw>::from_der(certificate).ok()?.tbs_certificate;
        let extensions = extensions.unwrap_or_default();
        let extension = |id| extensions.iter().find(|extension| extension.extn_id == id);
        let bytes = |id| extension(id).map(|extension| extension.extn_value.as_bytes());
        let constraints = bytes(rfc5280::ID_CE_BASIC_CONSTRAINTS).map(BasicConstraints::from_der);
        let usage = bytes(rfc5280::ID_CE_EXT_KEY_USAGE).map(ExtendedKeyUsage::from_der);
        let for_servers =
            |id: &ObjectIdentifier| [rfc5280::ID_KP_SERVER_AUTH, rfc5280::ANY_EXTENDED_KEY_USAGE].contains(id);
        Some(Self {
            not_before: validity.not_before.to_unix_duration(),
            not_after: validity.not_after.to_unix_duration(),
            names_hosts: bytes(rfc5280::ID_CE_SUBJECT_ALT_NAME).is_some_and(names_hosts),
            is_authority: constraints.is_some_and(|constraints| constraints.is_ok_and(|constraints| constraints.ca)),
            is_for_servers: usage.is_none_or(|usage| usage.is_ok_and(|usage| usage.0.iter().any(for_servers))),
            unsupported_key: unsupported(&key),
            subject,
            issuer,
        })
    }

    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

/// Whether the names include a dNSName or an iPAddress (RFC 5280, 4.2.1.6).
fn names_hosts(names: &[u8]) -> bool {
    let host = |name: &Any| matches!(name.tag(), Tag::ContextSpecific { number: TagNumber::N2 | TagNumber::N7, .. });
    Vec::<Any>::from_der(names).is_ok_and(|names| names.iter().any(host))
}

/// The name of the kind of key if the client's TLS does not support it.
fn unsupported(key: &SubjectPublicKeyInfoOwned) -> Option<&'static str> {
    const X9_62_PRIME_192: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.1");
    const SECP_256_K_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
    const SECP_224_R_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
    const SM_2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.301");
    const BRAINPOOL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1");
    match key.algorithm.oid {
        rfc5912::RSA_ENCRYPTION => {
            let bits = key.subject_public_key.as_bytes().and_then(modulus).map_or(0, |bytes| bytes.saturating_mul(8));
            match bits {
                _ if bits < *RSA.start() => Some("RSA of less than 2048 bits"),
                _ if bits > *RSA.end() => Some("RSA of more than 8192 bits"),
                _ => None,
            }
        }
        rfc5912::ID_EC_PUBLIC_KEY => {
            let curve = key.algorithm.parameters.as_ref().map(|curve| curve.decode_as::<ObjectIdentifier>());
            match curve {
                Some(Ok(rfc5912::SECP_256_R_1 | rfc5912::SECP_384_R_1)) => None,
                Some(Ok(rfc5912::SECP_521_R_1)) => Some("ECDSA on the curve P-521"),
                Some(Ok(SECP_224_R_1)) => Some("ECDSA on the curve P-224"),
                Some(Ok(X9_62_PRIME_192)) => Some("ECDSA on the curve P-192"),
                Some(Ok(SECP_256_K_1)) => Some("ECDSA on the curve secp256k1"),
                Some(Ok(SM_2)) => Some("SM2"),
                Some(Ok(curve)) if BRAINPOOL.parent() == curve.parent() => Some("ECDSA on a Brainpool curve"),
                Some(Ok(_)) => Some("ECDSA on a curve other than P-256 and P-384"),
                Some(Err(_)) | None => Some("ECDSA on a curve without a name"),
            }
        }
        rfc8410::ID_ED_25519 => None,
        rfc8410::ID_ED_448 => Some("Ed448"),
        rfc5912::ID_RSASSA_PSS => Some("RSASSA-PSS"),
        rfc5912::ID_DSA => Some("DSA"),
        _ => Some("neither RSA, ECDSA nor Ed25519"),
    }
}

/// The length of an RSA key's modulus in bytes (RFC 8017, A.1.1).
fn modulus(key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(key).ok()?;
    let modulus = reader.sequence(|fields| {
        let modulus = fields.decode::<UintRef<'_>>()?;
        fields.decode::<UintRef<'_>>()?;
        Ok(modulus)
    });
    Some(modulus.ok()?.as_bytes().len())
}

/// The name of a signature's algorithm, from the contents of its AlgorithmIdentifier.
pub(super) fn signature(algorithm: &[u8]) -> &'static str {
    const ECDSA_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
    const DSA_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.3");
    const SM_2_SM_3: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.501");
    let id = SliceReader::new(algorithm).and_then(|mut reader| reader.decode::<ObjectIdentifier>());
    match id {
        Ok(rfc5912::MD_2_WITH_RSA_ENCRYPTION) => "RSA with MD2",
        Ok(rfc5912::MD_5_WITH_RSA_ENCRYPTION) => "RSA with MD5",
        Ok(rfc5912::SHA_1_WITH_RSA_ENCRYPTION) => "RSA with SHA-1",
        Ok(rfc5912::SHA_224_WITH_RSA_ENCRYPTION) => "RSA with SHA-224",
        Ok(rfc5912::ID_RSASSA_PSS) => "RSA-PSS with unusual parameters",
        Ok(ECDSA_SHA_1) => "ECDSA with SHA-1",
        Ok(rfc5912::ECDSA_WITH_SHA_224) => "ECDSA with SHA-224",
        Ok(rfc5912::ECDSA_WITH_SHA_512) => "ECDSA with SHA-512",
        Ok(rfc8410::ID_ED_448) => "Ed448",
        Ok(DSA_SHA_1 | rfc5912::DSA_WITH_SHA_224 | rfc5912::DSA_WITH_SHA_256) => "DSA",
        Ok(SM_2_SM_3) => "SM2",
        Ok(_) | Err(_) => "neither RSA, ECDSA nor Ed25519",
    }
}
