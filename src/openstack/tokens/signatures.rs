//! What an entry needs that signs its requests: the ID of its project, and the service catalogue.
//!
//! It takes the place of a login. Keystone's answers show whether the access key is accepted.

use std::{sync::Arc, time::Instant};

use tokio::time::{Instant as Deadline, timeout_at};
use url::Url;

use crate::openstack::{
    Answer, CloudConfig, Error, Failure, Service,
    config::{Auth, Named, Scope},
    http,
    signature::Signer,
    token::{self, Token, TokenProject},
};

/// Reads the place from Keystone. Also returns the answer that failed, for the log.
pub(super) async fn read_place(
    signer: &Signer,
    config: &Arc<CloudConfig>,
    sent: Instant,
    end: Deadline,
) -> (Result<Token, Failure>, Option<Answer>) {
    let mut last = None;
    let read = timeout_at(end, place(signer, config, sent, end, &mut last)).await;
    let outcome = read.unwrap_or_else(|_| Err(Error::Timeout.at(Service::Identity)));
    (outcome, last)
}

async fn place(
    signer: &Signer,
    config: &Arc<CloudConfig>,
    sent: Instant,
    end: Deadline,
    last: &mut Option<Answer>,
) -> Result<Token, Failure> {
    let failure = |error: Error| error.at(Service::Identity);
    let project = project(signer, config, end, last).await?;
    if config.needs_no_catalogue() && project.is_some() {
        return Token::of_signatures(config, project, None, sent).map_err(failure);
    }
    let mut url = config.auth_url().clone();
    url.set_path(&format!("{}/auth/catalog", url.path()));
    let id = project.as_ref().map(|project| project.id.clone());
    let answer = get(signer, url, id.as_deref(), end, last).await?;
    // A gateway that does not publish the catalogue is no obstacle for an entry with addresses of its own.
    if answer.status == 404 && !config.overrides.is_empty() {
        return Token::of_signatures(config, project, None, sent).map_err(failure);
    }
    let answer = accepted(answer, last).map_err(|refused| match refused.error {
        Error::Forbidden if config.entry().is_some() => Failure { error: Error::ProjectRefused, ..refused },
        _ => refused,
    })?;
    let config = config.clone();
    let read = move |answer: Answer| Token::of_signatures(&config, project, Some(&answer), sent);
    answer.digest(Service::Identity, read).await?.map_err(failure)
}

/// The project in the entry. Its ID is looked up if the entry has only the name.
async fn project(
    signer: &Signer,
    config: &CloudConfig,
    end: Deadline,
    last: &mut Option<Answer>,
) -> Result<Option<TokenProject>, Failure> {
    let name = match &config.auth {
        Auth::AccessKey { scope: Some(Scope::Project(Named::Id(id))), .. } => {
            return Ok(Some(TokenProject { id: id.clone(), name: String::new() }));
        }
        Auth::AccessKey { scope: Some(Scope::ProjectOfAccount(name)), .. } => name,
        Auth::AccessKey { .. } | Auth::Password { .. } | Auth::ApplicationCredential { .. } | Auth::Token { .. } => {
            return Ok(None);
        }
    };
    let mut url = config.auth_url().clone();
    url.set_path(&format!("{}/projects", url.path()));
    url.query_pairs_mut().append_pair("name", name);
    let answer = accepted(get(signer, url, None, end, last).await?, last)?;
    let read = answer.digest(Service::Identity, |answer| token::only_project(&answer.body)).await?;
    read.map(Some).map_err(|error| error.at(Service::Identity))
}

/// Sends a signed GET.
async fn get(
    signer: &Signer,
    url: Url,
    project: Option<&str>,
    end: Deadline,
    last: &mut Option<Answer>,
) -> Result<Answer, Failure> {
    let service = Service::Identity;
    let request = http::get(url.clone(), &[]).map_err(|error| error.at(service))?;
    let sent = signer.send::<()>(service.row().body_limit, request, project).await;
    let (mut answer, ()) = sent.map_err(|error| error.at(service))?;
    answer.deadline = end;
    match signer.refusal(&url, &answer) {
        None => Ok(answer),
        Some(why) => {
            let refused = Signer::failure(service, why, &answer);
            *last = Some(answer);
            Err(refused)
        }
    }
}

fn accepted(answer: Answer, last: &mut Option<Answer>) -> Result<Answer, Failure> {
    match answer.failure(Service::Identity) {
        None => Ok(answer),
        Some(failure) => {
            *last = Some(answer);
            Err(failure)
        }
    }
}
