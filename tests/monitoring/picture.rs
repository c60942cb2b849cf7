//! `docs/dashboard.svg` shows the dashboard as it is: every panel.
//!
//! `UPDATE=1 cargo test --test monitoring picture` draws it anew, in four minutes: the dashboard's queries, answered by
//! a Prometheus that scraped an operator.

use std::{collections::BTreeMap, env, fs, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use testkit::tools;
use tokio::time;

use crate::{
    board::{asked, dashboard},
    live::Scene,
    prometheus::{Labels, Prometheus, file},
    svg::{Area, FAINT, Line, PALETTE, Svg, TEXT, color},
};

const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 12.0;
/// A row of Grafana's grid, and what is free between two panels.
const ROW: f64 = 38.0;
const GAP: f64 = 8.0;
const HEADER: f64 = 52.0;
/// What is drawn, in seconds.
const RANGE: f64 = 210.0;

#[tokio::test(flavor = "multi_thread")]
async fn picture() {
    if env::var_os("UPDATE").is_some() {
        draw().await;
    }
    let picture = fs::read_to_string(file("docs/dashboard.svg")).unwrap();
    for panel in dashboard()["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap().replace('&', "&amp;");
        let row = format!(">⌄  {title}</text>");
        let shown = picture.contains(&format!(">{title}</text>")) || picture.contains(&row);
        assert!(shown, "docs/dashboard.svg does not show the panel {title:?}: draw it anew (CONTRIBUTING.md)");
    }
}

async fn draw() {
    let programs = tools::prometheus().unwrap().expect("Prometheus");
    let mut scene = Scene::start().await;
    let rules = file("charts/cloudtenant-operator/files/alerts.yaml");
    let prometheus = Prometheus::start(&programs, &[scene.lab.operator.address()], &rules, Labels::Honoured).await;
    time::sleep(Duration::from_secs(75)).await;
    scene.break_things().await;
    time::sleep(Duration::from_secs(RANGE as u64 - 70)).await;
    let host = |base: &str| base.trim_start_matches("http://").trim_end_matches("/v3").to_owned();
    let names = [
        (host(&scene.lab.cloud.auth_url()), "keystone.north.example"),
        (host(&scene.sick.auth_url()), "keystone.south.example"),
        (scene.away_at.clone(), "keystone.west.example"),
        (scene.lab.operator.address().to_string(), "cloudtenant-operator-0"),
        (scene.lab.namespace.clone(), "shop"),
    ];
    let artist = Artist { prometheus, names, now: Timestamp::now() };
    fs::write(file("docs/dashboard.svg"), artist.draw(&dashboard()).await).unwrap();
}

struct Artist {
    prometheus: Prometheus,
    /// Addresses of this machine, and what stands in their place.
    names: [(String, &'static str); 5],
    now: Timestamp,
}

impl Artist {
    async fn draw(&self, board: &Value) -> String {
        let mut svg = Svg::default();
        let title = board["title"].as_str().unwrap();
        svg.text(MARGIN + 4.0, 33.0, 20.0, TEXT, "start", title);
        svg.text(MARGIN + 140.0, 32.0, 12.5, FAINT, "start", "Namespace: All     Cloud: All");
        let range = format!("Last {} minutes", (RANGE / 60.0).round());
        svg.text(WIDTH - MARGIN - 4.0, 32.0, 12.5, FAINT, "end", &range);
        let column = (WIDTH - 2.0 * MARGIN + GAP) / 24.0;
        let mut height = HEADER;
        for panel in board["panels"].as_array().unwrap() {
            let at = |key: &str| panel["gridPos"][key].as_f64().unwrap();
            let area = Area {
                x: MARGIN + at("x") * column,
                y: HEADER + at("y") * ROW,
                w: at("w") * column - GAP,
                h: at("h") * ROW - GAP,
            };
            height = f64::max(height, area.y + area.h + MARGIN);
            let title = panel["title"].as_str().unwrap();
            match panel["type"].as_str().unwrap() {
                "row" => svg.text(area.x + 4.0, area.y + 21.0, 15.0, TEXT, "start", &format!("⌄  {title}")),
                "stat" => self.stat(&mut svg, area, panel).await,
                "table" => self.table(&mut svg, area, panel).await,
                "timeseries" => {
                    let mut lines = self.lines(panel).await;
                    let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().to_owned();
                    if unit == "bytes" {
                        // So that the axis has round figures.
                        let values = lines.iter_mut().flat_map(|line| line.values.iter_mut().flatten());
                        values.for_each(|value| *value /= 1_048_576.0);
                    }
                    let stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal";
                    let inside = svg.panel(area, title);
                    svg.chart(inside, &lines, stacked, RANGE, |value| shown(value, &unit));
                }
                _ => self.timeline(&mut svg, area, panel).await,
            }
        }
        svg.finish(WIDTH, height)
    }

    fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (address, name)| text.replace(address, name))
    }

    async fn stat(&self, svg: &mut Svg, area: Area, panel: &Value) {
        let series = self.prometheus.query(&asked(&panel["targets"][0])).await.unwrap();
        let value = number(&series[0]["value"][1]).unwrap();
        let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().unwrap();
        let step = steps.iter().rfind(|step| step["value"].as_f64().is_none_or(|from| value >= from)).unwrap();
        svg.rect(area, color(step["color"].as_str().unwrap()), 0.85);
        svg.text(area.x + 12.0, area.y + 24.0, 14.0, "#ffffff", "start", panel["title"].as_str().unwrap());
        let middle = (area.x + area.w / 2.0, area.y + area.h / 2.0 + 28.0);
        svg.text(middle.0, middle.1, 48.0, "#ffffff", "middle", &value.to_string());
    }

    async fn timeline(&self, svg: &mut Svg, area: Area, panel: &Value) {
        let inside = svg.panel(area, panel["title"].as_str().unwrap());
        let series = self.prometheus.range(&asked(&panel["targets"][0]), RANGE).await;
        let height = (inside.h / series.len().max(1) as f64).min(70.0);
        for (row, one) in (0_u32..).zip(&series) {
            let leads = one["values"].as_array().unwrap().last().is_some_and(|last| last[1] == "1");
            let y = inside.y + f64::from(row) * height;
            let instance = self.named(one["metric"]["instance"].as_str().unwrap());
            svg.text(inside.x, y + height / 2.0 + 4.0, 11.5, TEXT, "start", &instance);
            let left = 150.0;
            let band = Area { x: inside.x + left, y: y + 8.0, w: inside.w - left, h: height - 16.0 };
            svg.rect(band, if leads { color("green") } else { "#4a4d55" }, 0.75);
            svg.text(
                band.x + 8.0,
                y + height / 2.0 + 4.0,
                12.0,
                "#ffffff",
                "start",
                if leads { "leads" } else { "stands by" },
            );
        }
    }

    async fn lines(&self, panel: &Value) -> Vec<Line> {
        let mut lines = Vec::new();
        for target in panel["targets"].as_array().unwrap() {
            for series in self.prometheus.range(&asked(target), RANGE).await {
                // Of a label that no series has Grafana shows nothing.
                let mut name = target["legendFormat"].as_str().unwrap_or_default().replace("{{cluster}} ", "");
                name = name.replace(" {{exported_service}}", "");
                for (label, value) in series["metric"].as_object().unwrap() {
                    name = name.replace(&format!("{{{{{label}}}}}"), value.as_str().unwrap());
                }
                let start = self.now.as_millisecond() as f64 / 1000.0 - RANGE;
                let mut values = vec![None; RANGE as usize + 1];
                for value in series["values"].as_array().unwrap() {
                    let index = (value[0].as_f64().unwrap() - start).round();
                    if let Some(slot) = values.get_mut(index.max(0.0) as usize) {
                        *slot = number(&value[1]);
                    }
                }
                let name = self.named(&name);
                let color = fixed(panel, &name).unwrap_or(PALETTE[lines.len() % PALETTE.len()]).to_owned();
                lines.push(Line { name, color, values });
            }
        }
        lines
    }

    async fn table(&self, svg: &mut Svg, area: Area, panel: &Value) {
        let inside = svg.panel(area, panel["title"].as_str().unwrap());
        let targets = panel["targets"].as_array().unwrap();
        let mut rows: BTreeMap<Vec<(String, String)>, BTreeMap<String, f64>> = BTreeMap::new();
        for target in targets {
            let letter = if targets.len() == 1 {
                "Value".to_owned()
            } else {
                format!("Value #{}", target["refId"].as_str().unwrap())
            };
            for series in self.prometheus.query(&asked(target)).await.unwrap() {
                let labels = series["metric"].as_object().unwrap().iter();
                let labels =
                    labels.map(|(label, value)| (label.clone(), self.named(value.as_str().unwrap()))).collect();
                let value = number(&series["value"][1]).unwrap_or_default();
                rows.entry(labels).or_default().insert(letter.clone(), value);
            }
        }
        // What lacks a label is in the row of those that have the others: Grafana's merge.
        let whole: Vec<_> = rows.keys().cloned().collect();
        for labels in &whole {
            let fuller =
                whole.iter().find(|other| other.len() > labels.len() && labels.iter().all(|one| other.contains(one)));
            if let (Some(fuller), Some(values)) = (fuller, rows.get(labels).cloned()) {
                rows.remove(labels);
                rows.entry(fuller.clone()).or_default().extend(values);
            }
        }
        let transformations = panel["transformations"].as_array().unwrap();
        let organize = &transformations.iter().find(|one| one["id"] == "organize").unwrap()["options"];
        let mut columns: Vec<_> = organize["indexByName"].as_object().unwrap().iter().collect();
        columns.sort_by_key(|(_, index)| index.as_u64());
        columns.retain(|(name, _)| organize["excludeByName"][name.as_str()] != true && *name != "cluster");
        let shape = |values: &BTreeMap<String, f64>, key: &str| values.get(key).copied();
        let mut rows: Vec<_> = rows.into_iter().collect();
        let sort = &panel["options"]["sortBy"][0];
        if let Some((key, _)) =
            organize["renameByName"].as_object().unwrap().iter().find(|(_, new)| **new == sort["displayName"])
        {
            rows.sort_by(|a, b| shape(&a.1, key).partial_cmp(&shape(&b.1, key)).unwrap());
            if sort["desc"] == true {
                rows.reverse();
            }
        }
        // As wide as what is in it.
        let mut cells = vec![
            columns
                .iter()
                .map(|(name, _)| organize["renameByName"][name.as_str()].as_str().unwrap().to_owned())
                .collect::<Vec<_>>(),
        ];
        for (labels, values) in &rows {
            cells.push(
                columns
                    .iter()
                    .zip(&cells[0])
                    .map(|((key, _), heading)| match values.get(key.as_str()) {
                        Some(value) => self.cell(panel, heading, *value),
                        None => labels
                            .iter()
                            .find(|(label, _)| label == *key)
                            .map(|(_, value)| value.clone())
                            .unwrap_or_default(),
                    })
                    .collect(),
            );
        }
        let widths: Vec<_> = (0..columns.len())
            .map(|at| cells.iter().map(|row| row[at].chars().count().max(4)).max().unwrap_or(1) as f64 + 2.0)
            .collect();
        let all: f64 = widths.iter().sum();
        for (number, row) in cells.iter().enumerate() {
            let y = inside.y + 16.0 + 29.0 * number as f64;
            let mut x = inside.x;
            for ((cell, width), heading) in row.iter().zip(&widths).zip(&cells[0]) {
                let fill = match number {
                    0 => "#6e9fff",
                    _ => fixed(panel, heading).unwrap_or(TEXT),
                };
                svg.text(x, y, 12.5, fill, "start", cell);
                x += inside.w * width / all;
            }
            svg.rule(inside.x, y + 10.0, inside.w);
        }
    }

    fn cell(&self, panel: &Value, heading: &str, value: f64) -> String {
        let unit = overrides(panel, heading).find(|property| property["id"] == "unit");
        match unit.and_then(|property| property["value"].as_str()) {
            Some("dateTimeFromNow") => {
                let seconds = self.now.as_second() as f64 - value / 1000.0;
                if seconds < 90.0 { "a minute ago".to_owned() } else { format!("{:.0} minutes ago", seconds / 60.0) }
            }
            Some(_) => format!("{value:.1}"),
            None => value.to_string(),
        }
    }
}

/// What a panel says of one of its fields.
fn overrides<'a>(panel: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    let field = field.to_owned();
    let overrides = panel["fieldConfig"]["overrides"].as_array().unwrap().iter();
    let of_it = overrides.filter(move |one| {
        let pattern = one["matcher"]["options"].as_str().unwrap();
        // The only regular expressions are ends.
        pattern == field || pattern.strip_prefix('/').is_some_and(|end| field.ends_with(end.trim_end_matches("$/")))
    });
    of_it.flat_map(|one| one["properties"].as_array().unwrap())
}

fn fixed(panel: &Value, field: &str) -> Option<&'static str> {
    let property = overrides(panel, field).find(|property| property["id"] == "color")?;
    Some(color(property["value"]["fixedColor"].as_str()?))
}

fn number(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok().filter(|value: &f64| value.is_finite())
}

fn shown(value: f64, unit: &str) -> String {
    let plain = |value: f64| format!("{}", (value * 1000.0).round() / 1000.0);
    match unit {
        "bytes" => format!("{} MiB", plain(value)),
        "percentunit" => format!("{} %", plain(value * 100.0)),
        "reqps" => format!("{}/s", plain(value)),
        "s" if value < 1.0 => format!("{} ms", plain(value * 1000.0)),
        "s" => format!("{} s", plain(value)),
        _ => plain(value),
    }
}
