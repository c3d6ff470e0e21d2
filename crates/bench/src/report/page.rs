//! A page that needs nothing else: tables, and plots drawn by hand in SVG.

use std::fmt::Write;

use super::{Limit, Report, Scene, Trial, table};
use crate::{report::Spread, search::Verdict};

/// One colour for each server, far apart for people who see colours differently, too.
const COLOURS: [&str; 8] = [
    "#0b6e99", "#e07a1f", "#3a8f4d", "#a2466e", "#6f5bb5", "#8a6d3b", "#4f5d75", "#c0392b",
];

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --soft: #6a7485; --line: #dfe4ea; --paper: #fff; --card: #f7f9fb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #9aa5b5; --line: #333c48; --paper: #14181e; --card: #1b212a; } }
body { margin: 0 auto; max-width: 66rem; padding: 2rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { color: var(--soft); margin: .25rem 0 1rem; max-width: 44rem; }
figure { margin: 1rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); font-family: system-ui, sans-serif; font-size: 13px; }
svg .soft { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); }
svg .whisker { stroke: var(--ink); stroke-width: 1.5; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; color: var(--soft); }
";

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut body = String::new();
    if !report.limits.is_empty() {
        section(
            &mut body,
            "The highest rate that is borne",
            "Edits a second of all editors together with a 99th percentile below the limit and nothing lost. \
             The bar is the median of several searches, the line their spread; the scale is logarithmic.",
        );
        limits(&mut body, &report.limits);
        body.push_str(&from_markdown(&table::limits(&report.limits)));
        section(
            &mut body,
            "Latency on the way there",
            "The 99th percentile of every load that was tried, from when an edit was due to when it had arrived at \
             another client. Hollow points were not borne.",
        );
        let mut loads: Vec<String> = Vec::new();
        for limit in &report.limits {
            let name = table::load(limit);
            if !loads.contains(&name) {
                loads.push(name);
            }
        }
        for name in loads {
            let of_it = report.limits.iter().filter(|it| table::load(it) == name);
            let trials: Vec<&Trial> = of_it.flat_map(|it| &it.trials).collect();
            latencies(&mut body, &name, &trials);
        }
    }
    if !report.runs.is_empty() {
        section(
            &mut body,
            "Loads",
            "The 99th percentile of each run, by edits a second: how long from when an edit was due \
             to its arrival.",
        );
        let trials: Vec<&Trial> = report.runs.iter().collect();
        latencies(&mut body, "all loads", &trials);
        body.push_str(&from_markdown(&table::runs(&report.runs)));
    }
    if !report.scenes.is_empty() {
        section(
            &mut body,
            "Scenarios",
            "Medians of several runs; the line is their spread.",
        );
        scenes(&mut body, &report.scenes);
        body.push_str(&from_markdown(&table::scenes(&report.scenes)));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>motet-bench</title><style>{STYLE}</style></head><body>\
         <h1>motet-bench</h1><p>Servers and generator on one machine, over loopback.</p>\
         {body}</body></html>\n"
    )
}

fn section(body: &mut String, title: &str, text: &str) {
    body.push_str(&format!("<h2>{title}</h2><p>{text}</p>"));
}

/// What a bar stands for.
struct Bar<'a> {
    group: String,
    server: &'a str,
    spread: Spread,
    told: String,
}

fn limits(body: &mut String, limits: &[Limit]) {
    let bars: Vec<Bar<'_>> = limits
        .iter()
        .map(|it| Bar {
            group: table::load(it),
            server: &it.against,
            spread: it.rate,
            told: format!(
                "{}{}",
                if it.generator_limits { "≥ " } else { "" },
                thousands(it.rate.median)
            ),
        })
        .collect();
    draw_bars(body, &bars, true);
}

fn scenes(body: &mut String, all: &[Scene]) {
    let mut facts: Vec<(&str, &str, &str)> = Vec::new();
    for scene in all {
        for fact in &scene.facts {
            let row = (scene.scenario.as_str(), fact.name, fact.unit);
            if !facts.contains(&row) {
                facts.push(row);
            }
        }
    }
    let servers = names(all.iter().map(|it| it.against.as_str()));
    for (scenario, name, unit) in facts {
        let bars: Vec<Bar<'_>> = servers
            .iter()
            .filter_map(|server| {
                let spread = table::spread_of(all, scenario, server, name)?;
                Some(Bar {
                    group: format!("{scenario}: {name}"),
                    server,
                    spread,
                    told: format!("{} {unit}", thousands(spread.median)),
                })
            })
            .collect();
        draw_bars(body, &bars, false);
    }
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Bars that lie, in groups: names have room, however many there are.
fn draw_bars(body: &mut String, bars: &[Bar<'_>], logarithmic: bool) {
    const WIDTH: f64 = 960.0;
    const LEFT: f64 = 170.0;
    const RIGHT: f64 = 130.0;
    const BAR: f64 = 20.0;
    const TITLE: f64 = 30.0;
    let most = bars.iter().map(|it| it.spread.max).fold(1.0, f64::max);
    let share = |value: f64| {
        let share = if logarithmic {
            value.max(1.0).ln() / most.ln().max(1.0)
        } else {
            value / most
        };
        share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    };
    let servers = names(bars.iter().map(|it| it.server));
    let mut svg = String::new();
    let mut y = 0.0;
    let mut group = "";
    for bar in bars {
        if bar.group != group {
            group = &bar.group;
            y += TITLE;
            put(
                &mut svg,
                format_args!(
                    "<text x=\"0\" y=\"{}\" font-weight=\"600\">{}</text>",
                    y - 9.0,
                    escape(group)
                ),
            );
        }
        let colour = colour(&servers, bar.server);
        let middle = y + BAR / 2.0;
        let (from, to) = (LEFT + share(bar.spread.min), LEFT + share(bar.spread.max));
        put(
            &mut svg,
            format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" class=\"soft\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" rx=\"3\" fill=\"{colour}\"/>\
             <path class=\"whisker\" d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {}v8M{to:.1} {}v8\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
                LEFT - 8.0,
                middle + 4.0,
                escape(bar.server),
                y + 2.0,
                share(bar.spread.median).max(1.0),
                BAR - 4.0,
                middle - 4.0,
                middle - 4.0,
                to + 8.0,
                middle + 4.0,
                escape(&bar.told),
            ),
        );
        y += BAR;
    }
    figure(body, WIDTH, y + 6.0, &svg);
}

/// The 99th percentile over the rate, both on logarithmic scales.
fn latencies(body: &mut String, title: &str, trials: &[&Trial]) {
    const WIDTH: f64 = 960.0;
    const HEIGHT: f64 = 320.0;
    const LEFT: f64 = 76.0;
    const RIGHT: f64 = 190.0;
    const TOP: f64 = 34.0;
    const BOTTOM: f64 = 44.0;
    let points: Vec<(&Trial, f64, f64)> = trials
        .iter()
        .filter_map(|it| Some((*it, it.rate, it.measured.as_ref()?.latency.p99_ms.max(0.05))))
        .collect();
    if points.is_empty() {
        return;
    }
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), it| {
            (low.min(it), high.max(it))
        });
        (
            low.log10().floor(),
            high.log10().ceil().max(low.log10().floor() + 1.0),
        )
    };
    let (left, right) = range(&mut points.iter().map(|it| it.1));
    let (low, high) = range(&mut points.iter().map(|it| it.2));
    let x = |rate: f64| LEFT + (rate.log10() - left) / (right - left) * (WIDTH - LEFT - RIGHT);
    let y = |ms: f64| HEIGHT - BOTTOM - (ms.log10() - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
    let mut svg = String::new();
    put(
        &mut svg,
        format_args!(
            "<text x=\"0\" y=\"16\" font-weight=\"600\">{}</text>",
            escape(title)
        ),
    );
    for power in powers(left, right) {
        let at = x(power);
        put(
            &mut svg,
            format_args!(
                "<path class=\"grid\" d=\"M{at:.1} {TOP}V{:.1}\"/>\
             <text class=\"soft\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}/s</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 20.0,
                thousands(power),
            ),
        );
    }
    for power in powers(low, high) {
        let at = y(power);
        put(
            &mut svg,
            format_args!(
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/>\
             <text class=\"soft\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{} ms</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0,
                thousands(power),
            ),
        );
    }
    let servers = names(points.iter().map(|it| it.0.against.as_str()));
    for (place, server) in servers.iter().enumerate() {
        let colour = colour(&servers, server);
        let mut own: Vec<_> = points.iter().filter(|it| it.0.against == *server).collect();
        own.sort_by(|a, b| a.1.total_cmp(&b.1));
        let borne = own.iter().filter(|it| it.0.verdict == Verdict::Borne);
        let line: Vec<String> = borne
            .map(|it| format!("{:.1} {:.1}", x(it.1), y(it.2)))
            .collect();
        if line.len() > 1 {
            put(
                &mut svg,
                format_args!(
                    "<path fill=\"none\" stroke=\"{colour}\" stroke-opacity=\".45\" stroke-width=\"2\" d=\"M{}\"/>",
                    line.join("L")
                ),
            );
        }
        for (trial, rate, ms) in own {
            let fill = if trial.verdict == Verdict::Borne {
                colour
            } else {
                "none"
            };
            put(
                &mut svg,
                format_args!(
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\">\
                 <title>{}: {}/s, p99 {ms:.2} ms, {}</title></circle>",
                    x(*rate),
                    y(*ms),
                    escape(server),
                    thousands(*rate),
                    escape(&table::told(&trial.verdict)),
                ),
            );
        }
        let at = TOP + 8.0 + place as f64 * 22.0;
        put(
            &mut svg,
            format_args!(
                "<circle cx=\"{}\" cy=\"{at}\" r=\"5\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{}</text>",
                WIDTH - RIGHT + 24.0,
                WIDTH - RIGHT + 36.0,
                at + 4.5,
                escape(server),
            ),
        );
    }
    figure(body, WIDTH, HEIGHT, &svg);
}

/// The powers of ten from one exponent to another.
fn powers(from: f64, to: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(from), |it| Some(it + 1.0))
        .take_while(move |it| *it <= to)
        .map(|it| 10_f64.powf(it))
}

fn figure(body: &mut String, width: f64, height: f64, svg: &str) {
    body.push_str(&format!(
        "<figure><svg viewBox=\"0 0 {width} {height}\" role=\"img\">{svg}</svg></figure>"
    ));
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("a String takes everything");
}

fn colour(servers: &[&str], server: &str) -> &'static str {
    let place = servers.iter().position(|it| *it == server).unwrap_or(0);
    COLOURS[place % COLOURS.len()]
}

/// A figure for people: three digits, and thousands apart.
fn thousands(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits: Vec<char> = whole.chars().collect();
    let groups: Vec<String> = digits
        .rchunks(3)
        .rev()
        .map(|it| it.iter().collect())
        .collect();
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", groups.join(","))
}

/// A table that is written in Markdown.
fn from_markdown(table: &str) -> String {
    let mut html = String::from("<div class=\"scroll\"><table>");
    for (number, line) in table.lines().enumerate().filter(|it| it.0 != 1) {
        let cell = if number == 0 { "th" } else { "td" };
        html.push_str("<tr>");
        for text in line.trim_matches('|').split('|') {
            let text = escape(text.trim()).replace("**", "");
            html.push_str(&format!("<{cell}>{text}</{cell}>"));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_people() {
        let told = [0.0, 0.05, 9.5, 12.34, 999.6, 126_600.0].map(thousands);
        assert_eq!(told, ["0", "0.05", "9.5", "12.3", "1,000", "126,600"]);
    }

    #[test]
    fn nothing_of_a_table_is_markup() {
        let html = from_markdown("| a | b |\n|---|---|\n| <i> | \"x\" |\n");
        assert!(
            html.contains("<td>&lt;i></td><td>&quot;x&quot;</td>"),
            "{html}"
        );
        assert!(!html.contains("---"));
    }
}
