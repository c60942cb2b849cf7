//! What is said of the engines, answer by answer. "The engines' verdict", rules 4 to 6; engines report every 10 s,
//! so two intervals are 20 s and three are 30 s.
//!
//! A line is: seconds | answer | reason summary up down forgotten unanswered | events. `~` before an answer: the
//! tenant makes no pass at it.

use crate::{
    story::story,
    words::later,
    world::{World, said},
};

#[test]
fn all_up_some_down_none() {
    story(
        "one dies and comes back",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         15 | 200 h1; h2 down                   | AllEnginesUp 2/2 2 0 0 0     |
         30 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      | EngineDown h2
         40 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      |
         50 | 200 h1; h2 down beat=51; h2 born=5 | AllEnginesUp 2/2 2 0 0 0     | EngineRecovered h2
    ",
    );
    story(
        "a first visit that finds things bad says so",
        "
          0 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      | EngineDown h2
    ",
    );
    story(
        "nothing to count",
        "
          0 | 200                               | NoEnginesListed 0/0 0 0 0 0  |
         10 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0     |
         20 | 200                               | NoEnginesListed 0/0 0 0 0 0  |
         30 | timeout                           | Timeout ?/0 0 0 0 0          | ObservationFailed engines
         40 | 200                               | NoEnginesListed 0/0 0 0 0 0  | ObservationRecovered engines
    ",
    );
    story(
        "one worker of three dies",
        "
          0 | 200 h1 x3                         | AllEnginesUp 3/3 3 0 0 0     |
         30 | 200 h1 x2; h1 down beat=31        | EnginesDown 2/3 2 1 0 0      | EngineDown h1
         50 | 200 h1 x2; h1 born=20; h1 down beat=51 | AllEnginesUp 3/3 3 0 0 0 | EngineRecovered h1
    ",
    );
    story(
        "a whole host of three workers dies",
        "
          0 | 200 h1 x3; h2                     | AllEnginesUp 4/4 4 0 0 0     |
         30 | 200 h1 x3 down; h2                | EnginesDown 1/4 1 3 0 0      | EngineDown h1
    ",
    );
    story("more than five hosts at once are one event", "
          0 | 200 h01..07                       | AllEnginesUp 7/7 7 0 0 0     |
         30 | 200 h01..06 down; h07             | EnginesDown 1/7 1 6 0 0      | EngineDown h01,h02,h03,h04,h05,h06
         40 | 200 h01..05; h06 down; h07        | EnginesDown 6/7 6 1 0 0      | EngineRecovered h01, EngineRecovered h02, EngineRecovered h03, EngineRecovered h04, EngineRecovered h05
    ");
    story(
        "a host that is not listed while hosts are omitted counts as up",
        "
          0 | 200 h01..60                       | AllEnginesUp 60/60 60 0 0 0  |
         30 | 200 h01..54; h55 down; h56..60    | EnginesDown 59/60 59 1 0 0   | EngineDown h55
         40 | 200 h01..60                       | AllEnginesUp 60/60 60 0 0 0  | EngineRecovered h55
    ",
    );
}

#[test]
fn ghosts_and_the_forgotten() {
    story(
        "a graceful stop leaves the ghost of an earlier kill, across restarts of the operator too",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         30 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      | EngineDown h2
         40 | 200 h1; h2 down beat=41; h2 born=5 | AllEnginesUp 2/2 2 0 0 0     | EngineRecovered h2
         60 | 200 h1; h2 down beat=61           | AllEnginesUp 1/1 1 0 0 0     |
         65 | restart                           |                              |
         70 | 200 h1; h2 down beat=71           | AllEnginesUp 1/1 1 0 0 0     |
         80 | 200 h1; h2 down beat=81; h2 born=2 | AllEnginesUp 2/2 2 0 0 0    |
    ",
    );
    story(
        "silent for longer than forgetAfter is no recovery",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         30 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      | EngineDown h2
      86400 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      |
      86401 | 200 h1; h2 down                   | AllEnginesUp 1/1 1 0 1 0     | EngineForgotten h2
      86410 | 200 h1; h2 down beat=86411; h2 born=5 | AllEnginesUp 2/2 2 0 0 0 |
    ",
    );
    story(
        "the newest report is never forgotten, however old",
        "
          0 | 200 h1; h2 down beat=90000        | AllEnginesUp 1/1 1 0 1 0     |
         30 | 200 h1 down                       | EnginesDown 0/1 0 1 0 0      | EngineDown h1
     900000 | 200 h1 down                       | EnginesDown 0/1 0 1 0 0      |
    ",
    );
    story(
        "the forgotten stay forgotten while the only engine is restarted and answers before it is listed",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         30 | 200 h1 down; h2                   | EnginesDown 1/2 1 1 0 0      | EngineDown h1
      90000 | 200 h1 down; h2                   | AllEnginesUp 1/1 1 0 1 0     | EngineForgotten h1
      90010 | 200 h1 down                       | NoEnginesListed 0/0 0 0 1 0  |
      90020 | 200 h1 down                       | NoEnginesListed 0/0 0 0 1 0  |
      90025 | restart                           |                              |
      90030 | 200 h1 down                       | NoEnginesListed 0/0 0 0 1 0  |
      90040 | 200 h1 down; h2 born=20           | AllEnginesUp 1/1 1 0 1 0     |
    ",
    );
    story(
        "somebody ran heat-manage service clean",
        "
          0 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0      | EngineDown h2
         10 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0     | EngineForgotten h2
    ",
    );
    story(
        "the cloud's clock is put back: what was recorded is no memory, then or later",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         10 | clock -3600                       |                              |
         20 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0     |
         60 | 200 h1; h2 down beat=41           | EnginesDown 1/2 1 1 0 0      | EngineDown h2
       3700 | 200 h1; h2 down beat=3681         | EnginesDown 1/2 1 1 0 0      |
    ",
    );
}

#[test]
fn one_engine_does_not_answer() {
    story(
        "a single 503 is said at once, and taken back after three 200s and three report intervals",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
         15 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         25 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         39 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         40 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered
         50 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
    ",
    );
    story(
        "three 200s, however long they take",
        "
          0 | 503                               | EngineUnresponsive ?/? 0 0 0 1   | EngineUnresponsive
        100 | 200 h1                            | EngineUnresponsive ?/1 1 0 0 1   |
        200 | 200 h1                            | EngineUnresponsive ?/1 1 0 0 1   |
        300 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0         | EngineRecovered
    ",
    );
    story(
        "one more 200 than there are engines",
        "
          0 | 200 h1 x5                         | AllEnginesUp 5/5 5 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/5 5 0 0 1   | EngineUnresponsive
         50 | 200 h1 x5                         | EngineUnresponsive ?/5 5 0 0 1   |
         60 | 200 h1 x5                         | EngineUnresponsive ?/5 5 0 0 1   |
         70 | 200 h1 x5                         | EngineUnresponsive ?/5 5 0 0 1   |
         80 | 200 h1 x5                         | EngineUnresponsive ?/5 5 0 0 1   |
         90 | 200 h1 x5                         | EngineUnresponsive ?/5 5 0 0 1   |
        100 | 200 h1 x5                         | AllEnginesUp 5/5 5 0 0 0         | EngineRecovered
    ",
    );
    story(
        "as measured with one of two hung: 503 and 200 alternate, up to three 503s in a row, then it is listed",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
         15 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         16 | 503                               | EngineUnresponsive ?/2 2 0 0 1   |
         17 | 503                               | EngineUnresponsive ?/2 2 0 0 2   |
         60 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         61 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2
         70 | 503                               | EnginesDown 1/2 1 1 0 0          |
         80 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          |
         85 | 503                               | EnginesDown 1/2 1 1 0 0          |
         95 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered h2
    ",
    );
    story(
        "three 503s are never all engines, however far apart",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
        100 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
        200 | 503                               | EngineUnresponsive ?/2 2 0 0 2   |
        300 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
        310 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 3   |
        320 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
    ",
    );
    story(
        "a 503 that came and went between two passes of the tenant is not lost",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | ~503                              |                                  |
         15 | ~200 h1; h2                       |                                  |
         20 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
         40 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered
    ",
    );
    story(
        "it came, went, and is long over",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | ~503                              |                                  |
         20 | ~200 h1; h2                       |                                  |
         30 | ~200 h1; h2                       |                                  |
         40 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
    ",
    );
    story(
        "it came and went under EnginesDown",
        "
          0 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2
         10 | ~503                              |                                  |
         15 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered h2
    ",
    );
}

#[test]
fn no_engine_answers() {
    story("four in a row that span more than three report intervals", "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
         15 | 503                               | EngineUnresponsive ?/2 2 0 0 2   |
         20 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         25 | 503                               | EngineUnresponsive ?/2 2 0 0 4   |
         40 | 503                               | EngineUnresponsive ?/2 2 0 0 4   |
         41 | 503                               | AllEnginesDown 0/2 0 2 0 4       | AllEnginesDown
         46 | 503                               | AllEnginesDown 0/2 0 2 0 4       |
         50 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered h1, EngineRecovered h2
         60 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
    ");
    story(
        "they come back one by one",
        "
          0 | 200 h1 x2; h2                     | AllEnginesUp 3/3 3 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/3 3 0 0 1   | EngineUnresponsive
         20 | 503                               | EngineUnresponsive ?/3 3 0 0 2   |
         30 | 503                               | EngineUnresponsive ?/3 3 0 0 3   |
         41 | 503                               | AllEnginesDown 0/3 0 3 0 4       | AllEnginesDown
         50 | 200 h1 x2; h2 down                | EnginesDown 2/3 2 1 0 0          | EngineRecovered h1
         60 | 200 h1 x2; h2                     | AllEnginesUp 3/3 3 0 0 0         | EngineRecovered h2
    ",
    );
    story(
        "from EnginesDown, which four 503s alone replace",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         30 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2
         40 | 503                               | EnginesDown 1/2 1 1 0 0          |
         50 | 503                               | EnginesDown 1/2 1 1 0 0          |
         60 | 503                               | EnginesDown 1/2 1 1 0 0          |
         71 | 503                               | AllEnginesDown 0/2 0 2 0 4       | AllEnginesDown
         80 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineRecovered h1
    ",
    );
    story(
        "no list was ever seen: a report interval of 60 s",
        "
          0 | 503                               | EngineUnresponsive ?/? 0 0 0 1   | EngineUnresponsive
         60 | 503                               | EngineUnresponsive ?/? 0 0 0 2   |
        120 | 503                               | EngineUnresponsive ?/? 0 0 0 3   |
        180 | 503                               | EngineUnresponsive ?/? 0 0 0 3   |
        181 | 503                               | AllEnginesDown 0/? 0 0 0 4       | AllEnginesDown
        190 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered
    ",
    );
    story(
        "a 200 between begins the row anew, a time-out does not",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
         20 | 503                               | EngineUnresponsive ?/2 2 0 0 2   |
         30 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         35 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 3   |
         45 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         50 | timeout                           | Timeout ?/2 2 0 0 3              | ObservationFailed engines
         60 | 503                               | EngineUnresponsive ?/2 2 0 0 3   | ObservationRecovered engines
         70 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         76 | 503                               | AllEnginesDown 0/2 0 2 0 4       | AllEnginesDown
    ",
    );
}

#[test]
fn so_many_bad_verdicts_in_a_row() {
    story(
        "503s below the threshold are no verdict, and those at it are",
        "
          0 | threshold=2                       |                                  |
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | AllEnginesUp 2/2 2 0 0 0         |
         15 | 503                               | EngineUnresponsive ?/2 2 0 0 2   | EngineUnresponsive
         25 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 2   |
         35 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 2   |
         45 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered
    ",
    );
    story(
        "503s and 200s that alternate are no row",
        "
          0 | threshold=2                       |                                  |
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | AllEnginesUp 2/2 2 0 0 0         |
         15 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         20 | 503                               | AllEnginesUp 2/2 2 0 0 0         |
         25 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
    ",
    );
    story(
        "a time-out between does not count",
        "
          0 | threshold=2                       |                                  |
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | AllEnginesUp 2/2 2 0 0 0         |
         20 | timeout                           | Timeout ?/2 2 0 0 0              | ObservationFailed engines
         30 | 503                               | EngineUnresponsive ?/2 2 0 0 2   | EngineUnresponsive, ObservationRecovered engines
    ",
    );
    story(
        "what is worse than the stored False is said at once",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
         20 | threshold=9                       |                                  |
         20 | 503                               | EngineUnresponsive ?/2 2 0 0 2   |
         30 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         41 | 503                               | AllEnginesDown 0/2 0 2 0 4       | AllEnginesDown
    ",
    );
}

#[test]
fn could_not_see() {
    story(
        "a time-out is Unknown at once, and what was said before is not told again",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | timeout                           | Timeout ?/2 2 0 0 0              | ObservationFailed engines
         20 | timeout                           | Timeout ?/2 2 0 0 0              |
         30 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | ObservationRecovered engines
         60 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2
         70 | timeout                           | Timeout ?/2 1 1 0 0              | ObservationFailed engines
         80 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | ObservationRecovered engines
    ",
    );
    story(
        "another 503, a 504, a closed connection: Unknown the second time",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | ?ServiceUnavailable               | AllEnginesUp 2/2 2 0 0 0         |
         20 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         30 | ?ConnectionFailed                 | AllEnginesUp 2/2 2 0 0 0         |
         45 | ?ServiceUnavailable               | ServiceUnavailable ?/2 2 0 0 0   | ObservationFailed engines
         60 | ?ServiceUnavailable               | ServiceUnavailable ?/2 2 0 0 0   |
         90 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | ObservationRecovered engines
    ",
    );
    story(
        "Heat's database was away: the engines get two intervals to report before they are called down",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | ?ServerError                      | AllEnginesUp 2/2 2 0 0 0         |
         20 | ?ServerError                      | ServerError ?/2 2 0 0 0          | ObservationFailed engines
         50 | 200 h1 down; h2 down              | ServerError ?/2 2 0 0 0          |
         60 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | ObservationRecovered engines
         70 | ?ServerError                      | AllEnginesUp 2/2 2 0 0 0         |
         80 | ?ServerError                      | ServerError ?/2 2 0 0 0          | ObservationFailed engines
         90 | 200 h1; h2 down                   | ServerError ?/2 2 0 0 0          |
        100 | 200 h1; h2 down                   | ServerError ?/2 2 0 0 0          |
        110 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2, ObservationRecovered engines
    ",
    );
    story(
        "one of two engines has lost the database and the other one is dead: two intervals, and no more",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         60 | ?ServerError                      | AllEnginesUp 2/2 2 0 0 0         |
         75 | ~200 h1; h2 down                  |                                  |
         85 | ?ServerError                      | AllEnginesUp 2/2 2 0 0 0         |
         90 | ~200 h1; h2 down                  |                                  |
        100 | ?ServerError                      | AllEnginesUp 2/2 2 0 0 0         |
        105 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2
        110 | ?ServerError                      | EnginesDown 1/2 1 1 0 0          |
        120 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          |
    ",
    );
    story(
        "the database is away for long again, before the engines have reported",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | ?ServerError                      | AllEnginesUp 2/2 2 0 0 0         |
         20 | ?ServerError                      | ServerError ?/2 2 0 0 0          | ObservationFailed engines
         50 | 200 h1 down; h2 down              | ServerError ?/2 2 0 0 0          |
         55 | ?ServerError                      | ServerError ?/2 2 0 0 0          |
         65 | ?ServerError                      | ServerError ?/2 2 0 0 0          |
         90 | 200 h1 down; h2 down              | ServerError ?/2 2 0 0 0          |
        100 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | ObservationRecovered engines
    ",
    );
    story(
        "before the first answer there is nothing that could stay",
        "
          0 | ?ConnectionFailed                 | Progressing                      |
         15 | ?ConnectionFailed                 | ConnectionFailed                 | ObservationFailed engines
    ",
    );
    story("under EngineUnresponsive and AllEnginesDown", "
          0 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/1 1 0 0 1   | EngineUnresponsive
         20 | !Forbidden                        | Forbidden ?/1 1 0 0 1            | ObservationFailed engines
         30 | 503                               | EngineUnresponsive ?/1 1 0 0 2   | ObservationRecovered engines
         40 | 503                               | EngineUnresponsive ?/1 1 0 0 3   |
         50 | 503                               | AllEnginesDown 0/1 0 1 0 4       | AllEnginesDown
         60 | timeout                           | Timeout ?/1 0 1 0 4              | ObservationFailed engines
         70 | 503                               | AllEnginesDown 0/1 0 1 0 4       | ObservationRecovered engines
         80 | timeout                           | Timeout ?/1 0 1 0 4              | ObservationFailed engines
         90 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0         | EngineRecovered h1, ObservationRecovered engines
    ");
    story(
        "a catalogue that never had Heat",
        "
          0 | absent                            | ServiceNotOffered                |
         10 | absent                            | ServiceNotOffered                |
    ",
    );
    story(
        "a catalogue that has Heat no longer",
        "
          0 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0         |
         10 | absent                            | EndpointNotFound ?/1 1 0 0 0     | ObservationFailed engines
         20 | absent                            | EndpointNotFound ?/1 1 0 0 0     |
         30 | 200 h1                            | AllEnginesUp 1/1 1 0 0 0         | ObservationRecovered engines
    ",
    );
}

#[test]
fn the_operator_starts_anew() {
    story("within a row of 503s: what was said stays, and the row is counted anew", "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
         15 | 503                               | EngineUnresponsive ?/2 2 0 0 2   |
         20 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         22 | restart                           |                                  |
         25 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         30 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         35 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         40 | 503                               | EngineUnresponsive ?/2 2 0 0 4   |
        205 | 503                               | EngineUnresponsive ?/2 2 0 0 4   |
        206 | 503                               | AllEnginesDown 0/2 0 2 0 4       | AllEnginesDown
        210 | restart                           |                                  |
        215 | 503                               | AllEnginesDown 0/2 0 2 0 4       |
        220 | restart                           |                                  |
        225 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered h1, EngineRecovered h2
    ");
    story(
        "within the recovery: three 200s and three intervals of its own",
        "
          0 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
         10 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
         20 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         30 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         35 | restart                           |                                  |
         40 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         50 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         60 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         70 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered
    ",
    );
    story(
        "under EnginesDown",
        "
          0 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2
          5 | restart                           |                                  |
         10 | 503                               | EnginesDown 1/2 1 1 0 0          |
         20 | ?ConnectionFailed                 | EnginesDown 1/2 1 1 0 0          |
         30 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          |
         35 | restart                           |                                  |
         40 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered h2
    ",
    );
    story(
        "while it could not see",
        "
          0 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2
         10 | timeout                           | Timeout ?/2 1 1 0 0              | ObservationFailed engines
         15 | restart                           |                                  |
         20 | ?ConnectionFailed                 | Timeout ?/2 1 1 0 0              |
         30 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | ObservationRecovered engines
    ",
    );
}

/// An hour back. The cloud's clock goes on, so it is an hour more ahead.
#[test]
fn the_operators_clock_is_put_back() {
    story(
        "a row of 503s",
        "
       3600 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
       3610 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
       3620 | 503                               | EngineUnresponsive ?/2 2 0 0 2   |
       3620 | clock +3600                       |                                  |
         25 | 503                               | EngineUnresponsive ?/2 2 0 0 3   |
         55 | 503                               | AllEnginesDown 0/2 0 2 0 4       | AllEnginesDown
    ",
    );
    story(
        "a recovery",
        "
       3600 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
       3610 | 503                               | EngineUnresponsive ?/2 2 0 0 1   | EngineUnresponsive
       3610 | clock +3600                       |                                  |
         15 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         25 | 200 h1; h2                        | EngineUnresponsive ?/2 2 0 0 1   |
         45 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         | EngineRecovered
    ",
    );
    story("engines that get time to report", "
       3600 | 200 h1; h2                        | AllEnginesUp 2/2 2 0 0 0         |
       3610 | ?ServerError                      | AllEnginesUp 2/2 2 0 0 0         |
       3620 | ?ServerError                      | ServerError ?/2 2 0 0 0          | ObservationFailed engines
       3650 | 200 h1; h2 down                   | ServerError ?/2 2 0 0 0          |
       3650 | clock +3600                       |                                  |
         60 | 200 h1; h2 down                   | ServerError ?/2 2 0 0 0          |
         80 | 200 h1; h2 down                   | EnginesDown 1/2 1 1 0 0          | EngineDown h2, ObservationRecovered engines
    ");
}

/// A cloud of a hundred engines does not wait for a hundred and one answers.
#[test]
fn at_most_sixty_four_200s_are_waited_for() {
    let mut world = World::of_engines();
    world.pass_in_words_of_engines("503");
    let mut answers = 0;
    loop {
        answers += 1;
        world.now = later(world.now, 10);
        let (status, _) = world.pass_in_words_of_engines("200 h1 x100");
        if said(&status).starts_with("AllEnginesUp") {
            break;
        }
    }
    assert_eq!(answers, 64);
}
