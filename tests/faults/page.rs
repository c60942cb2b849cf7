//! docs/faults.md is the table.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::table::{Cell, FIELDS, LISTS, Row, Rule, SERVICES, rows};

#[test]
fn the_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let page = page(&rows());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page, "docs/faults.md is not the table: run UPDATE=1 cargo test --test faults page");
}

#[test]
fn each_rule_leaves_out_a_cell_and_each_row_keeps_one() {
    let rows = rows();
    for rule in Rule::ALL {
        assert!(left_out(&rows).contains_key(&rule), "{} leaves out nothing", rule.name());
    }
    for row in &rows {
        assert!(row.cells.iter().any(|cell| matches!(cell, Cell::Is(_))), "{} has no cell", row.name);
    }
}

fn left_out(rows: &[Row]) -> BTreeMap<Rule, usize> {
    let mut left = BTreeMap::new();
    for cell in rows.iter().flat_map(|row| row.cells) {
        if let Cell::Left(rule) = cell {
            *left.entry(rule).or_insert(0) += 1;
        }
    }
    left
}

fn page(rows: &[Row]) -> String {
    let left = left_out(rows);
    let cells = rows.len() * SERVICES.len() - left.values().sum::<usize>();
    let mut page = INTRODUCTION.replace("CELLS", &cells.to_string());
    for list in LISTS {
        write!(page, "\n## {list}\n\n").unwrap();
        let of_list = rows.iter().filter(|row| row.list == list);
        if list == FIELDS {
            page.push_str("| Service | The answer lacks | Result |\n| --- | --- | --- |\n");
            for row in of_list {
                let of_service = row.cells.iter().zip(SERVICES);
                for (cell, service) in of_service.filter(|(cell, _)| matches!(cell, Cell::Is(_))) {
                    writeln!(page, "| {service} | {} | {} |", row.name, text(*cell)).unwrap();
                }
            }
            continue;
        }
        writeln!(page, "| Fault | {} |", SERVICES.join(" | ")).unwrap();
        page.push_str("| --- | --- | --- | --- | --- |\n");
        for row in of_list {
            let cells = row.cells.map(text);
            writeln!(page, "| {} | {} |", row.name, cells.join(" | ")).unwrap();
        }
    }
    page.push_str("\n## Cells that are left out\n\n| Rule | Cells | Why |\n| --- | --- | --- |\n");
    for (rule, count) in left {
        writeln!(page, "| {} | {count} | {} |", rule.name(), rule.why()).unwrap();
    }
    page
}

fn text(cell: Cell) -> String {
    match cell {
        Cell::Is(class) => class.text(),
        Cell::Left(rule) => format!("({})", rule.name()),
    }
}

const INTRODUCTION: &str = "\
# Faults of a cloud

The faults of a cloud that `tests/faults` causes, and what the operator reports for each service. The test causes each fault by real connections, checks CELLS cells, and generates this page.

Keystone's column is a login, which all probes need. The other columns concern the service's own condition: `EnginesHealthy` for Heat, `CachesHealthy` for DCS, `UsageReported` for Nova. The tenant is healthy before the fault, with an `interval` of five minutes.

| A cell says | Condition | Stalled | Event | Next call |
| --- | --- | --- | --- | --- |
| as without the fault | as before | no | none | after the interval |
| True | True, with the data of the answer | no | none | after the interval |
| **False** and a reason | False at once: Heat said so | no | `EngineUnresponsive` | after 5 s |
| 2nd: and a reason | as before; Unknown at the second consecutive failure | no | `ObservationFailed` at the second failure | after 15 s, or after the time in the cell |
| a reason | Unknown at once | no | `ObservationFailed` | after 15 s, or after the interval |
| a reason, and Stalled | Unknown at once | yes | `ObservationFailed`, or `AuthenticationFailed` for that reason | after 15 s, or after the time in the cell |

For every cell the following holds, too. The other conditions and all data stay as they are. No condition becomes False or True without an answer that says so. What is read of a body stays below the service's [limit](security.md#bounds). After the fault has ended, everything is as before, with one event `ObservationRecovered` (`EngineRecovered` after `EngineUnresponsive`). No log line of any level, no status, no event and no metric contains a password, a token or the user information of a URL.
";
