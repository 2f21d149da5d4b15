//! Reads the two file formats into numbered lines.
//!
//! An error that concerns the whole file, such as a wrong header line, is reported once. An error of a line does not
//! contain the content of the line, which may be a password hash.

use std::{fmt, path::Path};

use anyhow::bail;
use csv::{ReaderBuilder, StringRecord, Trim};
use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::line::{Line, NAMES};

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A header line, and one user a line; the delimiter is a comma, a semicolon or a tab
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// Lines with their numbers. The error of a line is the reason why the line could not be read.
pub(super) type Lines = Vec<(u64, Result<Line, String>)>;

impl Format {
    /// The format of the file with this name.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        let end = path.extension().and_then(|end| end.to_str());
        match end.map(str::to_ascii_lowercase).as_deref() {
            Some("csv" | "tsv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson" | "json") => Ok(Self::Jsonl),
            _ if path.as_os_str() == "-" => {
                bail!("standard input needs `--format csv` or `--format jsonl`")
            }
            _ => bail!("the name of the file must end in .csv or .jsonl, or give `--format`"),
        }
    }

    /// Reads all lines. Fails with one message if the file as a whole cannot be read.
    pub(super) fn read(self, bytes: &[u8]) -> anyhow::Result<Lines> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            bail!("the file is UTF-16; save it as UTF-8");
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        match self {
            Self::Csv => read_csv(bytes),
            Self::Jsonl => read_json_lines(bytes),
        }
    }
}

fn read_csv(bytes: &[u8]) -> anyhow::Result<Lines> {
    let Some(first) = bytes
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty())
    else {
        return Ok(Vec::new());
    };
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(first))
        .trim(Trim::All)
        .from_reader(bytes);
    let columns = match reader.headers() {
        Ok(header) => columns(header)?,
        Err(error) => bail!("line 1: {}", describe_csv_error(&error)),
    };
    let mut lines = Vec::new();
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(lines),
            Ok(true) => {
                let number = record.position().map_or(0, csv::Position::line);
                lines.push((number, csv_line(&columns, &record)));
            }
            Err(error) => {
                let number = error.position().map_or(0, csv::Position::line);
                lines.push((number, Err(describe_csv_error(&error))));
                // An I/O error is an error of the file, so no further line can be read.
                if error.is_io_error() {
                    return Ok(lines);
                }
            }
        }
    }
}

/// The delimiter of a header line: the one after which most known names stand.
fn delimiter(header: &[u8]) -> u8 {
    let known = |delimiter: &u8| {
        let cells = header.split(|byte| byte == delimiter);
        let names = cells.filter_map(|cell| std::str::from_utf8(cell).ok());
        names
            .filter(|name| NAMES.contains(&column(name).as_str()))
            .count()
    };
    // The last of equal ones wins, so the usual one is the last.
    b"\t;|,".iter().copied().max_by_key(known).unwrap_or(b',')
}

fn column(cell: &str) -> String {
    cell.trim().trim_matches('"').trim().to_ascii_lowercase()
}

/// The names of the columns. The error contains only cells that look like names, because a file without a header line
/// begins with a user.
fn columns(header: &StringRecord) -> anyhow::Result<Vec<&'static str>> {
    let known = NAMES.join(", ");
    let mut columns = Vec::new();
    for cell in header {
        let name = column(cell);
        match NAMES.iter().find(|known| **known == name) {
            Some(name) if columns.contains(name) => {
                bail!("line 1: the column `{name}` occurs twice")
            }
            Some(name) => columns.push(*name),
            None if columns.is_empty()
                && !header
                    .iter()
                    .any(|cell| NAMES.contains(&column(cell).as_str())) =>
            {
                bail!(
                    "line 1: there is no header line; the first line must have the names of the columns: {known}"
                )
            }
            None => bail!(
                "line 1: the column {} is not known; the known names are {known}",
                quoted(&name)
            ),
        }
    }
    if !columns.contains(&"localpart") {
        bail!("line 1: there is no column `localpart`");
    }
    Ok(columns)
}

/// A name for a message, unless it may be a password hash.
fn quoted(name: &str) -> String {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"_- ".contains(&b);
    if name.len() <= 32 && name.bytes().all(is_name) {
        format!("`{name}`")
    } else {
        "after the known ones".to_owned()
    }
}

fn csv_line(columns: &[&str], record: &StringRecord) -> Result<Line, String> {
    let mut line = Line::default();
    for (name, cell) in columns.iter().zip(record) {
        if !cell.is_empty() {
            line.set(name, Value::from(cell))?;
        }
    }
    Ok(line)
}

fn describe_csv_error(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "the line is not valid UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("the line has {len} cells, but the header line has {expected_len}"),
        _ => "the line cannot be read".to_owned(),
    }
}

fn read_json_lines(bytes: &[u8]) -> anyhow::Result<Lines> {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1_u64..);
    let lines: Vec<_> = lines
        .map(|(line, number)| (number, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    if let Some((number, first)) = lines.first() {
        if first.starts_with(b"[") {
            bail!(
                "line {number}: the file is a JSON array, but must have one object a line; \
                 `jq -c '.[]' FILE > users.jsonl` converts it"
            );
        }
        // The beginning of an object that continues on the next line.
        let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(first);
        if first.starts_with(b"{") && parsed.is_err_and(|error| error.is_eof()) {
            bail!(
                "line {number}: the object continues on the next line, but must be on one line; \
                 `jq -c . FILE > users.jsonl` converts it"
            );
        }
    }
    let read = |(number, line): (u64, &[u8])| (number, json_line(line));
    Ok(lines.into_iter().map(read).collect())
}

fn json_line(bytes: &[u8]) -> Result<Line, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let members = deserializer.deserialize_map(Members);
    let members = members.and_then(|members| deserializer.end().map(|()| members));
    let members = members.map_err(|error| {
        format!(
            "the line is not a JSON object, at column {}",
            error.column()
        )
    })?;
    let mut line = Line::default();
    for (index, (name, value)) in members.iter().enumerate() {
        if !NAMES.contains(&name.as_str()) {
            let known = NAMES.join(", ");
            return Err(match quoted(name) {
                name if name.starts_with('`') => {
                    format!("the member {name} is not known; the known names are {known}")
                }
                _ => format!("a member is not known; the known names are {known}"),
            });
        }
        if members[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("the member `{name}` occurs twice"));
        }
        line.set(name, value.clone())?;
    }
    if line.localpart.is_empty() {
        return Err("the member `localpart` is missing".to_owned());
    }
    Ok(line)
}

/// The members of a JSON object in their order, also those that occur twice.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests;
