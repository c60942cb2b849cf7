//! Writes against an API server that answers by the CloudTenant's name.

use super::*;

/// Each line: code, message, the cause's reason and field | outcome.
#[test]
fn refusals_are_told_apart() {
    for (code, message, reason, field, expected) in [
        (409, "Apply failed with 1 conflict", "FieldManagerConflict", ".spec.interval", Some(Outcome::Conflict)),
        (409, "Precondition failed: UID in precondition", "", "", Some(Outcome::Later)),
        (409, "the object has been modified", "", "", Some(Outcome::Later)),
        (422, "must be specified for an update", "FieldValueInvalid", "metadata.resourceVersion", Some(Outcome::Later)),
        (
            422,
            "spec.interval: Invalid value",
            "FieldValueInvalid",
            "spec.interval",
            Some(Outcome::Refused(Refusal::Invalid)),
        ),
        (
            422,
            "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "",
            "",
            Some(Outcome::Refused(Refusal::Forbidden)),
        ),
        (400, "strict decoding error", "", "", Some(Outcome::Refused(Refusal::Invalid))),
        (403, "is forbidden: exceeded quota: q, requested: 1", "", "", Some(Outcome::Refused(Refusal::Quota))),
        (403, "is forbidden: User \"u\" cannot create resource", "", "", Some(Outcome::Refused(Refusal::Forbidden))),
        (403, "is forbidden: unable to create", "NamespaceTerminating", "", None),
        (404, "not found", "", "", Some(Outcome::Later)),
        (429, "too many requests", "", "", Some(Outcome::Later)),
        (500, "etcdserver: leader changed", "", "", Some(Outcome::Later)),
        (503, "starting", "", "", Some(Outcome::Later)),
    ] {
        let status = json!({
            "status": "Failure", "code": code, "message": message, "reason": "",
            "details": { "causes": [{ "reason": reason, "message": "", "field": field }] },
        });
        let error = kube::Error::Api(serde_json::from_value(status).unwrap());
        assert_eq!(judge(&WriteError::Kube(Box::new(error))), expected, "{code} {message}");
    }
    assert_eq!(judge(&WriteError::Timeout), Some(Outcome::Later));
    assert_eq!(judge(&WriteError::NotLeading), None);
}
/// What the API server answers for a CloudTenant, by the beginning of its name.
async fn answer(method: axum::http::Method, uri: axum::http::Uri) -> (axum::http::StatusCode, String) {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let cause = |reason: &str| json!({ "causes": [{ "reason": reason, "message": "", "field": "" }] });
    let (code, message, details) = match name.split('-').next().unwrap() {
        "ok" if method == axum::http::Method::DELETE => (200, "", json!({})),
        "ok" => {
            let object = json!({ "metadata": { "name": name, "uid": format!("u-{name}"), "resourceVersion": "2" } });
            return (axum::http::StatusCode::OK, object.to_string());
        }
        "conflict" => (409, "conflict", cause("FieldManagerConflict")),
        "changed" => (409, "the object has been modified", json!({})),
        "forbidden" => (403, "User \"u\" cannot", json!({})),
        "policy" => (403, "policy p denied request: no", json!({})),
        "quota" => (403, "exceeded quota: q", json!({})),
        "invalid" => (422, "spec.interval: Invalid value", json!({})),
        _ => (500, "etcdserver: leader changed", json!({})),
    };
    let status = if code == 200 { "Success" } else { "Failure" };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": status, "code": code, "message": message, "reason": "",
        "details": details,
    });
    (axum::http::StatusCode::from_u16(code).unwrap(), body.to_string())
}

/// A set that writes CloudTenants whose names say what the API server answers.
struct Pass {
    writer: StatusWriter,
    settings: SetSettings,
    clock: std::sync::Arc<std::sync::atomic::AtomicI64>,
    state: WriteState,
}

impl Pass {
    async fn of(writes_per_minute: u32) -> Self {
        let client = testkit::router::kube_client(axum::Router::new().fallback(answer)).await.unwrap();
        let metrics = std::sync::Arc::new(crate::metrics::Metrics::new());
        let writer = StatusWriter::new(client, "i", metrics, crate::cluster::leader::Mandate::unlimited());
        let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(1000));
        let read = clock.clone();
        let now = move || Timestamp::from_second(read.load(std::sync::atomic::Ordering::SeqCst)).unwrap();
        let clock_of_sets = crate::cluster::context::Clock::new(now);
        let settings = SetSettings { writes_per_minute, sets: Default::default(), clock: clock_of_sets };
        Self { writer, settings, clock, state: WriteState::default() }
    }

    /// A pass with these changes, creations (with `+`) and deletions (with `-`). Returns what became of them.
    async fn run(&mut self, writes: &str) -> String {
        let names = |prefix: Option<char>| {
            let all = writes.split_whitespace();
            let own = all.filter(move |write| write.chars().next().filter(|c| "+-".contains(*c)) == prefix);
            own.map(|write| write.trim_start_matches(['+', '-']).to_owned()).collect::<Vec<_>>()
        };
        let apply = |is_new: bool| {
            move |name: String| Apply {
                uid: (!is_new).then(|| format!("u-{name}")),
                adopts: false,
                project_id: name.clone(),
                document: json!({ "metadata": { "name": name } }),
                name,
            }
        };
        let applies = names(Some('+')).into_iter().map(apply(true)).chain(names(None).into_iter().map(apply(false)));
        let deletion = |name: String| Deletion {
            uid: format!("u-{name}"),
            resource_version: "1".to_owned(),
            project_id: name.clone(),
            name,
        };
        let deletions: Vec<_> = names(Some('-')).into_iter().map(deletion).collect();
        let now = self.settings.clock.now();
        let order = self.state.order(applies.collect(), &deletions, &self.settings, now);
        let counted = order.reserved.len();
        let mut pass = Writes {
            writer: &self.writer,
            namespace: "n",
            settings: &self.settings,
            is_current: &|| true,
            shutdown: &CancellationToken::new(),
            state: &mut self.state,
            written: Written::default(),
            wait: None,
        };
        pass.run(order).await;
        let Written { created, deleted, undeleted, conflicts, refused, is_unfinished, failing, .. } = pass.written;
        assert!(deleted.len() + undeleted <= counted, "{writes}: a deletion was not counted before");
        let names = |written: &[(String, String)]| written.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut found: Vec<_> = names(&created).iter().map(|name| format!("+{name}")).collect();
        found.extend(names(&deleted).iter().map(|name| format!("-{name}")));
        found.extend(conflicts);
        found.extend(refused.map(|refusal| format!("{refusal:?}")));
        found.extend(failing.map(|(name, times)| format!("failing {name} {times}")));
        found.extend(is_unfinished.then(|| "unfinished".to_owned()));
        self.clock.fetch_add(60, std::sync::atomic::Ordering::SeqCst);
        found.join(" ")
    }
}

/// Each line: the writes of each pass, a minute apart | what became of them.
#[tokio::test]
async fn what_fails_again_and_again_delays_nothing_else() {
    const CONFLICTS: &str = "conflict-1 conflict-2 conflict-3 conflict-4";
    let all = |writes: &str| format!("{writes} {CONFLICTS}");
    for (name, passes) in [
        (
            "conflicts",
            vec![
                (all(""), "conflict-1 conflict-2 conflict-3 unfinished"),
                (all("-ok"), "-ok conflict-4 conflict-1 conflict-2 conflict-3"),
                (all("+ok"), "+ok conflict-2 conflict-3 conflict-4 conflict-1"),
                (all(""), "conflict-4 conflict-1 conflict-2 conflict-3"),
            ],
        ),
        (
            "failures of the API server",
            vec![
                ("down-1 down-2 down-3 down-4".to_owned(), "unfinished"),
                ("down-1 down-2 down-3 down-4 -ok".to_owned(), "-ok unfinished"),
                ("down-1 down-2 down-3 down-4 +ok".to_owned(), "+ok unfinished"),
            ],
        ),
        (
            "a failure at each pass",
            vec![
                ("down".to_owned(), "unfinished"),
                ("down".to_owned(), "unfinished"),
                ("down".to_owned(), "failing down 3 unfinished"),
                ("down".to_owned(), "failing down 4 unfinished"),
                ("ok".to_owned(), ""),
            ],
        ),
        (
            "refused deletions",
            vec![
                ("-policy-1 -policy-2 -policy-3 -policy-4 -policy-5".to_owned(), "Forbidden unfinished"),
                ("-policy-1 -policy-2 -policy-3 -policy-4 -policy-5 +ok".to_owned(), "+ok Forbidden"),
                ("-policy-1 -policy-2 -policy-3 -policy-4 -policy-5 -ok".to_owned(), "-ok Forbidden"),
            ],
        ),
        (
            "a quota lets retries go on",
            vec![
                ("conflict-1".to_owned(), "conflict-1"),
                ("+quota-1 +quota-2 +quota-3 +quota-4 conflict-1".to_owned(), "conflict-1 Quota"),
            ],
        ),
        (
            "both kinds have their share",
            vec![
                ("-ok-1 -ok-2 -ok-3 +ok-4 +ok-5".to_owned(), "+ok-4 -ok-1 -ok-2 unfinished"),
                ("-ok-3 +ok-5".to_owned(), "+ok-5 -ok-3"),
            ],
        ),
        ("what is deleted is not changed before", vec![("ok -ok".to_owned(), "-ok")]),
        ("the worst refusal", vec![("-policy invalid +quota".to_owned(), "Forbidden")]),
        ("the worst refusal, later", vec![("-quota invalid".to_owned(), "Invalid")]),
    ] {
        let mut pass = Pass::of(3).await;
        for (at, (writes, found)) in passes.into_iter().enumerate() {
            assert_eq!(pass.run(&writes).await, found, "{name}: pass {at}");
        }
    }
}

/// Each line: the writes of each pass, a minute apart | what became of them.
#[tokio::test]
async fn a_403_is_doubted_until_it_has_lasted() {
    for (name, passes) in [
        ("for long", vec![("forbidden", "unfinished"), ("forbidden", "Forbidden")]),
        ("of deletions", vec![("-forbidden", "unfinished"), ("-forbidden", "Forbidden")]),
        ("a change in between", vec![("forbidden", "unfinished"), ("ok", ""), ("forbidden", "unfinished")]),
        ("a deletion in between", vec![("forbidden", "unfinished"), ("-ok", "-ok"), ("forbidden", "unfinished")]),
        ("another answer", vec![("forbidden", "unfinished"), ("changed", "unfinished"), ("forbidden", "unfinished")]),
        ("nothing to write", vec![("forbidden", "unfinished"), ("", ""), ("forbidden", "unfinished")]),
    ] {
        let mut pass = Pass::of(100).await;
        for (at, (writes, found)) in passes.into_iter().enumerate() {
            assert_eq!(pass.run(writes).await, found, "{name}: pass {at}");
        }
    }
}

#[tokio::test]
async fn only_wanted_writes_are_remembered_and_refusals_end_their_kind_alone() {
    let mut pass = Pass::of(1000).await;
    let refused: Vec<_> = (0..40).map(|at| format!("-policy-{at:02}")).collect();
    assert_eq!(pass.run(&format!("{} +ok", refused.join(" "))).await, "+ok Forbidden");
    let remembered = |pass: &Pass, name: &str| pass.state.attempts.last(name).is_some();
    assert!(remembered(&pass, "policy-19") && !remembered(&pass, "policy-20"), "{REFUSALS} are enough");
    pass.run("conflict").await;
    assert!(remembered(&pass, "conflict") && !remembered(&pass, "policy-19"));
    pass.run("").await;
    assert!(!remembered(&pass, "conflict"));
}
