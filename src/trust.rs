//! Whether a server's certificate is trusted, for clouds and for the Kubernetes API alike.
//!
//! OpenSSL and Go trust a server's own certificate that is in the list of trusted certificates. webpki refuses it.
//! [`Trust`] checks the list first, then asks webpki, and gives a reason for each refusal:
//! docs/decisions/0013-our-own-certificate-verifier.md.

mod authorities;
mod distrust;
mod facts;
mod fixed;
mod unchecked;
mod verifier;
mod witness;

pub use authorities::{Authorities, Unreadable};
pub use distrust::Distrust;
pub use unchecked::Unchecked;
pub use verifier::{Reliance, System, Trust};
pub use witness::{UnsupportedCurve, Witness};

#[cfg(test)]
#[path = "trust/trust_tests.rs"]
mod tests;
