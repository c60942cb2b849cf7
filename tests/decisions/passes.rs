//! From what the three probes saw to the conditions, pass by pass.
//!
//! A line is: seconds | what happened, then engines caches usage | their reasons | Ready | what stands beside it |
//! kstatus | events. Of a probe: `-` it was not its turn, `...` under way, `absent` not offered, `?Reason` could not
//! see and it may pass, `!Reason` could not see, for all else see `words`. `new` is a tenant nobody has visited.

use std::time::Duration;

use cloudtenant_operator::{
    api::{CacheState, CloudTenantStatus, Policy, ProbeKind, Reason, condition_type as ty, reason::Class, time},
    decide::{condition, schedule::shortened, status},
};

use crate::{
    kstatus::kstatus,
    words::{START, failure, later},
    world::{World, compare, lines, reason_of, source, told},
};

pub fn passes(name: &str, table: &str) {
    let expected = lines(table);
    let mut world = World::new();
    let actual: Vec<_> = expected.iter().map(|cells| step(&mut world, cells)).collect();
    compare(name, &expected, &actual);
}

fn step(world: &mut World, cells: &[String]) -> Vec<String> {
    let mut words: Vec<_> = cells[1].split(' ').collect();
    let looks = words.split_off(words.len() - 3);
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("new", _) => *world = World::new(),
            ("restart", _) => world.restart(),
            ("clock", seconds) => world.clock_was_set(seconds.parse().unwrap()),
            ("generation", number) => world.generation = number.parse().unwrap(),
            ("suspend", on) => world.target.suspend = on == "true",
            ("cloud", host) => world.source = Some(source(host)),
            ("engines", word) => world.target.probes[ProbeKind::Engines].policy = policy(word),
            ("caches", word) => world.target.probes[ProbeKind::Caches].policy = policy(word),
            ("usage", word) => world.target.probes[ProbeKind::Usage].policy = policy(word),
            ("threshold", times) => {
                let times = times.parse().unwrap();
                world.set_thresholds(times);
            }
            ("own", name) => world.target.engines.cloud_name = Some(name.to_owned()),
            ("readyWhen", word) => world.target.ready_when_observed = word == "Observed",
            ("readyOn", "all") => world.target.ready_on.clear(),
            ("readyOn", names) => world.target.ready_on = names.split(',').map(probe_name).collect(),
            ("includeFailure", on) => world.target.caches.include_failure = on == "true",
            ("unhealthy", "frozen") => world.target.caches.unhealthy_states = vec![CacheState::Frozen],
            ("unhealthy", "none") => world.target.caches.unhealthy_states = Vec::new(),
            other => panic!("{other:?}"),
        }
    }
    world.now = later(START, cells[0].parse().unwrap());
    if cells[1].contains("restart") {
        world.restart();
    }
    let (status, notices) = world.pass_in_words(looks[0], looks[1], looks[2]);
    let reasons = ProbeKind::ALL.map(|kind| reason_of(&status, kind.condition_type()));
    let ready = condition::find(&status.conditions, ty::READY).unwrap();
    let beside: Vec<_> = [ty::RECONCILING, ty::STALLED]
        .into_iter()
        .filter(|type_| condition::find(&status.conditions, type_).is_some())
        .map(|type_| format!("{type_} {}", reason_of(&status, type_)))
        .collect();
    assert!(beside.len() < 2, "Reconciling and Stalled are never both: {beside:?}");
    well_formed(&status, world.generation);
    vec![
        cells[0].clone(),
        cells[1].clone(),
        reasons.join(" "),
        format!("{} {}", ready.status, ready.reason),
        beside.join(" "),
        kstatus(false, world.generation, &status),
        told(&notices),
    ]
}

fn policy(word: &str) -> Policy {
    match word {
        "on" => Policy::Auto,
        "required" => Policy::Required,
        "off" => Policy::Disabled,
        other => panic!("{other:?}"),
    }
}

fn probe_name(word: &str) -> ProbeKind {
    serde_json::from_value(word.into()).unwrap()
}

/// What holds for every status.
fn well_formed(status: &CloudTenantStatus, generation: i64) {
    assert_eq!(status.observed_generation, Some(generation), "it advances on every pass");
    for condition in &status.conditions {
        let reason = Reason::parse(&condition.reason).unwrap();
        assert_eq!(condition.observed_generation, Some(generation), "{}", condition.type_);
        assert!(condition.message.len() <= 1024 && condition.message.ends_with('.'), "{}", condition.message);
        if [ty::RECONCILING, ty::STALLED].contains(&condition.type_.as_str()) {
            assert_eq!(condition.status, "True");
        } else {
            assert_eq!(condition.status, reason.condition_status(), "{}", condition.type_);
        }
    }
    let usage = condition::find(&status.conditions, ty::USAGE_REPORTED).unwrap();
    assert_ne!(usage.status, "False");
}

#[test]
fn ready_is_the_worst_of_what_counts() {
    passes(
        "all well, in the three ways that usage can be",
        "
        0 | new up ok full            | AllEnginesUp AllCachesHealthy Reported           | True Healthy | | Current |
        0 | new up ok cut             | AllEnginesUp AllCachesHealthy ReportedIncomplete | True Healthy | | Current |
        0 | new up ok unpaged         | AllEnginesUp AllCachesHealthy ReportedUnpaged    | True Healthy | | Current |
    ",
    );
    passes("False, by the probes' order", "
        0 | new down ok full          | EnginesDown AllCachesHealthy Reported            | False EnginesDown | | InProgress | EngineDown h2
        0 | new down err full         | EnginesDown CacheErrors Reported                 | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
        0 | new 503 err full          | EngineUnresponsive CacheErrors Reported          | False EngineUnresponsive | | InProgress | EngineUnresponsive, CachesUnhealthy
        0 | new up err full           | AllEnginesUp CacheErrors Reported                | False CacheErrors | | InProgress | CachesUnhealthy
        0 | new up create full        | AllEnginesUp CacheCreateFailed Reported          | False CacheCreateFailed | | InProgress | CacheCreateFailed
        0 | new includeFailure=false up create full | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current |
    ");
    passes("False before Unknown before True", "
        0 | new none ok full          | NoEnginesListed AllCachesHealthy Reported        | Unknown NoEnginesListed | | InProgress |
        0 | new none err full         | NoEnginesListed CacheErrors Reported             | False CacheErrors | | InProgress | CachesUnhealthy
        0 | new !Timeout err full     | Timeout CacheErrors Reported                     | False CacheErrors | | InProgress | CachesUnhealthy, ObservationFailed engines
        0 | new !Timeout ok !Forbidden | Timeout AllCachesHealthy Forbidden              | Unknown Timeout | Stalled Forbidden | Failed | ObservationFailed engines, usage
        0 | new up !Timeout !DNSFailed | AllEnginesUp Timeout DNSFailed                  | Unknown Timeout | | InProgress | ObservationFailed caches, usage
        0 | new down !Forbidden full  | EnginesDown Forbidden Reported                   | False EnginesDown | Stalled Forbidden | Failed | EngineDown h2, ObservationFailed caches
    ");
    passes("Observed: what is sick was looked at", "
        0 | new readyWhen=Observed up ok full | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current |
      300 | down err full             | EnginesDown CacheErrors Reported                 | True Observed | | Current | EngineDown h2, CachesUnhealthy
      310 | - !Timeout -              | EnginesDown Timeout Reported                     | Unknown Timeout | | InProgress | ObservationFailed caches
      320 | !Forbidden err -          | Forbidden CacheErrors Reported                   | Unknown Forbidden | Stalled Forbidden | Failed | ObservationFailed engines, ObservationRecovered caches
      330 | down - -                  | EnginesDown CacheErrors Reported                 | True Observed | | Current | ObservationRecovered engines
      340 | readyWhen=Healthy - - -   | EnginesDown CacheErrors Reported                 | False EnginesDown | | InProgress |
        0 | new readyWhen=Observed ... err full | Progressing CacheErrors Reported       | Unknown Progressing | Reconciling Progressing | InProgress | CachesUnhealthy
        0 | new readyWhen=Observed none err full | NoEnginesListed CacheErrors Reported  | Unknown NoEnginesListed | | InProgress | CachesUnhealthy
        0 | new readyWhen=Observed absent err full | ServiceNotOffered CacheErrors Reported | True Observed | | Current | CachesUnhealthy
        0 | new readyWhen=Observed absent absent absent | ServiceNotOffered ServiceNotOffered ServiceNotOffered | Unknown NothingObserved | Stalled NothingObserved | Failed |
    ");
    passes("what is disabled or not offered does not count", "
        0 | new absent absent full    | ServiceNotOffered ServiceNotOffered Reported     | True Healthy | | Current |
        0 | new engines=off caches=off - - full | ProbeDisabled ProbeDisabled Reported   | True Healthy | | Current |
        0 | new engines=off - err full | ProbeDisabled CacheErrors Reported              | False CacheErrors | | InProgress | CachesUnhealthy
        0 | new engines=off caches=off usage=off - - - | ProbeDisabled ProbeDisabled ProbeDisabled | Unknown NothingObserved | Stalled NothingObserved | Failed |
        0 | new engines=off - absent absent | ProbeDisabled ServiceNotOffered ServiceNotOffered | Unknown NothingObserved | Stalled NothingObserved | Failed |
    ");
}

#[test]
fn what_could_not_be_seen() {
    passes("one failure is no verdict, two in a row are", "
          0 | new up ok full          | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         10 | - ?ServerError ?ConnectionFailed | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current |
         25 | - ok ?RateLimited       | AllEnginesUp AllCachesHealthy RateLimited    | Unknown RateLimited | | InProgress | ObservationFailed usage
         40 | - ?ServerError -        | AllEnginesUp AllCachesHealthy RateLimited    | Unknown RateLimited | | InProgress |
         55 | - ?ServerError full     | AllEnginesUp ServerError Reported            | Unknown ServerError | | InProgress | ObservationFailed caches, ObservationRecovered usage
         70 | - ok -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered caches
    ");
    passes("what a person must mend, and Heat's time-out, are said at once", "
          0 | new up ok full          | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         10 | !Timeout - -            | Timeout AllCachesHealthy Reported            | Unknown Timeout | | InProgress | ObservationFailed engines
         20 | up !TokenRejected -     | AllEnginesUp TokenRejected Reported          | Unknown TokenRejected | Stalled TokenRejected | Failed | ObservationFailed caches, ObservationRecovered engines
         30 | - - -                   | AllEnginesUp TokenRejected Reported          | Unknown TokenRejected | Stalled TokenRejected | Failed |
         40 | - ok -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered caches
    ");
    passes("a verdict is believed for twice the interval and the deadline, from the start of the process on", "
          0 | new up ok full          | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
        780 | - - -                   | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
        780 | restart - - -           | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       1560 | - - -                   | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       1561 | - - -                   | ObservationStale ObservationStale Reported   | Unknown ObservationStale | | InProgress | ObservationFailed engines, caches
       1562 | up ?ServerError -       | AllEnginesUp ServerError Reported            | Unknown ServerError | | InProgress | ObservationRecovered engines
       1570 | - ok -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered caches
       8160 | up ok -                 | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       8161 | - - -                   | AllEnginesUp AllCachesHealthy ObservationStale | Unknown ObservationStale | | InProgress | ObservationFailed usage
    ");
    passes("Heat's last answer is believed as long, though it can be read until the next one comes", "
          0 | new down ok full        | EnginesDown AllCachesHealthy Reported        | False EnginesDown | | InProgress | EngineDown h2
        300 | up ok -                 | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | EngineRecovered h2
       1080 | same ok -               | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       1081 | same ok -               | ObservationStale AllCachesHealthy Reported   | Unknown ObservationStale | | InProgress | ObservationFailed engines
       1090 | up ok -                 | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered engines
    ");
    passes("once the last verdict is that old, one failure is enough", "
          0 | new up ok full          | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
        781 | up ?ServerError -       | AllEnginesUp ServerError Reported            | Unknown ServerError | | InProgress | ObservationFailed caches
    ");
    passes("False, Unknown, False", "
          0 | new down err full       | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
         10 | !Timeout !Timeout full  | Timeout Timeout Reported                     | Unknown Timeout | | InProgress | ObservationFailed engines, caches
         20 | down err full           | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | ObservationRecovered engines, caches
         30 | down create full        | EnginesDown CacheCreateFailed Reported       | False EnginesDown | | InProgress | CacheCreateFailed
         40 | up ok full              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | EngineRecovered h2, CachesRecovered
    ");
}

#[test]
fn what_takes_a_person() {
    passes("a Secret that may still arrive is waited for in silence, and a restart takes nothing back", "
          0 | new !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
         60 | !SecretKeyMissing !SecretKeyMissing !SecretKeyMissing | SecretKeyMissing SecretKeyMissing SecretKeyMissing | Unknown SecretKeyMissing | | InProgress |
         90 | !CloudNotFound !CloudNotFound !CloudNotFound | CloudNotFound CloudNotFound CloudNotFound | Unknown CloudNotFound | | InProgress |
        120 | !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | Stalled SecretNotFound | Failed | ObservationFailed engines, caches, usage
        130 | new !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
        140 | up ok full              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
    ");
    passes("a Secret that has come back is no failure of a probe whose result follows later", "
          0 | new readyOn=Caches !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
         60 | up ok ...               | AllEnginesUp AllCachesHealthy SecretNotFound | True Healthy | | Current |
         70 | - - full                | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
          0 | new !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
        120 | !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | Stalled SecretNotFound | Failed | ObservationFailed engines, caches, usage
        130 | up ok ...               | AllEnginesUp AllCachesHealthy SecretNotFound | Unknown SecretNotFound | Stalled SecretNotFound | Failed | ObservationRecovered engines, caches
        140 | - - full                | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered usage
          0 | new readyOn=Caches !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
        120 | !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | Stalled SecretNotFound | Failed | ObservationFailed engines, caches, usage
        130 | up ok ...               | AllEnginesUp AllCachesHealthy SecretNotFound | True Healthy | | Current | ObservationRecovered engines, caches, usage
        140 | - - full                | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
    ");
    passes("a clock that is set makes nothing stale", "
          0 | new up ok full          | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       7210 | clock=7200 ... ... ...  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         20 | clock=-7200 ... ... ... | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
      90030 | clock=90000 - ... ...   | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
      98000 | - - -                   | ObservationStale ObservationStale ObservationStale | Unknown ObservationStale | | InProgress | ObservationFailed engines, caches, usage
          0 | new !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
       3610 | clock=3600 !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
    ");
    passes("the rest is said at once", "
          0 | new !InvalidCloudConfig !InvalidCloudConfig !InvalidCloudConfig | InvalidCloudConfig InvalidCloudConfig InvalidCloudConfig | Unknown InvalidCloudConfig | Stalled InvalidCloudConfig | Failed | ObservationFailed engines, caches, usage
         10 | up ok full              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered engines, caches, usage
    ");
    passes("once a person has acted, a single failure is enough to be Stalled no longer", "
          0 | new up !Forbidden full  | AllEnginesUp Forbidden Reported              | Unknown Forbidden | Stalled Forbidden | Failed | ObservationFailed caches
         10 | - ?ServerError -        | AllEnginesUp ServerError Reported            | Unknown ServerError | | InProgress |
         20 | - ok -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered caches
    ");
    passes("a refused login swallows what follows from it", "
          0 | new up ok full          | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         10 | !Timeout !AuthenticationFailed !AuthenticationFailed | Timeout AuthenticationFailed AuthenticationFailed | Unknown Timeout | Stalled AuthenticationFailed | Failed | AuthenticationFailed
         20 | !AuthenticationFailed - - | AuthenticationFailed AuthenticationFailed AuthenticationFailed | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed |
         30 | up ok full              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered engines, caches, usage
         40 | - !AuthenticationFailed - | AllEnginesUp AuthenticationFailed Reported | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed | AuthenticationFailed
    ");
    passes("a service that was observed and is gone", "
          0 | new up ok full          | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         10 | - absent -              | AllEnginesUp EndpointNotFound Reported       | Unknown EndpointNotFound | Stalled EndpointNotFound | Failed | ObservationFailed caches
         20 | caches=off - - -        | AllEnginesUp ProbeDisabled Reported          | True Healthy | | Current |
         30 | caches=on - absent -    | AllEnginesUp ServiceNotOffered Reported      | True Healthy | | Current |
    ");
}

#[test]
fn what_is_required() {
    passes("its absence is an error", "
          0 | new engines=required absent ok full | EndpointNotFound AllCachesHealthy Reported | Unknown EndpointNotFound | Stalled EndpointNotFound | Failed | ObservationFailed engines
         10 | absent - -              | EndpointNotFound AllCachesHealthy Reported   | Unknown EndpointNotFound | Stalled EndpointNotFound | Failed |
         20 | up - -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered engines
          0 | new caches=required usage=required up absent absent | AllEnginesUp EndpointNotFound EndpointNotFound | Unknown EndpointNotFound | Stalled EndpointNotFound | Failed | ObservationFailed caches, usage
         10 | caches=on - absent -    | AllEnginesUp ServiceNotOffered EndpointNotFound | Unknown EndpointNotFound | Stalled EndpointNotFound | Failed |
         20 | usage=off - - -         | AllEnginesUp ServiceNotOffered ProbeDisabled | True Healthy | | Current |
    ");
    passes("sickness of what is required is no other", "
          0 | new engines=required caches=required down err full | EnginesDown CacheErrors Reported | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
         10 | !Forbidden !Forbidden - | Forbidden Forbidden Reported                 | Unknown Forbidden | Stalled Forbidden | Failed | ObservationFailed engines, caches
    ");
}

#[test]
fn the_engines_have_a_credential_of_their_own() {
    passes("each is told by itself, and hides no trouble of the other's", "
          0 | new own=admin up ok full | AllEnginesUp AllCachesHealthy Reported      | True Healthy | | Current |
         10 | !AuthenticationFailed - - | AuthenticationFailed AllCachesHealthy Reported | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed | AuthenticationFailed engines
         20 | - !ServerError -        | AuthenticationFailed ServerError Reported    | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed | ObservationFailed caches
         30 | - !AuthenticationFailed !AuthenticationFailed | AuthenticationFailed AuthenticationFailed AuthenticationFailed | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed | AuthenticationFailed
         40 | up - -                  | AllEnginesUp AuthenticationFailed AuthenticationFailed | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed | ObservationRecovered engines
         50 | - ok full               | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered caches, usage
    ");
    passes("both at once: the one may be needed on the way to the other", "
          0 | new own=admin !AuthenticationFailed !AuthenticationFailed !AuthenticationFailed | AuthenticationFailed AuthenticationFailed AuthenticationFailed | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed | AuthenticationFailed
         10 | - ok full               | AuthenticationFailed AllCachesHealthy Reported | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed | AuthenticationFailed engines, ObservationRecovered caches, usage
         20 | - - -                   | AuthenticationFailed AllCachesHealthy Reported | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed |
    ");
}

#[test]
fn so_many_bad_verdicts_in_a_row() {
    passes("below the threshold all stays; what could not be seen between does not count", "
          0 | new threshold=3 up ok full | AllEnginesUp AllCachesHealthy Reported    | True Healthy | | Current |
        300 | down err -              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
        600 | down create -           | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
        610 | !Timeout ?ServerError - | Timeout AllCachesHealthy Reported            | Unknown Timeout | | InProgress | ObservationFailed engines
        620 | down err -              | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy, ObservationRecovered engines
        900 | - - -                   | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress |
       1200 | up ok -                 | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | EngineRecovered h2, CachesRecovered
       1500 | down err -              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       1800 | down err -              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       2100 | up ok -                 | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       2400 | down err -              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       2700 | - - -                   | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       2700 | down err -              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       3000 | down err -              | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
    ");
    passes("what is seen and not believed yet can be seen again", "
          0 | new threshold=3 up ok full | AllEnginesUp AllCachesHealthy Reported    | True Healthy | | Current |
        300 | !Timeout !Timeout -     | Timeout Timeout Reported                     | Unknown Timeout | | InProgress | ObservationFailed engines, caches
        310 | down err -              | Progressing Progressing Reported             | Unknown Progressing | | InProgress | ObservationRecovered engines, caches
        320 | down err -              | Progressing Progressing Reported             | Unknown Progressing | | InProgress |
        330 | down err -              | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
    ");
    passes("also where nothing was ever believed", "
          0 | new threshold=3 !Timeout ok full | Timeout AllCachesHealthy Reported    | Unknown Timeout | | InProgress | ObservationFailed engines
         10 | down ok -               | Progressing AllCachesHealthy Reported        | Unknown Progressing | | InProgress | ObservationRecovered engines
         20 | down ok -               | Progressing AllCachesHealthy Reported        | Unknown Progressing | | InProgress |
    ");
    passes("a stored False stays, across restarts and what could not be seen", "
          0 | new down err full       | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
        300 | threshold=3 down err -  | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress |
        310 | restart down err -      | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress |
        320 | !Timeout !Timeout -     | Timeout Timeout Reported                     | Unknown Timeout | | InProgress | ObservationFailed engines, caches
        330 | down create -           | EnginesDown CacheCreateFailed Reported       | False EnginesDown | | InProgress | CacheCreateFailed, ObservationRecovered engines, caches
    ");
    passes("a restart counts anew, and a first visit counts too", "
          0 | new threshold=2 up ok full | AllEnginesUp AllCachesHealthy Reported    | True Healthy | | Current |
        300 | down err -              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
        600 | restart down err -      | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
        900 | down err -              | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
          0 | new threshold=2 down err full | Progressing Progressing Reported       | Unknown Progressing | | InProgress |
        300 | down err -              | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
    ");
}

#[test]
fn states_of_caches_that_the_spec_calls_unhealthy() {
    passes("none by default; then those that are wanted, after errors and failed creations", "
          0 | new up frozen3 full     | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         10 | unhealthy=frozen - frozen3 - | AllEnginesUp CacheStateUnhealthy Reported | False CacheStateUnhealthy | | InProgress | CachesUnhealthy
         20 | - frozen2 -             | AllEnginesUp CacheStateUnhealthy Reported    | False CacheStateUnhealthy | | InProgress |
         30 | - frozen2+create -      | AllEnginesUp CacheCreateFailed Reported      | False CacheCreateFailed | | InProgress | CacheCreateFailed
         40 | - frozen2+create+err -  | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress | CachesUnhealthy
         50 | - frozen2 -             | AllEnginesUp CacheStateUnhealthy Reported    | False CacheStateUnhealthy | | InProgress | CachesUnhealthy
         60 | - ok -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | CachesRecovered
          0 | new unhealthy=frozen up frozen full | AllEnginesUp CacheStateUnhealthy Reported | False CacheStateUnhealthy | | InProgress | CachesUnhealthy
         10 | - !Timeout -            | AllEnginesUp Timeout Reported                | Unknown Timeout | | InProgress | ObservationFailed caches
         20 | - frozen -              | AllEnginesUp CacheStateUnhealthy Reported    | False CacheStateUnhealthy | | InProgress | ObservationRecovered caches
         30 | unhealthy=none - frozen - | AllEnginesUp AllCachesHealthy Reported     | True Healthy | | Current | CachesRecovered
    ");
    passes("a change of the spec is told when its verdict is, not while nothing is seen or believed", "
          0 | new threshold=2 up frozen full | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current |
         10 | unhealthy=frozen - - -  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         20 | - !Timeout -            | AllEnginesUp Timeout Reported                | Unknown Timeout | | InProgress | ObservationFailed caches
         30 | - ok -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | CachesRecovered, ObservationRecovered caches
         40 | - frozen -              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         50 | - frozen -              | AllEnginesUp CacheStateUnhealthy Reported    | False CacheStateUnhealthy | | InProgress | CachesUnhealthy
    ");
}

#[test]
fn failure_threshold_holds_after_a_change_of_what_is_unhealthy() {
    passes("the stored condition decides, not the stored counts under the new spec", "
          0 | new threshold=2 up frozen full | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current |
         10 | unhealthy=frozen - frozen - | AllEnginesUp AllCachesHealthy Reported    | True Healthy | | Current |
         20 | - frozen -              | AllEnginesUp CacheStateUnhealthy Reported    | False CacheStateUnhealthy | | InProgress | CachesUnhealthy
    ");
}

#[test]
fn more_errors_than_before() {
    passes("once in ten minutes by the name, and never for fewer", "
          0 | new up err full         | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress | CachesUnhealthy
         10 | - err2 -                | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress | CacheErrorsIncreased 2026-11-22T04:00:00Z
         20 | - err9 -                | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress | CacheErrorsIncreased 2026-11-22T04:00:00Z
         30 | - err9 -                | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress |
         40 | - err8 -                | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress |
        650 | - err9 -                | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress | CacheErrorsIncreased 2026-11-22T04:10:00Z
        660 | - ok -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | CachesRecovered
        670 | - err9 -                | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress | CachesUnhealthy
        680 | - !Timeout -            | AllEnginesUp Timeout Reported                | Unknown Timeout | | InProgress | ObservationFailed caches
       1200 | up err10 -              | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress | CacheErrorsIncreased 2026-11-22T04:20:00Z, ObservationRecovered caches
       1210 | - create9 -             | AllEnginesUp CacheCreateFailed Reported      | False CacheCreateFailed | | InProgress | CacheCreateFailed
       1220 | - create12 -            | AllEnginesUp CacheCreateFailed Reported      | False CacheCreateFailed | | InProgress |
    ");
}

#[test]
fn usage_that_falls_within_a_period() {
    passes("each time that it falls", "
          0 | new up ok full9         | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       3600 | up ok full10            | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
       7200 | up ok full4             | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | UsageFell
      10800 | up ok full3             | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | UsageFell
      10810 | - - !Timeout            | AllEnginesUp AllCachesHealthy Timeout        | Unknown Timeout | | InProgress | ObservationFailed usage
      10820 | - - full2               | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | UsageFell, ObservationRecovered usage
      10830 | - - cut1                | AllEnginesUp AllCachesHealthy ReportedIncomplete | True Healthy | | Current |
      10840 | cloud=b up ok full1     | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
    ");
}

/// A process that meets a tenant whose Secret has been missing since before.
#[test]
fn a_restart_does_not_take_back_what_took_a_person() {
    let mut world = World::new();
    world.waited = true;
    let missing = "!SecretNotFound";
    world.pass_in_words(missing, missing, missing);
    world.restart();
    let (status, notices) = world.pass_in_words(missing, missing, missing);
    assert_eq!(kstatus(false, 1, &status), "Failed");
    assert_eq!(told(&notices), "");
}

#[test]
fn generations_and_what_is_in_progress() {
    passes("the first visit", "
          0 | new ... ... ...         | Progressing Progressing Progressing          | Unknown Progressing | Reconciling Progressing | InProgress |
          5 | ... ok full             | Progressing AllCachesHealthy Reported        | Unknown Progressing | Reconciling Progressing | InProgress |
         20 | up - -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         30 | ... ... -               | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
    ");
    passes("a new generation is in progress until its first pass ends, and then not stalled", "
          0 | new up ok full          | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         10 | generation=2 ... ok full | AllEnginesUp AllCachesHealthy Reported      | True Healthy | Reconciling Progressing | InProgress |
         15 | ... - -                 | AllEnginesUp AllCachesHealthy Reported       | True Healthy | Reconciling Progressing | InProgress |
         20 | up - -                  | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current |
         30 | - !Forbidden -          | AllEnginesUp Forbidden Reported              | Unknown Forbidden | Stalled Forbidden | Failed | ObservationFailed caches
         40 | generation=3 - ... -    | AllEnginesUp Forbidden Reported              | Unknown Forbidden | Reconciling Progressing | InProgress |
         45 | - !Forbidden -          | AllEnginesUp Forbidden Reported              | Unknown Forbidden | Stalled Forbidden | Failed |
         50 | generation=4 - ok -     | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | ObservationRecovered caches
    ");
    passes("suspended: all stays", "
          0 | new up err full         | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress | CachesUnhealthy
         10 | generation=2 suspend=true - - - | AllEnginesUp CacheErrors Reported    | False CacheErrors | | InProgress |
     100000 | - - -                   | AllEnginesUp CacheErrors Reported            | False CacheErrors | | InProgress |
     100010 | generation=3 suspend=false restart ... ... ... | AllEnginesUp CacheErrors Reported | False CacheErrors | Reconciling Progressing | InProgress |
     100020 | up ok full              | AllEnginesUp AllCachesHealthy Reported       | True Healthy | | Current | CachesRecovered
    ");
    passes("suspended before the first pass has ended: a person still has to act", "
          0 | new up !Forbidden ...   | AllEnginesUp Forbidden Progressing           | Unknown Forbidden | Reconciling Progressing | InProgress | ObservationFailed caches
         10 | suspend=true - - -      | AllEnginesUp Forbidden Progressing           | Unknown Forbidden | Stalled Forbidden | Failed |
    ");
    passes("suspended before the first visit", "
          0 | new suspend=true - - -  | Progressing Progressing Progressing          | Unknown Progressing | | InProgress |
    ");
    passes("another cloud's verdicts say nothing, and its events are told anew", "
          0 | new down err full       | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
         10 | cloud=b ... ok ...      | Progressing AllCachesHealthy Progressing     | Unknown Progressing | | InProgress |
         20 | down - full             | EnginesDown AllCachesHealthy Reported        | False EnginesDown | | InProgress | EngineDown h2
         30 | cloud=a down err full   | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
    ");
    passes("a probe that is disabled drops its data", "
          0 | new down err full       | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2, CachesUnhealthy
         10 | generation=2 engines=off - - - | ProbeDisabled CacheErrors Reported    | False CacheErrors | | InProgress |
         20 | generation=3 engines=on ... - - | Progressing CacheErrors Reported     | False CacheErrors | Reconciling Progressing | InProgress |
         30 | down - -                | EnginesDown CacheErrors Reported             | False EnginesDown | | InProgress | EngineDown h2
         40 | includeFailure=false - - - | EnginesDown CacheErrors Reported          | False EnginesDown | | InProgress |
    ");
}

/// Conditions' times move with their status, and only then.
#[test]
fn transition_times() {
    let mut world = World::new();
    let mut since = Vec::new();
    for (second, engines, caches) in
        [(0, "up", "ok"), (30, "down", "ok"), (40, "503", "ok"), (50, "!Timeout", "!Timeout"), (60, "!Forbidden", "ok")]
    {
        world.now = later(START, second);
        let (status, _) = world.pass_in_words(engines, caches, "full");
        let time = |type_| {
            condition::find(&status.conditions, type_).map(|c| c.last_transition_time.0.duration_since(START).as_secs())
        };
        since.push([ty::READY, ty::ENGINES_HEALTHY, ty::CACHES_HEALTHY, ty::USAGE_REPORTED, ty::STALLED].map(time));
    }
    let row = |ready, engines, caches, stalled| [Some(ready), Some(engines), Some(caches), Some(0), stalled];
    assert_eq!(
        since,
        [
            row(0, 0, 0, None),
            row(30, 30, 0, None),
            row(30, 30, 0, None),
            row(50, 50, 50, None),
            row(50, 50, 60, Some(60))
        ]
    );
}

/// Others' conditions on the object are neither written nor a reason to write, and what is a time alone is no
/// reason until it is old.
#[test]
fn what_is_worth_a_write() {
    let mut world = World::new();
    let (old, _) = world.pass_in_words("up", "ok", "full");
    let mut foreign = old.clone();
    foreign.conditions.insert(0, condition::next(&[], "Example", "True", Reason::Healthy, "x", 1, START));
    let mut shuffled = old.clone();
    shuffled.conditions.reverse();
    assert!(!status::differs(&foreign, &old) && !status::differs(&shuffled, &old));
    world.stored = foreign;
    let (new, _) = world.pass_in_words("up", "ok", "full");
    assert!(condition::find(&new.conditions, "Example").is_none(), "it is its owner's");

    let mut later_ = old.clone();
    for (name, seconds, due) in [("soon", 599, false), ("after ten minutes", 600, true)] {
        later_.engines.as_mut().unwrap().observed_at = Some(time(later(START, seconds)));
        assert!(!status::differs(&old, &later_), "{name}");
        assert_eq!(status::is_heartbeat_due(&world.target, &old, &later_), due, "{name}");
    }
    let mut later_ = old.clone();
    for (name, seconds, due) in [("usage is read every hour", 3599, false), ("an hour later", 3600, true)] {
        later_.usage.as_mut().unwrap().observed_at = Some(time(later(START, seconds)));
        later_.usage.as_mut().unwrap().figures.end = Some(time(later(START, seconds)));
        assert!(!status::differs(&old, &later_), "{name}");
        assert_eq!(status::is_heartbeat_due(&world.target, &old, &later_), due, "{name}");
    }
    let mut ahead = old.clone();
    for (name, seconds, due) in [("clocks differ a little", -599, false), ("a clock has been put right", -600, true)] {
        ahead.engines.as_mut().unwrap().observed_at = Some(time(later(START, seconds)));
        assert_eq!(status::is_heartbeat_due(&world.target, &old, &ahead), due, "{name}");
    }
    later_.usage.as_mut().unwrap().figures.vcpu_hours = "3.001".to_owned();
    assert!(status::differs(&old, &later_));
}

/// CloudTenants that were created together write `observedAt` at the same time at first. Their intervals differ, so
/// after half a day no minute has many more writes than another.
#[test]
fn heartbeats_spread_within_half_a_day() {
    const TENANTS: u32 = 500;
    for interval in [60, 300] {
        let mut world = World::new();
        world.target.interval = Duration::from_secs(interval);
        let (first, _) = world.pass_in_words("up", "ok", "full");
        let mut writes = [0_u32; 60];
        for number in 0..TENANTS {
            let wait = shortened(world.target.interval, f64::from(number) / f64::from(TENANTS));
            let (mut old, mut new, mut after) = (first.clone(), first.clone(), Duration::ZERO);
            while after < Duration::from_secs(13 * 3600) {
                after += wait;
                new.engines.as_mut().unwrap().observed_at = Some(time(START.saturating_add(after).unwrap()));
                if status::is_heartbeat_due(&world.target, &old, &new) {
                    old.engines.as_mut().unwrap().observed_at = new.engines.as_ref().unwrap().observed_at.clone();
                    let minute = after.as_secs() / 60;
                    if (12 * 60..13 * 60).contains(&minute) {
                        writes[(minute % 60) as usize] += 1;
                    }
                }
            }
        }
        let mean = f64::from(writes.iter().sum::<u32>()) / writes.len() as f64;
        let (least, most) = (f64::from(*writes.iter().min().unwrap()), f64::from(*writes.iter().max().unwrap()));
        assert!(least > 0.5 * mean && most < 1.6 * mean, "{interval}: {least} to {most}, {mean} in the mean");
    }
}

/// What is seen and not believed yet keeps the data, but not the time: somebody has looked.
#[test]
fn a_verdict_below_the_threshold_is_a_look() {
    let mut world = World::new();
    world.set_thresholds(3);
    let (well, _) = world.pass_in_words("up", "ok", "full");
    world.now = later(START, 600);
    let (bad, _) = world.pass_in_words("down", "err", "full");
    assert!(!status::differs(&well, &bad));
    let at = |at| Some(time(later(START, at)));
    assert_eq!(well.engines.unwrap().observed_at, at(0));
    assert_eq!(bad.engines.unwrap().observed_at, at(600));
    assert_eq!(bad.caches.unwrap().observed_at, at(600));
}

/// One write: the generation, and Ready's message.
#[test]
fn a_suspended_tenant_is_written_once() {
    let mut world = World::new();
    world.pass_in_words("up", "ok", "full");
    world.stored.last_handled_reconcile_at = Some("before".to_owned());
    let old = world.stored.clone();
    (world.target.suspend, world.generation, world.now) = (true, 2, later(START, 60));
    let (first, _) = world.pass_in_words("-", "-", "-");
    let (second, _) = world.pass_in_words("-", "-", "-");
    assert!(status::differs(&old, &first) && !status::differs(&first, &second));
    let message = |status: &CloudTenantStatus| condition::find(&status.conditions, ty::READY).unwrap().message.clone();
    assert_eq!(message(&first), format!("Suspended: {}", message(&old)));
    let mut data = first.clone();
    data.conditions.clone_from(&old.conditions);
    assert_eq!(CloudTenantStatus { observed_generation: Some(1), ..data }, old, "requestedAt waits too");
}

/// A spec that cannot be read leaves the data, and is forgotten once the spec can be read.
#[test]
fn an_invalid_spec() {
    let mut world = World::new();
    world.pass_in_words("up", "ok", "full");
    let invalid = status::invalid("The spec is odd.", 2, &world.stored, later(START, 10));
    assert_eq!(kstatus(false, 2, &invalid), "Failed");
    assert_eq!(invalid.engines, world.stored.engines);
    for type_ in [ty::READY, ty::ENGINES_HEALTHY, ty::CACHES_HEALTHY, ty::USAGE_REPORTED, ty::STALLED] {
        assert_eq!(reason_of(&invalid, type_), "InvalidSpec");
    }
    world.stored = invalid;
    world.generation = 3;
    let (status, notices) = world.pass_in_words("up", "?ServerError", "full");
    assert_eq!(told(&notices), "", "nothing was out of sight");
    assert_eq!(reason_of(&status, ty::CACHES_HEALTHY), "Progressing");
    assert_eq!(reason_of(&status, ty::STALLED), "-", "the spec can be read");
}

/// Every reason there is, as all of the probes' failures: True is never said, and kstatus fails where a person must
/// act.
#[test]
fn every_failure() {
    let failures = Reason::ALL.iter().filter(|reason| matches!(reason.class(), Class::Passing | Class::Stalled));
    for reason in failures {
        let mut world = World::new();
        world.waited = true;
        let word = format!("!{reason}");
        let (status, _) = world.pass_in_words(&word, &word, &word);
        let failed = if reason.class() == Class::Stalled { "Failed" } else { "InProgress" };
        assert_eq!(kstatus(false, 1, &status), failed, "{reason}");
        assert_eq!(condition::find(&status.conditions, ty::READY).unwrap().status, "Unknown", "{reason}");
    }
}

/// requestedAt is handled by a pass that has ended.
#[test]
fn requested_at_is_handled_once_all_has_ended() {
    let mut world = World::new();
    let (status, _) = world.pass_in_words("...", "ok", "full");
    assert_eq!(status.last_handled_reconcile_at, None);
    let (status, _) = world.pass_in_words("up", "-", "-");
    assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("now"));
    let kept = world.compute();
    assert_eq!(kept.last_handled_reconcile_at.as_deref(), Some("now"));
}

/// A cloud that cannot be reached for a moment was asked nothing, so the request stays open.
#[test]
fn requested_at_is_not_handled_while_the_secret_cannot_be_read() {
    for (failure, handled) in
        [(failure("ConnectionFailed", true), None), (failure("SecretNotFound", false), Some("now"))]
    {
        let mut world = World::new();
        let (status, _) = world.pass_without_cloud(failure);
        assert_eq!(status.last_handled_reconcile_at.as_deref(), handled);
        let (status, _) = world.pass_in_words("up", "ok", "full");
        assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("now"));
    }
}

/// A line is: seconds | what happens, and the three probes | what the pass concludes besides status and events.
#[test]
fn what_else_a_pass_concludes() {
    let expected = lines(
        "
          0 | new up ok full                   | write next=280
         10 | - - -                            | nothing next=270
         20 | down - -                         | write next=260
         22 | up - -                           | write after 3 next=3
         60 | - ?ServerError -                 | nothing next=15
         80 | - ok -                           | nothing next=280
        100 | - !AuthenticationFailed -        | write next=5 secret
        110 | - !AuthenticationFailed -        | nothing next=30
        120 | - absent -                       | write next=30 tokens
        130 | suspend=true - - -               | write next=-
          0 | new !SecretNotFound !SecretNotFound !SecretNotFound | write next=5 secret
        200 | !SecretNotFound !SecretNotFound !SecretNotFound     | write next=30 secret
          0 | new ... ok full                  | write next=280
          1 | up - -                           | write next=279
          3 | - err -                          | write after 3 next=3
    ",
    );
    let mut world = World::new();
    let actual = expected.iter().map(|cells| {
        step(&mut world, cells);
        vec![cells[0].clone(), cells[1].clone(), world.concluded.clone()]
    });
    let actual: Vec<_> = actual.collect();
    compare("what else a pass concludes", &expected, &actual);
}
