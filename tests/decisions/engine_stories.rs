//! What people's clouds do, story by story: "The engines' verdict", rules 2, 3 and 5. Engines report every 10 s.

use crate::story::{story, story_without_restarts};

/// Heat lists what was killed until somebody cleans up.
#[test]
fn ghosts_after_restarts() {
    story(
        "one restart, two restarts, and a graceful stop between",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         40 | 200 h1; h2 down beat=41; h2 born=5 | AllEnginesUp 2/2 2 0 0 0    |
         80 | 200 h1; h2 down beat=81; h2 down beat=41 born=45; h2 born=5 | AllEnginesUp 2/2 2 0 0 0 |
        120 | 200 h1; h2 down beat=121; h2 down beat=81 born=85 | AllEnginesUp 1/1 1 0 0 0 |
        160 | 200 h1; h2 down beat=161; h2 down beat=121 born=125; h2 born=3 | AllEnginesUp 2/2 2 0 0 0 |
        200 | 200 h1; h2 down beat=201; h2 down beat=161 born=165; h2 down beat=39 born=43 | EnginesDown 1/2 1 1 0 0 | EngineDown h2
    ",
    );
    story(
        "a restarted worker leaves its siblings as they are",
        "
          0 | 200 h1 x3                         | AllEnginesUp 3/3 3 0 0 0     |
         30 | 200 h1 x2; h1 down beat=31; h1 born=9 | AllEnginesUp 3/3 3 0 0 0 |
         60 | 200 h1 x2; h1 down beat=61; h1 down beat=25 born=39 | EnginesDown 2/3 2 1 0 0 | EngineDown h1
    ",
    );
    story(
        "an engine that has not reported since it was created",
        "
          0 | 200 h1; h2 unreported born=5      | AllEnginesUp 2/2 2 0 0 0     |
         30 | 200 h1; h2 down unreported born=35 | EnginesDown 1/2 1 1 0 0     | EngineDown h2
    ",
    );
}

/// `forgetAfter` is measured from the newest report known.
#[test]
fn what_is_forgotten() {
    story(
        "scaled down two days ago",
        "
          0 | 200 h1; h2 down beat=172800       | AllEnginesUp 1/1 1 0 1 0     |
    ",
    );
    story(
        "a single old engine is down, and stays so",
        "
          0 | 200 h1 down beat=600000           | EnginesDown 0/1 0 1 0 0      | EngineDown h1
     200000 | 200 h1 down beat=800000           | EnginesDown 0/1 0 1 0 0      |
    ",
    );
    story(
        "one engine's clock is two days ahead: the others are not forgotten for that",
        "
          0 | 200 h1 beat=-172800; h2; h3       | AllEnginesUp 3/3 3 0 0 0     |
         30 | 200 h1 beat=-172800; h2; h3 down  | EnginesDown 2/3 2 1 0 0      | EngineDown h3
      86399 | 200 h1 beat=-172800; h2; h3 down  | EnginesDown 2/3 2 1 0 0      |
      86400 | 200 h1 beat=-172800; h2; h3 down  | AllEnginesUp 2/2 2 0 1 0     | EngineForgotten h3
    ",
    );
    story(
        "its clock is set right, and the engine dies later",
        "
          0 | 200 h1 beat=-172800; h2           | AllEnginesUp 2/2 2 0 0 0     |
         10 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         40 | 200 h1 down; h2                   | EnginesDown 1/2 1 1 0 0      | EngineDown h1
    ",
    );
}

/// While no engine answers, nobody can report: silence says nothing then.
#[test]
fn dead_engines_count_when_heat_is_back() {
    story(
        "all are dead for a week, one comes back, the other one a day later no longer counts",
        "
          0 | 200 h1; h2; h3 down beat=90000    | AllEnginesUp 2/2 2 0 1 0     |
         10 | 503                               | EngineUnresponsive ?/2 2 0 1 1 | EngineUnresponsive
         20 | 503                               | EngineUnresponsive ?/2 2 0 1 2 |
         30 | 503                               | EngineUnresponsive ?/2 2 0 1 3 |
         45 | 503                               | AllEnginesDown 0/2 0 2 1 4   | AllEnginesDown
     604800 | 503                               | AllEnginesDown 0/2 0 2 1 4   |
     604810 | 200 h1 down beat=604811; h1 born=5; h2 down; h3 down beat=694810 | EnginesDown 1/2 1 1 1 0 | EngineRecovered h1
     691210 | 200 h1; h2 down; h3 down beat=781210 | EnginesDown 1/2 1 1 1 0      |
     691211 | 200 h1; h2 down; h3 down beat=781211 | AllEnginesUp 1/1 1 0 2 0     | EngineForgotten h2
    ",
    );
    story(
        "the first to come back answers before it is listed",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1 | EngineUnresponsive
         20 | 503                               | EngineUnresponsive ?/2 2 0 0 2 |
         30 | 503                               | EngineUnresponsive ?/2 2 0 0 3 |
         45 | 503                               | AllEnginesDown 0/2 0 2 0 4   | AllEnginesDown
     604810 | 200 h1 down; h2 down              | EnginesDown 0/2 0 2 0 0      |
     604820 | 200 h1 down beat=604821; h1 born=5; h2 down | EnginesDown 1/2 1 1 0 0      | EngineRecovered h1
     604830 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     | EngineRecovered h2
    ",
    );
    story(
        "dead once more: the day is counted from the last time that Heat came back",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1 | EngineUnresponsive
         20 | 503                               | EngineUnresponsive ?/2 2 0 0 2 |
         30 | 503                               | EngineUnresponsive ?/2 2 0 0 3 |
         45 | 503                               | AllEnginesDown 0/2 0 2 0 4   | AllEnginesDown
      86500 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      | EngineRecovered h1
      86510 | 503                               | EnginesDown 1/2 1 1 0 0      |
      86520 | 503                               | EnginesDown 1/2 1 1 0 0      |
      86530 | 503                               | EnginesDown 1/2 1 1 0 0      |
      86545 | 503                               | AllEnginesDown 0/2 0 2 0 4   | AllEnginesDown
     172850 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      | EngineRecovered h1
     259250 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      |
     259260 | 200 h1; h2 down                   | AllEnginesUp 1/1 1 0 1 0     | EngineForgotten h2
    ",
    );
}

/// The same row with an earlier report than before. After a restart of the operator the rows are unknown.
#[test]
fn reports_that_go_back_in_time() {
    story_without_restarts(
        "a database is restored: engines get two intervals to report",
        "
          0 | 200 h1 id=a; h2 id=b              | AllEnginesUp 2/2 2 0 0 0     |
         10 | 200 h1 id=a down beat=7200; h2 id=b down beat=7200 | AllEnginesUp 2/2 2 0 0 0 |
         20 | 200 h1 id=a; h2 id=b down beat=7210 | AllEnginesUp 2/2 2 0 0 0   |
         29 | 200 h1 id=a; h2 id=b down beat=7219 | AllEnginesUp 2/2 2 0 0 0   |
         30 | 200 h1 id=a; h2 id=b down beat=7220 | EnginesDown 1/2 1 1 0 0    | EngineDown h2
         40 | 200 h1 id=a; h2 id=b              | AllEnginesUp 2/2 2 0 0 0     | EngineRecovered h2
    ",
    );
    story_without_restarts(
        "an engine whose clock is set back reports earlier times, and is judged by them",
        "
          0 | 200 h1 id=a; h2 id=b              | AllEnginesUp 2/2 2 0 0 0     |
         10 | 200 h1 id=a; h2 id=b down beat=3600 | AllEnginesUp 2/2 2 0 0 0   |
         20 | 200 h1 id=a; h2 id=b down beat=3600 | AllEnginesUp 2/2 2 0 0 0   |
         30 | 200 h1 id=a; h2 id=b down beat=3600 | EnginesDown 1/2 1 1 0 0    | EngineDown h2
         40 | 200 h1 id=a; h2 id=b down beat=3600 | EnginesDown 1/2 1 1 0 0    |
    ",
    );
    story_without_restarts(
        "another host is judged meanwhile, and an engine that was down stays down",
        "
          0 | 200 h1 id=a; h2 id=b; h3 id=c     | AllEnginesUp 3/3 3 0 0 0     |
         30 | 200 h1 id=a; h2 id=b; h3 id=c down | EnginesDown 2/3 2 1 0 0     | EngineDown h3
         60 | 200 h1 id=a down beat=3600; h2 id=b down; h3 id=c down beat=3600 | EnginesDown 1/3 1 2 0 0 | EngineDown h2
    ",
    );
    story(
        "another row of the host comes to light: a ghost as ever",
        "
          0 | 200 h1; h2 id=b                   | AllEnginesUp 2/2 2 0 0 0     |
         30 | 200 h1; h2 id=c down beat=3600    | AllEnginesUp 1/1 1 0 0 0     |
    ",
    );
}

/// A broker that is back answers one request with a 503.
#[test]
fn the_first_503_after_time_outs() {
    story(
        "the broker is back: a single 503 is not said",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | timeout                           | Timeout ?/2 2 0 0 0          | ObservationFailed engines
         90 | timeout                           | Timeout ?/2 2 0 0 0          |
        100 | 503                               | Timeout ?/2 2 0 0 0          |
        105 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     | ObservationRecovered engines
    ",
    );
    story(
        "nobody is there: the second one says so",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | timeout                           | Timeout ?/2 2 0 0 0          | ObservationFailed engines
         90 | timeout                           | Timeout ?/2 2 0 0 0          |
        100 | 503                               | Timeout ?/2 2 0 0 0          |
        105 | 503                               | EngineUnresponsive ?/2 2 0 0 2 | EngineUnresponsive, ObservationRecovered engines
        115 | 503                               | EngineUnresponsive ?/2 2 0 0 3 |
        131 | 503                               | AllEnginesDown 0/2 0 2 0 4   | AllEnginesDown
    ",
    );
    story(
        "whatever failures stand between",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | timeout                           | Timeout ?/2 2 0 0 0          | ObservationFailed engines
         90 | 503                               | Timeout ?/2 2 0 0 0          |
        100 | timeout                           | Timeout ?/2 2 0 0 0          |
        190 | ?ServiceUnavailable               | ServiceUnavailable ?/2 2 0 0 0 |
        200 | 503                               | EngineUnresponsive ?/2 2 0 0 2 | EngineUnresponsive, ObservationRecovered engines
    ",
    );
    story(
        "a 200 ends the wait",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | timeout                           | Timeout ?/2 2 0 0 0          | ObservationFailed engines
         90 | timeout                           | Timeout ?/2 2 0 0 0          |
        100 | ~503                              |                              |
        105 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     | ObservationRecovered engines
        115 | 503                               | EngineUnresponsive ?/2 2 0 0 1 | EngineUnresponsive
    ",
    );
    story(
        "a 504 and other failures are no time-outs",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | ?ServiceUnavailable               | AllEnginesUp 2/2 2 0 0 0     |
         25 | ?ConnectionFailed                 | ConnectionFailed ?/2 2 0 0 0 | ObservationFailed engines
         55 | 503                               | EngineUnresponsive ?/2 2 0 0 1 | EngineUnresponsive, ObservationRecovered engines
    ",
    );
    story(
        "what the status says already is confirmed at once",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1 | EngineUnresponsive
         15 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1 |
         25 | timeout                           | Timeout ?/2 2 0 0 1          | ObservationFailed engines
        105 | timeout                           | Timeout ?/2 2 0 0 1          |
        115 | 503                               | EngineUnresponsive ?/2 2 0 0 1 | ObservationRecovered engines
    ",
    );
    story(
        "it counts for failureThreshold",
        "
          0 | threshold=2                       |                              |
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | timeout                           | Timeout ?/2 2 0 0 0          | ObservationFailed engines
         90 | timeout                           | Timeout ?/2 2 0 0 0          |
        100 | 503                               | Timeout ?/2 2 0 0 0          |
        105 | 503                               | EngineUnresponsive ?/2 2 0 0 2 | EngineUnresponsive, ObservationRecovered engines
    ",
    );
}

/// Engines that were started after the request of the last 503 cannot be those that did not answer it.
#[test]
fn the_end_of_engine_unresponsive() {
    story(
        "the only engine is restarted gracefully: three 200s suffice",
        "
          0 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0     |
         70 | 503 took=60                       | EngineUnresponsive ?/1 1 0 0 1 | EngineUnresponsive
         75 | 200 h1 born=45                    | EngineUnresponsive ?/1 1 0 0 1 |
         80 | 200 h1 born=50                    | EngineUnresponsive ?/1 1 0 0 1 |
         85 | 200 h1 born=55                    | AllEnginesUp 1/1 1 0 0 0     | EngineRecovered
    ",
    );
    story(
        "two 503s of 60 s, and an engine that answers before it is listed",
        "
          0 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0     |
         70 | 503 took=60                       | EngineUnresponsive ?/1 1 0 0 1 | EngineUnresponsive
        135 | 503 took=60                       | EngineUnresponsive ?/1 1 0 0 2 |
        140 | 200                               | NoEnginesListed 0/? 0 0 0 2  |
        145 | 200 h1 born=4                     | EngineUnresponsive ?/1 1 0 0 2 |
        150 | 200 h1 born=9                     | AllEnginesUp 1/1 1 0 0 0     | EngineRecovered
    ",
    );
    story(
        "one of two is restarted: the other one may hang, and three report intervals have to pass",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         70 | 503 took=60                       | EngineUnresponsive ?/2 2 0 0 1 | EngineUnresponsive
         75 | 200 h1; h2 born=45                | EngineUnresponsive ?/2 2 0 0 1 |
         80 | 200 h1; h2 born=50                | EngineUnresponsive ?/2 2 0 0 1 |
         85 | 200 h1; h2 born=55                | EngineUnresponsive ?/2 2 0 0 1 |
        100 | 200 h1; h2 born=70                | AllEnginesUp 2/2 2 0 0 0     | EngineRecovered
    ",
    );
    story(
        "created before the request was sent: it may be the one that hangs",
        "
          0 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0     |
         70 | 503 took=60                       | EngineUnresponsive ?/1 1 0 0 1 | EngineUnresponsive
         75 | 200 h1 born=65                    | EngineUnresponsive ?/1 1 0 0 1 |
         80 | 200 h1 born=70                    | EngineUnresponsive ?/1 1 0 0 1 |
         85 | 200 h1 born=75                    | EngineUnresponsive ?/1 1 0 0 1 |
        100 | 200 h1 born=90                    | AllEnginesUp 1/1 1 0 0 0     | EngineRecovered
    ",
    );
    story(
        "both are restarted, what they left behind is no engine: one more 200 than engines",
        "
          0 | 200 h1; h2; h3                    | AllEnginesUp 3/3 3 0 0 0     |
         70 | 503 took=60                       | EngineUnresponsive ?/3 3 0 0 1 | EngineUnresponsive
         75 | 200 h1 down beat=71; h1 born=9; h2 born=9; h3 born=9 | EngineUnresponsive ?/3 3 0 0 1 |
         80 | 200 h1 down beat=76; h1 born=14; h2 born=14; h3 born=14 | EngineUnresponsive ?/3 3 0 0 1 |
         85 | 200 h1 down beat=81; h1 born=19; h2 born=19; h3 born=19 | EngineUnresponsive ?/3 3 0 0 1 |
         90 | 200 h1 down beat=86; h1 born=24; h2 born=24; h3 born=24 | AllEnginesUp 3/3 3 0 0 0 | EngineRecovered
    ",
    );
}
