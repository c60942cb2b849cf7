//! Calls that are signed instead of carrying a token.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::{Call, Proof, Session};
use crate::openstack::{
    Answer, Error, Failure, Service,
    signature::{ClockGap, SignatureRefusal, Signer},
    stream::Sink,
    token::Token,
};

impl Session {
    /// The signer, if calls of this service are signed.
    pub(super) fn signer_of(&self, service: Service) -> Option<&Arc<Signer>> {
        self.signer.as_ref().filter(|signer| signer.signs(service))
    }

    /// How far the operator's clock is from the cloud's, if signatures use the cloud's.
    pub fn signature_clock_gap(&self) -> Option<ClockGap> {
        self.signer.as_ref()?.clock_gap()
    }

    /// Whether the entry signs all its requests.
    pub fn signs_all(&self) -> bool {
        self.config.signs_all()
    }

    /// The signer for a call whose new token was refused with this answer, if it is worth a try.
    pub(super) fn signer_instead(&self, call: &Call<'_>, answer: &Answer) -> Option<&Arc<Signer>> {
        let service = call.service;
        let is_probed = Service::PROBED.contains(&service) && !call.expected.contains(&answer.status);
        let asks = || service.row().advice.token_rejected.is_some() || Signer::is_asked_for(answer);
        self.signer.as_ref().filter(|_| is_probed && asks())
    }

    /// Signs a call of a service that has refused a new token. The service's further calls are signed if it accepts the
    /// signature.
    pub(super) async fn call_signed_instead<S: Sink>(
        &self,
        signer: &Arc<Signer>,
        call: &Call<'_>,
        token: &Arc<Token>,
    ) -> Result<(Answer, S), Failure> {
        let (answer, sink) = self.call_signed(signer, call, token, true).await?;
        signer.prefer(call.service);
        Ok((answer, sink))
    }

    /// Sends a signed GET. If the signature is refused although Keystone has accepted others, Keystone is asked again
    /// first, because the access key may have been deleted since.
    pub(super) async fn call_signed<S: Sink>(
        &self,
        signer: &Arc<Signer>,
        call: &Call<'_>,
        token: &Arc<Token>,
        fresh: bool,
    ) -> Result<(Answer, S), Failure> {
        let Call { service, deadline, .. } = *call;
        let namespaces = self.tokens.using();
        let late = |_| Error::Timeout.at(service);
        let _permit = timeout_at(deadline, signer.permit(service, &namespaces)).await.map_err(late)??;
        let (answer, sink) = self.send(call, token, Proof::Signature(signer)).await?;
        let Some(why) = signer.refusal(&call.url, &answer) else {
            signer.note_accepted(service, &namespaces);
            return Ok((answer, sink));
        };
        // Keystone answers 401 to some queries that the access key has no right to.
        if call.expected.contains(&answer.status) && signer.is_accepted() {
            return Ok((answer, sink));
        }
        let by_keystone = self.config.signs_all() && token.proven;
        if !by_keystone {
            return Err(refused(signer, service, why, &answer, &namespaces));
        }
        let (mut why, mut answer) = (why, answer);
        if !fresh && !self.rejects(service) {
            // The answer may hold memory that the next one needs.
            drop(answer);
            let replacement = self.tokens.replacement_for(token, deadline).await;
            let token = replacement.inspect_err(|failure| {
                if matches!(failure.error, Error::SignatureRefused(_)) {
                    signer.pause(service, failure);
                }
            })?;
            let sink;
            (answer, sink) = self.send(call, &token, Proof::Signature(signer)).await?;
            match signer.refusal(&call.url, &answer) {
                Some(again) => why = again,
                None => {
                    signer.note_accepted(service, &namespaces);
                    return Ok((answer, sink));
                }
            }
        }
        let now = (self.clock)();
        self.rejections().entry(service).or_insert(now);
        if !matches!(why, SignatureRefusal::Clock(_)) {
            why = SignatureRefusal::ByService;
        }
        Err(refused(signer, service, why, &answer, &namespaces))
    }
}

/// Records the refusal, and returns it as a failure.
fn refused(
    signer: &Signer,
    service: Service,
    why: SignatureRefusal,
    answer: &Answer,
    namespaces: &[String],
) -> Failure {
    let failure = Signer::failure(service, why, answer);
    signer.note_refused(&failure, why, namespaces);
    failure
}
