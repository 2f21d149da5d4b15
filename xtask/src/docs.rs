//! Tables and snippets of the documentation.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use shared::{
    config::{SETTINGS, Setting},
    limits::{LIMITS, LimitRow},
};

use crate::{
    declaration::Function,
    files::{self, File},
    proxy,
    route::Route,
    text,
};

/// The pages of the documentation that have a generated part.
pub(crate) fn pages(root: &Path, functions: &[Function]) -> Result<Vec<File>> {
    let tables = [
        ("docs/api.md", "endpoints", endpoints_table(functions)),
        (
            "docs/configuration.md",
            "settings",
            settings_table(SETTINGS),
        ),
        ("docs/rate-limits.md", "limits", limits_table(&LIMITS)),
    ];
    let mut pages = Vec::new();
    for (path, name, table) in tables {
        let (begin, end) = (
            format!("<!-- generated: {name} -->"),
            format!("<!-- /generated: {name} -->"),
        );
        let page = files::read(root, path)?;
        let page = text::replace_block(&page, &begin, &end, &table).context(path)?;
        pages.push(File {
            path: path.to_owned(),
            text: page,
        });
    }
    pages.push(homeserver(root, functions)?);
    Ok(pages)
}

/// The page with the configurations of reverse proxies. Only their lines with the forwarded paths are generated.
fn homeserver(root: &Path, functions: &[Function]) -> Result<File> {
    let path = "docs/homeserver.md";
    let lines = [
        (proxy::NGINX, proxy::nginx_location(functions)),
        (proxy::CADDY, proxy::caddy_matcher(functions)),
        (proxy::TRAEFIK, proxy::traefik_rule(functions)),
    ];
    let page = files::read(root, path)?;
    let page = lines.iter().try_fold(page, |page, (start, line)| {
        text::replace_line(&page, start, line)
    });
    let lists = [
        ("rules.txt", "RULES", proxy::load_balancer_rules(functions)),
        ("patterns.txt", "PATTERNS", proxy::patterns(functions)),
    ];
    let page = lists.iter().try_fold(page?, |page, (file, end, list)| {
        let begin = format!("cat >{file} <<'{end}'");
        text::replace_block(&page, &begin, end, list)
    });
    Ok(File {
        path: path.to_owned(),
        text: page.context(path)?,
    })
}

fn endpoints_table(functions: &[Function]) -> Vec<String> {
    let mut table = header(&["Function", "Methods and path", "Purpose"]);
    table.extend(functions.iter().map(|function| {
        let stem = format!("`{}`", function.stem);
        row(&[&stem, &routes_cell(&function.routes), &function.summary])
    }));
    table
}

fn routes_cell(routes: &[Route]) -> String {
    if routes.is_empty() {
        return "none".to_owned();
    }
    if routes.iter().all(Route::is_fallback) {
        return "any other".to_owned();
    }
    let routes = routes.iter().map(|route| format!("`{}`", route.short()));
    routes.collect::<Vec<_>>().join("<br>")
}

/// A setting without a default has an empty cell.
fn settings_table(settings: &[Setting]) -> Vec<String> {
    let mut table = header(&["Setting", "Default", "Meaning"]);
    table.extend(settings.iter().map(|setting| {
        let default = match setting.default {
            None | Some("") => String::new(),
            Some(default) => format!("`{default}`"),
        };
        row(&[&format!("`{}`", setting.name), &default, setting.meaning])
    }));
    table
}

fn limits_table(limits: &[LimitRow]) -> Vec<String> {
    let mut table = vec![
        row(&["Limit", "Key", "Burst", "One more every", "Charged at"]),
        row(&["---", "---", "---:", "---", "---"]),
    ];
    table.extend(limits.iter().map(|limit| {
        let name = format!("`{}`", limit.name);
        let (burst, interval) = (limit.burst.to_string(), interval(limit.interval));
        row(&[&name, limit.key, &burst, &interval, limit.charged_at])
    }));
    table
}

/// A time in the largest unit that divides it.
fn interval(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if time.subsec_millis() > 0 => format!("{} ms", time.as_millis()),
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

fn header(titles: &[&str]) -> Vec<String> {
    vec![row(titles), row(&vec!["---"; titles.len()])]
}

/// A row of a table. A vertical bar inside a cell is escaped.
fn row(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| {
        let space = if cell.is_empty() { "" } else { " " };
        format!("{space}{} |", cell.replace('|', "\\|"))
    });
    format!("|{}", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_default_in_backticks_and_escaped_bars() {
        let setting = |default| Setting {
            name: "GATEHOUSE_X",
            default,
            meaning: "`a|b`.",
        };
        let table = settings_table(&[setting(Some("1")), setting(None), setting(Some(""))]);
        let expected = [
            "| Setting | Default | Meaning |",
            "| --- | --- | --- |",
            "| `GATEHOUSE_X` | `1` | `a\\|b`. |",
            "| `GATEHOUSE_X` | | `a\\|b`. |",
            "| `GATEHOUSE_X` | | `a\\|b`. |",
        ];
        assert_eq!(table, expected);
    }

    #[test]
    fn an_interval_has_the_largest_unit_that_divides_it() {
        let cells = [200, 1000, 90_000, 600_000, 3_600_000, 86_400_000]
            .map(|millis| interval(Duration::from_millis(millis)));
        assert_eq!(cells, ["200 ms", "1 s", "90 s", "10 min", "1 h", "24 h"]);
    }
}
