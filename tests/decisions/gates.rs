//! `readyOn`: which probes `Ready`, `Stalled` and `observedAt` come from. The lines are those of `passes`.

use cloudtenant_operator::{
    api::{CloudTenantStatus, Policy, ProbeKind, condition_type as ty},
    decide::{condition, status},
};
use jiff::Timestamp;

use crate::{
    passes::passes,
    words::{START, later},
    world::{World, source},
};

#[test]
fn ready_is_the_worst_of_the_probes_in_ready_on() {
    passes("the others keep their conditions and events", "
          0 | new readyOn=Caches down ok full  | EnginesDown AllCachesHealthy Reported | True Healthy | | Current | EngineDown h2
         10 | up ok full                       | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current | EngineRecovered h2
         20 | up err full                      | AllEnginesUp CacheErrors Reported     | False CacheErrors | | InProgress | CachesUnhealthy
        400 | down err full                    | EnginesDown CacheErrors Reported      | False CacheErrors | | InProgress | EngineDown h2
        410 | readyOn=Engines - - -            | EnginesDown CacheErrors Reported      | False EnginesDown | | InProgress |
        420 | readyOn=Usage - - -              | EnginesDown CacheErrors Reported      | True Healthy | | Current |
        430 | readyOn=Usage,Caches - - -       | EnginesDown CacheErrors Reported      | False CacheErrors | | InProgress |
        440 | readyOn=Caches,Engines - - -     | EnginesDown CacheErrors Reported      | False EnginesDown | | InProgress |
        450 | readyOn=Usage,Caches,Engines - - - | EnginesDown CacheErrors Reported    | False EnginesDown | | InProgress |
        460 | readyOn=all - - -                | EnginesDown CacheErrors Reported      | False EnginesDown | | InProgress |
    ");
    passes("what could not be seen of the others", "
          0 | new readyOn=Usage !Timeout !ServerError full | Timeout ServerError Reported | True Healthy | | Current | ObservationFailed engines, caches
         10 | up ok -                          | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current | ObservationRecovered engines, caches
       8000 | up ok -                          | AllEnginesUp AllCachesHealthy ObservationStale | Unknown ObservationStale | | InProgress | ObservationFailed usage
       8010 | readyOn=Engines,Caches - - -     | AllEnginesUp AllCachesHealthy ObservationStale | True Healthy | | Current |
    ");
    passes("False before Unknown before True, of those alone", "
          0 | new readyOn=Caches,Usage none ok full | NoEnginesListed AllCachesHealthy Reported | True Healthy | | Current |
         10 | readyOn=Engines,Usage - err -    | NoEnginesListed CacheErrors Reported  | Unknown NoEnginesListed | | InProgress | CachesUnhealthy
         20 | readyOn=Engines,Caches - - -     | NoEnginesListed CacheErrors Reported  | False CacheErrors | | InProgress |
    ");
    passes("Observed looks at the same probes", "
          0 | new readyWhen=Observed readyOn=Engines down !Forbidden ... | EnginesDown Forbidden Progressing | True Observed | Reconciling Progressing | InProgress | EngineDown h2, ObservationFailed caches
         10 | - - full                         | EnginesDown Forbidden Reported        | True Observed | | Current |
         20 | readyOn=Engines,Caches - - -     | EnginesDown Forbidden Reported        | Unknown Forbidden | Stalled Forbidden | Failed |
         30 | readyOn=Usage - - -              | EnginesDown Forbidden Reported        | True Healthy | | Current |
    ");
    passes("in progress until all probes of a new generation have ended", "
          0 | new readyOn=Caches ... ok full   | Progressing AllCachesHealthy Reported | True Healthy | Reconciling Progressing | InProgress |
         20 | up - -                           | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current |
         30 | generation=2 - - ...             | AllEnginesUp AllCachesHealthy Reported | True Healthy | Reconciling Progressing | InProgress |
    ");
}

#[test]
fn stalled_comes_from_the_probes_in_ready_on() {
    passes("a person must act for the others, and nobody waits for that", "
          0 | new readyOn=Caches !Forbidden ok !EndpointNotFound | Forbidden AllCachesHealthy EndpointNotFound | True Healthy | | Current | ObservationFailed engines, usage
         10 | readyOn=Caches,Usage - - -       | Forbidden AllCachesHealthy EndpointNotFound | Unknown EndpointNotFound | Stalled EndpointNotFound | Failed |
         20 | readyOn=Usage,Engines - - -      | Forbidden AllCachesHealthy EndpointNotFound | Unknown Forbidden | Stalled Forbidden | Failed |
         30 | - err -                          | Forbidden CacheErrors EndpointNotFound | Unknown Forbidden | Stalled Forbidden | Failed | CachesUnhealthy
         40 | readyOn=Caches - - -             | Forbidden CacheErrors EndpointNotFound | False CacheErrors | | InProgress |
         50 | readyOn=Caches,Engines - - -     | Forbidden CacheErrors EndpointNotFound | False CacheErrors | Stalled Forbidden | Failed |
    ");
    passes("what fails all fails those, too", "
          0 | new readyOn=Usage !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
        120 | !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | Stalled SecretNotFound | Failed | ObservationFailed engines, caches, usage
        130 | up ok full                       | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current | ObservationRecovered engines, caches, usage
          0 | new readyOn=Caches !InvalidCloudConfig !InvalidCloudConfig !InvalidCloudConfig | InvalidCloudConfig InvalidCloudConfig InvalidCloudConfig | Unknown InvalidCloudConfig | Stalled InvalidCloudConfig | Failed | ObservationFailed engines, caches, usage
          0 | new readyOn=Engines !AuthenticationFailed !AuthenticationFailed !AuthenticationFailed | AuthenticationFailed AuthenticationFailed AuthenticationFailed | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed | AuthenticationFailed
    ");
    passes("the engines' own credential fails them alone", "
          0 | new readyOn=Caches,Usage own=admin !AuthenticationFailed ok full | AuthenticationFailed AllCachesHealthy Reported | True Healthy | | Current | AuthenticationFailed engines
         10 | readyOn=Engines - - -            | AuthenticationFailed AllCachesHealthy Reported | Unknown AuthenticationFailed | Stalled AuthenticationFailed | Failed |
         20 | up !AuthenticationFailed !AuthenticationFailed | AllEnginesUp AuthenticationFailed AuthenticationFailed | True Healthy | | Current | AuthenticationFailed, ObservationRecovered engines
    ");
    passes("the engines' own entry is missing: nothing is Stalled later, so it is told at once, and only once", "
          0 | new readyOn=Caches own=admin !CloudNotFound ok full | CloudNotFound AllCachesHealthy Reported | True Healthy | | Current | ObservationFailed engines
        120 | !CloudNotFound - -        | CloudNotFound AllCachesHealthy Reported | True Healthy | | Current |
        130 | up - -                           | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current | ObservationRecovered engines
    ");
    passes("while the Secret itself is waited for, all of them wait", "
          0 | new readyOn=Caches own=admin !SecretNotFound !SecretNotFound !SecretNotFound | SecretNotFound SecretNotFound SecretNotFound | Unknown SecretNotFound | | InProgress |
         60 | !CloudNotFound ok full           | CloudNotFound AllCachesHealthy Reported | True Healthy | | Current | ObservationFailed engines
    ");
}

#[test]
fn nothing_is_observed_where_nothing_counts() {
    passes("by the spec: at once", "
          0 | new readyOn=Caches caches=off up - full | AllEnginesUp ProbeDisabled Reported | Unknown NothingObserved | Stalled NothingObserved | Failed |
         10 | readyOn=Caches,Engines - - -     | AllEnginesUp ProbeDisabled Reported   | True Healthy | | Current |
         20 | readyWhen=Observed readyOn=Caches - - - | AllEnginesUp ProbeDisabled Reported | Unknown NothingObserved | Stalled NothingObserved | Failed |
          0 | new readyOn=Caches caches=off !SecretNotFound - !SecretNotFound | SecretNotFound ProbeDisabled SecretNotFound | Unknown NothingObserved | Stalled NothingObserved | Failed | ObservationFailed engines, usage
          0 | new readyOn=Caches caches=off ... - ... | Progressing ProbeDisabled Progressing | Unknown NothingObserved | Reconciling Progressing | InProgress |
    ");
    passes("by the catalogue: once it was read", "
          0 | new readyOn=Caches up ... full   | AllEnginesUp Progressing Reported     | Unknown Progressing | Reconciling Progressing | InProgress |
         10 | - absent -                       | AllEnginesUp ServiceNotOffered Reported | Unknown NothingObserved | Stalled NothingObserved | Failed |
         20 | - !ServerError -                 | AllEnginesUp ServerError Reported     | Unknown ServerError | | InProgress | ObservationFailed caches
          0 | new readyOn=Caches ... absent full | Progressing ServiceNotOffered Reported | Unknown NothingObserved | Reconciling Progressing | InProgress |
          0 | new readyOn=Engines,Caches engines=off - !ConnectionFailed full | ProbeDisabled ConnectionFailed Reported | Unknown ConnectionFailed | | InProgress | ObservationFailed caches
         20 | - absent -                       | ProbeDisabled ServiceNotOffered Reported | Unknown NothingObserved | Stalled NothingObserved | Failed |
    ");
    passes("another generation may name another region, so its catalogue is waited for", "
          0 | new absent absent absent         | ServiceNotOffered ServiceNotOffered ServiceNotOffered | Unknown NothingObserved | Stalled NothingObserved | Failed |
         10 | generation=2 ... ... ...         | ServiceNotOffered ServiceNotOffered ServiceNotOffered | Unknown Progressing | Reconciling Progressing | InProgress |
         20 | absent absent absent             | ServiceNotOffered ServiceNotOffered ServiceNotOffered | Unknown NothingObserved | Stalled NothingObserved | Failed |
         30 | generation=3 cloud=b ... ... ... | Progressing Progressing Progressing   | Unknown Progressing | Reconciling Progressing | InProgress |
         40 | up ok full                       | AllEnginesUp AllCachesHealthy Reported | True Healthy | | Current |
    ");
}

fn message(status: &CloudTenantStatus, type_: &str) -> String {
    condition::find(&status.conditions, type_).unwrap().message.clone()
}

#[test]
fn messages_say_what_counts() {
    let every = "Nothing is observed: every probe is disabled or not offered by this cloud.";
    let named = "Nothing counts for Ready: every probe in readyOn is disabled or not offered by this cloud, so name \
                 another probe in readyOn.";
    let caches = &[ProbeKind::Caches][..];
    for (name, ready_on, observed, off, [engines, caches, usage], expected) in [
        ("all well", &[][..], false, false, ["up", "ok", "full"], "All enabled probes are healthy."),
        (
            "those that count",
            caches,
            false,
            false,
            ["down", "ok", "full"],
            "All probes that count for Ready are healthy.",
        ),
        (
            "Observed",
            &[ProbeKind::Engines],
            true,
            false,
            ["down", "!Timeout", "full"],
            "All probes that count for Ready returned a result. Orchestration engines are down on h2: start heat-engine \
             there, or run \"heat-manage service clean\" if it was removed on purpose.",
        ),
        ("nothing offered", &[], false, false, ["absent", "absent", "absent"], every),
        ("nothing offered, and readyOn is not why", caches, false, false, ["absent", "absent", "absent"], every),
        ("readyOn is why: not offered", caches, false, false, ["down", "absent", "absent"], named),
        ("readyOn is why: disabled", caches, false, true, ["absent", "-", "!Forbidden"], named),
    ] {
        let mut world = World::new();
        world.target.ready_on = ready_on.to_vec();
        world.target.ready_when_observed = observed;
        if off {
            world.target.probes[ProbeKind::Caches].policy = Policy::Disabled;
        }
        let (status, _) = world.pass_in_words(engines, caches, usage);
        assert_eq!(message(&status, ty::READY), expected, "{name}");
        if expected == every || expected == named {
            assert_eq!(message(&status, ty::STALLED), expected, "{name}");
        }
    }
}

/// Seconds after the start.
fn observed_at(status: &CloudTenantStatus) -> Option<i64> {
    status.observed_at.as_ref().map(|at: &_| Timestamp::duration_since(at.0, START).as_secs())
}

#[test]
fn observed_at_is_the_oldest_of_what_counts() {
    let mut world = World::new();
    let mut expect = |name: &str, second: i64, change: &dyn Fn(&mut World), looks: [&str; 3], expected: Option<i64>| {
        change(&mut world);
        world.now = later(START, second);
        let (status, _) = world.pass_in_words(looks[0], looks[1], looks[2]);
        assert_eq!(observed_at(&status), expected, "{name}");
        // Written, whether or not it is worth a write.
        world.stored = status;
    };
    let ready_on = |names: &'static [ProbeKind]| move |world: &mut World| world.target.ready_on = names.to_vec();
    let same = |_: &mut World| {};
    expect("nothing was seen", 0, &same, ["...", "...", "..."], None);
    expect("the first one", 10, &same, ["...", "ok", "..."], Some(10));
    expect("the oldest of those that there are", 20, &same, ["up", "-", "..."], Some(10));
    expect("one more", 30, &same, ["-", "-", "full"], Some(10));
    expect("a failure is no observation", 40, &same, ["!Timeout", "!Timeout", "-"], Some(10));
    expect("the next verdicts", 300, &same, ["up", "err", "-"], Some(30));
    expect("of those in readyOn", 310, &ready_on(&[ProbeKind::Engines]), ["-", "ok", "-"], Some(300));
    expect("of two", 320, &ready_on(&[ProbeKind::Caches, ProbeKind::Usage]), ["-", "-", "-"], Some(30));
    expect("a probe that is not offered has no data", 330, &ready_on(&[ProbeKind::Caches]), ["-", "-", "-"], Some(310));
    expect("suspended: it stays", 340, &|world| world.target.suspend = true, ["-", "-", "-"], Some(310));
    expect("and goes on", 350, &|world| world.target.suspend = false, ["-", "ok", "-"], Some(350));
    expect(
        "disabled: no data",
        360,
        &|world| world.target.probes[ProbeKind::Caches].policy = Policy::Disabled,
        ["-", "-", "-"],
        None,
    );
    expect("all probes count again", 370, &ready_on(&[]), ["up", "-", "-"], Some(30));
    expect("another cloud", 380, &|world| world.source = Some(source("b")), ["...", "-", "..."], None);
}

#[test]
fn observed_at_is_no_reason_to_write() {
    let mut world = World::new();
    let (old, _) = world.pass_in_words("up", "ok", "full");
    let mut new = old.clone();
    for (name, at) in [("later", Some(later(START, 5000))), ("gone", None)] {
        new.observed_at = at.map(cloudtenant_operator::api::time);
        assert!(!status::differs(&old, &new) && !status::differs(&new, &old), "{name}");
        assert!(!status::is_heartbeat_due(&world.target, &old, &new), "{name}");
    }
    world.now = later(START, 60);
    let next = world.compute();
    assert!(!status::differs(&old, &next));
    let invalid = status::invalid("The spec is odd.", 2, &old, world.now);
    assert_eq!(invalid.observed_at, old.observed_at, "data stay, and so does their age");
}
