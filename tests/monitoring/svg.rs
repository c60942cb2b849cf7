//! Just enough of SVG to draw a dashboard as Grafana arranges it.

use std::fmt::Write as _;

pub const TEXT: &str = "#ccccdc";
pub const FAINT: &str = "#8e8e99";
const LINE: &str = "#2c3235";
const FONT: &str = "Inter, Helvetica, Arial, sans-serif";
/// Grafana's classic palette.
pub const PALETTE: [&str; 8] = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#b877d9", "#5794f2", "#e0b400", "#fade2a"];

/// Grafana's names of colours.
pub fn color(name: &str) -> &'static str {
    match name {
        "green" => "#56a64b",
        "red" => "#f2495c",
        "dark-red" => "#c4162a",
        "orange" => "#ff9830",
        "blue" => "#3274d9",
        _ => TEXT,
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Area {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

/// One line of a chart: its name, its colour, and a value for each moment, where there is one.
pub struct Line {
    pub name: String,
    pub color: String,
    pub values: Vec<Option<f64>>,
}

#[derive(Default)]
pub struct Svg(String);

impl Svg {
    pub fn rect(&mut self, area: Area, fill: &str, opacity: f64) {
        let Area { x, y, w, h } = area;
        let _ = writeln!(
            self.0,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="2" fill="{fill}" opacity="{opacity}"/>"#
        );
    }

    pub fn text(&mut self, x: f64, y: f64, size: f64, fill: &str, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            self.0,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    pub fn rule(&mut self, x: f64, y: f64, w: f64) {
        let _ = writeln!(self.0, r#"<path d="M{x:.1} {y:.1}h{w:.1}" stroke="{LINE}"/>"#);
    }

    /// A panel's frame and title; returns what is left for its content.
    pub fn panel(&mut self, area: Area, title: &str) -> Area {
        let Area { x, y, w, h } = area;
        let _ = writeln!(
            self.0,
            r##"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="3" fill="#181b1f" stroke="{LINE}"/>"##
        );
        self.text(x + 10.0, y + 21.0, 13.0, TEXT, "start", title);
        Area { x: x + 10.0, y: y + 32.0, w: w - 20.0, h: h - 40.0 }
    }

    /// Lines over time with their legend, one on the other where they are stacked.
    pub fn chart(&mut self, area: Area, lines: &[Line], stacked: bool, seconds: f64, show: impl Fn(f64) -> String) {
        let (left, below) = (52.0, 40.0);
        let plot = Area { x: area.x + left, y: area.y + 4.0, w: area.w - left - 6.0, h: area.h - below - 4.0 };
        let mut floor = vec![0.0; lines.iter().map(|line| line.values.len()).max().unwrap_or_default()];
        let mut bands = Vec::new();
        for line in lines {
            let low = floor.clone();
            let top: Vec<_> = line
                .values
                .iter()
                .zip(&low)
                .map(|(value, low)| value.map(|value| if stacked { value + low } else { value }))
                .collect();
            if stacked {
                for (floor, top) in floor.iter_mut().zip(&top) {
                    *floor = top.unwrap_or(*floor);
                }
            }
            bands.push((line, low, top));
        }
        let highest = bands.iter().flat_map(|(_, _, top)| top.iter().flatten()).fold(0.0_f64, |a, b| a.max(*b));
        let (step, top_of_axis) = ticks(highest);
        let y = |value: f64| plot.y + plot.h * (1.0 - value / top_of_axis);
        let mut tick = 0.0;
        while tick <= top_of_axis * 1.001 {
            self.rule(plot.x, y(tick), plot.w);
            self.text(plot.x - 6.0, y(tick) + 4.0, 10.5, FAINT, "end", &show(tick));
            tick += step;
        }
        for minute in 0..=(seconds / 60.0) as u32 {
            let x = plot.x + plot.w * (1.0 - f64::from(minute) * 60.0 / seconds);
            let label = if minute == 0 { "now".to_owned() } else { format!("-{minute} min") };
            let anchor = if minute == 0 { "end" } else { "middle" };
            if x - plot.x > 14.0 {
                self.text(x, plot.y + plot.h + 15.0, 10.5, FAINT, anchor, &label);
            }
        }
        for (line, low, top) in &bands {
            let x = |index: usize| plot.x + plot.w * index as f64 / (top.len().max(2) - 1) as f64;
            for run in runs(top, stacked) {
                let edge: Vec<_> =
                    run.iter().map(|(index, value)| format!("{:.1} {:.1}", x(*index), y(*value))).collect();
                let floor = |index: usize| if stacked { low[index] } else { 0.0 };
                let back: Vec<_> = run.iter().rev().map(|(i, _)| format!("{:.1} {:.1}", x(*i), y(floor(*i)))).collect();
                let (edge, back) = (edge.join("L"), back.join("L"));
                let opacity = if stacked { 0.4 } else { 0.08 };
                let color = &line.color;
                let _ = writeln!(self.0, r#"<path d="M{edge}L{back}Z" fill="{color}" opacity="{opacity}"/>"#);
                let _ = writeln!(self.0, r#"<path d="M{edge}" fill="none" stroke="{color}" stroke-width="1.5"/>"#);
            }
        }
        self.legend(area, lines);
    }

    fn legend(&mut self, area: Area, lines: &[Line]) {
        let mut x = area.x;
        for (shown, line) in lines.iter().enumerate() {
            let width = 30.0 + 6.1 * line.name.chars().count() as f64;
            if x + width > area.x + area.w {
                self.text(x, area.y + area.h, 11.0, FAINT, "start", &format!("+{}", lines.len() - shown));
                return;
            }
            self.rect(Area { x, y: area.y + area.h - 6.0, w: 12.0, h: 4.0 }, &line.color, 1.0);
            self.text(x + 17.0, area.y + area.h, 11.0, TEXT, "start", &line.name);
            x += width;
        }
    }

    pub fn finish(self, width: f64, height: f64) -> String {
        format!(
            concat!(
                r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" font-family="{2}">"##,
                "\n<rect width=\"{0}\" height=\"{1}\" fill=\"#111217\"/>\n{3}</svg>\n"
            ),
            width, height, FONT, self.0
        )
    }
}

/// The distance of an axis' lines, and its end.
fn ticks(highest: f64) -> (f64, f64) {
    let rough = (highest * 1.1).max(1e-9) / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|nice| nice * power).into_iter().find(|step| *step >= rough);
    let step = if highest == 0.0 { 1.0 } else { step.unwrap_or(rough) };
    (step, step * (highest / step - 1e-6).ceil().max(1.0))
}

/// The unbroken parts, by index; where `all` is not wanted, without what lies on a straight line.
fn runs(values: &[Option<f64>], all: bool) -> Vec<Vec<(usize, f64)>> {
    let mut runs = vec![Vec::new()];
    for (index, value) in values.iter().enumerate() {
        match value {
            Some(value) => runs.last_mut().unwrap().push((index, *value)),
            None => runs.push(Vec::new()),
        }
    }
    for run in &mut runs {
        let old: Vec<_> = run.clone();
        let last = old.len().saturating_sub(1);
        let mut at = 0;
        run.retain(|(_, value)| {
            let same = |other: usize| old.get(other).is_some_and(|(_, other)| other == value);
            let keep = all || at == 0 || at == last || !same(at - 1) || !same(at + 1);
            at += 1;
            keep
        });
    }
    runs.retain(|run| !run.is_empty());
    runs
}
