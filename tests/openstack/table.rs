//! The table of scenarios. Whatever a row does not name must not be seen, health apart.

use crate::scenario::{
    Action::{
        ClockIsOff, EnginesBy, Holds, Keystone, Lab, LoggedInAgain, Often, Request, RestartOperator, Says, Secret,
        TrustCertificate, UsageIsExact,
    },
    Scenario,
    Seen::{self, Condition, Event, Summary},
    Step::{self, Do, See, Stay},
    Tenant, seconds,
};

const ENGINES: &str = "EnginesHealthy";
const USAGE: &str = "UsageReported";

/// Longer than any of these takes on a busy machine.
const SOON: std::time::Duration = seconds(120);
const LATE: std::time::Duration = seconds(300);

const UP: Seen = Condition(ENGINES, "True", "AllEnginesUp");
const READY: Seen = Condition("Ready", "True", "Healthy");

/// Services keep what Keystone said of a token for five minutes, and forget it when they are restarted.
const FORGET_TOKENS: Step = Do(Lab("restart heat-api nova-api"));

const ENGINE_2_DOWN: Step = See(
    SOON,
    &[
        Condition(ENGINES, "False", "EnginesDown"),
        Condition("Ready", "False", "EnginesDown"),
        Summary("1/2"),
        Event("EngineDown", "engine-2.lab"),
    ],
);
const ENGINE_2_UP: Step = See(LATE, &[UP, READY, Summary("2/2"), Event("EngineRecovered", "engine-2.lab")]);

const LOGIN_REFUSED: Step = See(
    SOON,
    &[
        Condition(ENGINES, "Unknown", "AuthenticationFailed"),
        Condition("Stalled", "True", "AuthenticationFailed"),
        Condition("Ready", "Unknown", "AuthenticationFailed"),
        Event("AuthenticationFailed", ""),
    ],
);

const HEAT_SILENT: Step = See(
    LATE,
    &[
        Condition(ENGINES, "Unknown", "Timeout"),
        Condition("Ready", "Unknown", "Timeout"),
        Summary("?/2"),
        Event("ObservationFailed", "engines"),
    ],
);
const HEAT_SEEN: Step = See(LATE, &[UP, READY, Summary("2/2"), Event("ObservationRecovered", "engines")]);

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "engine-killed",
        what: "one of two engines is killed, and started again",
        tenant: Tenant::USUAL,
        steps: &[Do(Lab("kill heat-engine-2")), ENGINE_2_DOWN, Do(Lab("start heat-engine-2")), ENGINE_2_UP],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "tenant-without-servers",
        what: "a tenant that has never had a server has used nothing",
        tenant: Tenant { project: "tenant-empty", ..Tenant::USUAL },
        steps: &[Do(UsageIsExact)],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "engine-restarted",
        what: "an engine is killed and started at once: the row that it leaves behind is no engine that is down",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("kill heat-engine-2")),
            Do(Lab("start heat-engine-2")),
            Stay(seconds(60)),
            Do(Holds(
                "select count(*) > 0 from heat.service where host = 'engine-2.lab' and deleted_at is null \
                 and updated_at < utc_timestamp() - interval 20 second",
            )),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "engine-hung",
        what: "one of two engines hangs for three minutes: never AllEnginesDown, though Heat says so every other time",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("hang heat-engine-2")),
            See(SOON, &[Condition(ENGINES, "False", "EnginesDown"), Event("EngineDown", "engine-2.lab")]),
            Stay(seconds(180)),
            Do(Lab("continue heat-engine-2")),
            ENGINE_2_UP,
        ],
        may: &["EngineUnresponsive"],
        after: &[],
    },
    Scenario {
        name: "all-killed",
        what: "all engines are killed, and started again",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("kill heat-engine-1 heat-engine-2")),
            See(SOON, &[Condition(ENGINES, "False", "EngineUnresponsive"), Event("EngineUnresponsive", "")]),
            See(
                SOON,
                &[
                    Condition(ENGINES, "False", "AllEnginesDown"),
                    Condition("Ready", "False", "AllEnginesDown"),
                    Summary("0/2"),
                    Event("AllEnginesDown", ""),
                ],
            ),
            Do(Lab("start heat-engine-1 heat-engine-2")),
            See(
                LATE,
                &[
                    UP,
                    READY,
                    Summary("2/2"),
                    Event("EngineRecovered", "engine-1.lab"),
                    Event("EngineRecovered", "engine-2.lab"),
                ],
            ),
        ],
        // The first one up tells of the other.
        may: &["EnginesDown"],
        after: &[],
    },
    Scenario {
        name: "keystone-stopped",
        what: "Keystone is stopped for two minutes: services go on answering those whom they know",
        tenant: Tenant::USUAL,
        steps: &[
            FORGET_TOKENS,
            Do(Request),
            Do(Lab("stop keystone")),
            Stay(seconds(120)),
            Do(Lab("start keystone")),
            Stay(seconds(20)),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "keystone-gone",
        what: "Keystone is stopped, and services know nobody: their errors say nothing about engines",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("stop keystone")),
            FORGET_TOKENS,
            See(LATE, &[Summary("?/2"), Event("ObservationFailed", "engines")]),
            Stay(seconds(60)),
            Do(Lab("start keystone")),
            See(LATE, &[UP, Summary("2/2"), READY]),
        ],
        // 503 of those that have met Keystone before, 500 of those that have not; the usage follows.
        may: &["ServiceUnavailable", "ServerError", "ObservationFailed", "ObservationRecovered"],
        after: &[],
    },
    Scenario {
        name: "unreachable",
        what: "heat-api and nova-api are killed: what cannot be seen is Unknown, never False",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("kill heat-api nova-api")),
            See(
                LATE,
                &[
                    Condition(ENGINES, "Unknown", "ConnectionFailed"),
                    Condition("Ready", "Unknown", "ConnectionFailed"),
                    Summary("?/2"),
                    Event("ObservationFailed", "engines"),
                ],
            ),
            See(LATE, &[Condition(USAGE, "Unknown", "ConnectionFailed"), Event("ObservationFailed", "usage")]),
            Do(Lab("start heat-api nova-api")),
            See(LATE, &[UP, Summary("2/2"), Condition(USAGE, "True", "Reported"), READY]),
        ],
        may: &["ObservationRecovered"],
        after: &[],
    },
    Scenario {
        name: "heat-hung",
        what: "heat-api hangs, and goes on",
        tenant: Tenant::USUAL,
        steps: &[Do(Lab("hang heat-api")), HEAT_SILENT, Stay(seconds(30)), Do(Lab("continue heat-api")), HEAT_SEEN],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "password-changed",
        what: "the password is changed, and later the Secret: that heals by itself",
        tenant: Tenant { cloud: "changing", ..Tenant::USUAL },
        steps: &[
            Do(Keystone("password changing new-secret")),
            FORGET_TOKENS,
            LOGIN_REFUSED,
            Do(Secret("changing-secret", "new-secret")),
            See(SOON, &[UP, READY]),
        ],
        may: &["AuthenticationFailed", "ObservationRecovered"],
        after: &[],
    },
    Scenario {
        name: "not-an-administrator",
        what: "a credential with the reader's role alone: Heat refuses it, the usage is told all the same",
        tenant: Tenant { cloud: "reader", starts_ready: false, ..Tenant::USUAL },
        steps: &[
            See(
                SOON,
                &[
                    Condition(ENGINES, "Unknown", "Forbidden"),
                    Condition("Stalled", "True", "Forbidden"),
                    Condition("Ready", "Unknown", "Forbidden"),
                    Condition("CachesHealthy", "True", "AllCachesHealthy"),
                    Condition(USAGE, "True", "Reported"),
                    Event("ObservationFailed", "engines: Forbidden"),
                ],
            ),
            Do(UsageIsExact),
            Stay(seconds(40)),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "system-scope",
        what: "Heat goes by its newer default policy: a project's administrator is refused, one of the system is not",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("new-policy")),
            See(
                SOON,
                &[
                    Condition(ENGINES, "Unknown", "Forbidden"),
                    Condition("Stalled", "True", "Forbidden"),
                    Condition("Ready", "Unknown", "Forbidden"),
                    Event("ObservationFailed", "engines: Forbidden"),
                ],
            ),
            Stay(seconds(30)),
            Do(EnginesBy("system")),
            See(SOON, &[UP, READY, Summary("2/2"), Event("ObservationRecovered", "engines")]),
            // Caches and usage are still asked for by the entry that has a project.
            Stay(seconds(70)),
            Do(Request),
            Do(UsageIsExact),
            Do(Lab("kill heat-engine-2")),
            ENGINE_2_DOWN,
            Do(Lab("start heat-engine-2")),
            ENGINE_2_UP,
        ],
        may: &[],
        after: &["restart heat-api"],
    },
    Scenario {
        name: "trust",
        what: "a user without any role logs in with a trust, and has what was entrusted to it",
        tenant: Tenant { cloud: "trustee", ..Tenant::USUAL },
        steps: &[Do(UsageIsExact)],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "access-rules",
        what: "an application credential whose access rules are for Nova alone: Heat refuses it, and the message names them",
        tenant: Tenant { cloud: "rules", starts_ready: false, ..Tenant::USUAL },
        steps: &[
            See(
                SOON,
                &[
                    Condition(ENGINES, "Unknown", "TokenRejected"),
                    Condition("Stalled", "True", "TokenRejected"),
                    Condition("Ready", "Unknown", "TokenRejected"),
                    Condition("CachesHealthy", "True", "AllCachesHealthy"),
                    Condition(USAGE, "True", "Reported"),
                    Event("ObservationFailed", "engines: TokenRejected"),
                ],
            ),
            Do(Says(ENGINES, "access rules")),
            Do(UsageIsExact),
            Stay(seconds(40)),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "domain-token",
        what: "a token for a domain names no project: the message says that, and not that the services are missing",
        tenant: Tenant { cloud: "domain", starts_ready: false, ..Tenant::USUAL },
        steps: &[
            See(
                SOON,
                &[
                    Condition(ENGINES, "Unknown", "InvalidCloudConfig"),
                    Condition("Stalled", "True", "InvalidCloudConfig"),
                    Condition("Ready", "Unknown", "InvalidCloudConfig"),
                    Condition("CachesHealthy", "Unknown", "InvalidCloudConfig"),
                    Event("ObservationFailed", "InvalidCloudConfig"),
                ],
            ),
            Do(Says(ENGINES, "project")),
            Stay(seconds(40)),
        ],
        may: &["Reported", "InvalidCloudConfig"],
        after: &[],
    },
    Scenario {
        name: "self-signed",
        what: "Keystone's certificate signs itself, as plain openssl req -x509 makes it, and then stands in the Secret",
        tenant: Tenant { cloud: "tls", starts_ready: false, ..Tenant::USUAL },
        steps: &[
            See(
                SOON,
                &[
                    Condition("Stalled", "True", "CertificateUntrusted"),
                    Condition("Ready", "Unknown", "CertificateUntrusted"),
                    Event("ObservationFailed", "CertificateUntrusted"),
                ],
            ),
            Do(Says("Ready", "cacert")),
            Do(TrustCertificate),
            See(LATE, &[UP, READY, Summary("2/2"), Event("ObservationRecovered", "engines")]),
            Do(UsageIsExact),
        ],
        may: &["CertificateUntrusted"],
        after: &[],
    },
    Scenario {
        name: "unknown-project",
        what: "Keystone does not know the project: neither caches nor usage, where Nova would say that nothing was used",
        tenant: Tenant { project: "unknown", starts_ready: false, ..Tenant::USUAL },
        steps: &[
            See(
                SOON,
                &[
                    Condition("CachesHealthy", "Unknown", "ProjectNotFound"),
                    Condition(USAGE, "Unknown", "ProjectNotFound"),
                    Condition("Stalled", "True", "ProjectNotFound"),
                    Condition("Ready", "Unknown", "ProjectNotFound"),
                    UP,
                    Summary("2/2"),
                    Event("ObservationFailed", "caches, usage: ProjectNotFound"),
                ],
            ),
            Stay(seconds(40)),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "credential-deleted",
        what: "the application credential is deleted: Keystone answers 404, which is a refused login",
        tenant: Tenant { cloud: "leaver-ac", ..Tenant::USUAL },
        steps: &[Do(Keystone("delete-credential leaver")), FORGET_TOKENS, LOGIN_REFUSED, Stay(seconds(30))],
        may: &["AuthenticationFailed"],
        after: &[],
    },
    Scenario {
        name: "token-revoked",
        what: "the token is revoked: a new login, and nothing to tell",
        tenant: Tenant { cloud: "changing", ..Tenant::USUAL },
        steps: &[Do(Keystone("revoke changing")), FORGET_TOKENS, Do(Request), Do(LoggedInAgain), Stay(seconds(70))],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "broker-dead",
        what: "RabbitMQ is killed: Heat does not answer at all, which says nothing about its engines",
        tenant: Tenant::USUAL,
        steps: &[Do(Lab("kill rabbitmq")), HEAT_SILENT, Stay(seconds(30)), Do(Lab("start rabbitmq")), HEAT_SEEN],
        may: &[],
        after: &["restart heat-api"],
    },
    Scenario {
        name: "broker-frozen",
        what: "RabbitMQ hangs, and goes on",
        tenant: Tenant::USUAL,
        steps: &[Do(Lab("hang rabbitmq")), HEAT_SILENT, Stay(seconds(30)), Do(Lab("continue rabbitmq")), HEAT_SEEN],
        may: &[],
        after: &["restart heat-api"],
    },
    Scenario {
        name: "rolling-restart",
        what: "each engine in its turn is stopped gracefully and started, ten rounds: nothing was ever down",
        tenant: Tenant::USUAL,
        steps: &[Do(Often(10, "restart heat-engine-1 heat-engine-2")), Stay(seconds(40))],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "rolling-crash",
        what: "each engine in its turn is killed and started at once, five rounds: rows of the dead pile up",
        tenant: Tenant::USUAL,
        steps: &[Do(Often(5, "crash heat-engine-1 heat-engine-2")), Stay(seconds(60))],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "operator-restarted",
        what: "the operator is restarted while an engine is down, and while none is left: nothing is told twice",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("kill heat-engine-2")),
            ENGINE_2_DOWN,
            Do(RestartOperator),
            Stay(seconds(40)),
            Do(Lab("kill heat-engine-1")),
            See(SOON, &[Condition(ENGINES, "False", "AllEnginesDown"), Summary("0/2"), Event("AllEnginesDown", "")]),
            Do(RestartOperator),
            Stay(seconds(40)),
            Do(Lab("start heat-engine-1 heat-engine-2")),
            See(LATE, &[UP, READY, Event("EngineRecovered", "engine-1.lab"), Event("EngineRecovered", "engine-2.lab")]),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "worker-killed",
        what: "one of an engine's three workers dies, and comes back",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("workers heat-engine-2 3")),
            See(SOON, &[Summary("4/4")]),
            Do(Lab("kill-worker heat-engine-2")),
            See(
                SOON,
                &[Condition(ENGINES, "False", "EnginesDown"), Summary("3/4"), Event("EngineDown", "engine-2.lab")],
            ),
            Do(Lab("continue heat-engine-2")),
            See(SOON, &[UP, READY, Summary("4/4"), Event("EngineRecovered", "engine-2.lab")]),
        ],
        may: &[],
        after: &["workers heat-engine-2 1"],
    },
    Scenario {
        name: "old-ghost",
        what: "an engine that once was killed is stopped gracefully: the row of then comes to light, and is no engine",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("kill heat-engine-2")),
            Do(Lab("start heat-engine-2")),
            Stay(seconds(40)),
            Do(Lab("stop heat-engine-2")),
            See(SOON, &[Summary("1/1")]),
            Do(Holds("select count(*) = 1 from heat.service where host = 'engine-2.lab' and deleted_at is null")),
            Stay(seconds(40)),
            Do(Lab("start heat-engine-2")),
            See(SOON, &[Summary("2/2")]),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "scaled-down",
        what: "an engine is gone for good: after forgetAfter, a minute here, it no longer counts",
        tenant: Tenant { forget_after: "1m", ..Tenant::USUAL },
        steps: &[
            Do(Lab("kill heat-engine-2")),
            ENGINE_2_DOWN,
            See(SOON, &[UP, READY, Summary("1/1"), Event("EngineForgotten", "engine-2.lab")]),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "keystone-hung",
        what: "Keystone hangs for a minute and a half",
        tenant: Tenant::USUAL,
        steps: &[
            FORGET_TOKENS,
            Do(Request),
            Do(Lab("hang keystone")),
            Stay(seconds(90)),
            Do(Lab("continue keystone")),
            Stay(seconds(20)),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "keystone-without-database",
        what: "Keystone loses its database for a minute and a half",
        tenant: Tenant::USUAL,
        steps: &[
            FORGET_TOKENS,
            Do(Request),
            Do(Lab("kill keystone-db")),
            Stay(seconds(90)),
            Do(Lab("start keystone-db")),
            Stay(seconds(20)),
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "heat-without-database",
        what: "Heat loses its database and is asked the moment it is back, before any engine has reported: none was down",
        tenant: Tenant::USUAL,
        steps: &[
            Do(Lab("kill heat-db")),
            See(LATE, &[Summary("?/2"), Event("ObservationFailed", "engines")]),
            Stay(seconds(30)),
            Do(Lab("start heat-db")),
            Do(Request),
            Stay(seconds(20)),
            HEAT_SEEN,
        ],
        may: &["ServerError", "Timeout"],
        after: &[],
    },
    Scenario {
        name: "big-tenant",
        what: "2,500 servers, in three pages: the sum is what the database comes to",
        tenant: Tenant { project: "tenant-big", ..Tenant::USUAL },
        steps: &[Do(UsageIsExact)],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "clock-ahead",
        what: "the operator's clock is ten minutes ahead of the cloud's",
        tenant: Tenant { clock: Some("+10m"), ..Tenant::USUAL },
        steps: &[
            Do(ClockIsOff(10)),
            Do(UsageIsExact),
            Do(Lab("kill heat-engine-2")),
            ENGINE_2_DOWN,
            Do(Lab("start heat-engine-2")),
            ENGINE_2_UP,
        ],
        may: &[],
        after: &[],
    },
    Scenario {
        name: "clock-behind",
        what: "the operator's clock is ten minutes behind the cloud's",
        tenant: Tenant { clock: Some("-10m"), ..Tenant::USUAL },
        steps: &[
            Do(ClockIsOff(-10)),
            Do(UsageIsExact),
            Do(Lab("kill heat-engine-2")),
            ENGINE_2_DOWN,
            Do(Lab("start heat-engine-2")),
            ENGINE_2_UP,
        ],
        may: &[],
        after: &[],
    },
];
