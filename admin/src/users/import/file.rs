//! Reads the two file formats into numbered lines.

use std::path::Path;

use anyhow::bail;
use csv::ReaderBuilder;
use serde::Deserialize;

use super::line::{Address, Line, TimeValue};

/// The cells of a line of a CSV file. An empty cell means that the value is missing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvRecord {
    localpart: String,
    password_hash: Option<String>,
    emails: Option<String>,
    phones: Option<String>,
    created: Option<String>,
    deactivated: Option<String>,
    #[serde(rename = "displayname")]
    _displayname: Option<String>,
    #[serde(rename = "admin")]
    _admin: Option<String>,
}

/// Lines with their numbers. The error of a line is the reason why the line could not be read.
pub(super) type Lines = Vec<(u64, Result<Line, String>)>;

/// Whether the file is a CSV file, by its extension.
pub(super) fn is_csv(path: &Path) -> anyhow::Result<bool> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("csv") => Ok(true),
        Some("jsonl" | "ndjson") => Ok(false),
        _ => bail!("the name of the file must end in .csv or .jsonl"),
    }
}

pub(super) fn read_csv(bytes: &[u8]) -> Lines {
    let mut reader = ReaderBuilder::new().from_reader(bytes);
    let mut lines = Vec::new();
    let mut record = csv::StringRecord::new();
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return vec![(1, Err(describe_csv_error(&error)))],
    };
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return lines,
            Ok(true) => {
                let number = record.position().map_or(0, csv::Position::line);
                let cells = record.deserialize::<CsvRecord>(Some(&header));
                let line = cells
                    .map_err(|error| describe_csv_error(&error))
                    .and_then(CsvRecord::into_line);
                lines.push((number, line));
            }
            Err(error) => {
                let number = error.position().map_or(0, csv::Position::line);
                lines.push((number, Err(describe_csv_error(&error))));
                // An I/O error is an error of the file, so no further line can be read.
                if error.is_io_error() {
                    return lines;
                }
            }
        }
    }
}

/// Describes an error without the content of the line, which may be a password hash.
fn describe_csv_error(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "the line is not valid UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("the line has {len} cells, but the header line has {expected_len}"),
        csv::ErrorKind::Deserialize { err, .. } => without_unknown_content(&err.kind().to_string()),
        _ => "the line cannot be read".to_owned(),
    }
}

impl CsvRecord {
    fn into_line(self) -> Result<Line, String> {
        let created = self.created.filter(|text| !text.is_empty());
        let deactivated = match self.deactivated.as_deref().unwrap_or_default().trim() {
            "" | "0" | "f" | "false" => false,
            "1" | "t" | "true" => true,
            _ => return Err("`deactivated` must be `true` or `false`".to_owned()),
        };
        Ok(Line {
            localpart: self.localpart,
            password_hash: self.password_hash.filter(|hash| !hash.is_empty()),
            emails: addresses(self.emails.as_deref())?,
            phones: addresses(self.phones.as_deref())?,
            created: created.map(TimeValue::Text),
            deactivated,
            displayname: None,
            admin: None,
        })
    }
}

/// Parses a cell such as `alice@example.org 1714564800; other@example.org 2024-05-01T12:00:00Z`.
fn addresses(cell: Option<&str>) -> Result<Vec<Address>, String> {
    let entries = cell.unwrap_or_default().split(';').map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let parts = entry.rsplit_once(char::is_whitespace);
            let (address, time) = parts
                .ok_or("an address must be followed by a space and the time of its validation")?;
            Ok(Address {
                address: address.trim().to_owned(),
                validated_at: TimeValue::Text(time.to_owned()),
            })
        })
        .collect()
}

pub(super) fn read_json_lines(bytes: &[u8]) -> Lines {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1_u64..);
    lines
        .filter(|(line, _)| !line.trim_ascii().is_empty())
        .map(|(line, number)| {
            let line = serde_json::from_slice::<Line>(line);
            (number, line.map_err(|error| describe_json_error(&error)))
        })
        .collect()
}

/// Returns the message of an error about a field if the text that the message quotes can be a field name.
/// Otherwise returns a general message, because in a file without a header line the quoted text may be a password
/// hash.
fn without_unknown_content(text: &str) -> String {
    let name = text.split('`').nth(1).unwrap_or_default();
    let is_name =
        |name: &str| name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_name(name) {
        text.to_owned()
    } else {
        "the line has an unknown field".to_owned()
    }
}

/// Describes an error without the content of the line, which the messages of serde may contain.
fn describe_json_error(error: &serde_json::Error) -> String {
    let column = error.column();
    if error.is_data() {
        let text = error.to_string();
        let field_errors = ["unknown field", "missing field", "duplicate field"];
        if field_errors.iter().any(|start| text.starts_with(start)) {
            return without_unknown_content(&text);
        }
        format!("a member has a value of the wrong type, at column {column}")
    } else {
        format!("the line is not a JSON object, at column {column}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_read_the_same_users() {
        let csv = read_csv(
            b"localpart,admin,emails,deactivated,password_hash\n\
            alice,1,a@x.org 5; b@x.org 2024-05-01T12:00:00Z,,$2b$hash\n\
            \"bob\",,,t,\n",
        );
        let json = read_json_lines(
            b"{\"localpart\":\"alice\",\"admin\":true,\"emails\":[{\"address\":\"a@x.org\",\"validated_at\":\"5\"},\
              {\"address\":\"b@x.org\",\"validated_at\":\"2024-05-01T12:00:00Z\"}],\"password_hash\":\"$2b$hash\"}\n\
              {\"localpart\":\"bob\",\"deactivated\":true}\n",
        );
        let values = |lines: Lines| {
            let values = lines.into_iter().map(|(_, line)| {
                let line = line.unwrap();
                let emails: Vec<_> = line
                    .emails
                    .into_iter()
                    .map(|email| (email.address, email.validated_at))
                    .collect();
                (line.localpart, line.password_hash, emails, line.deactivated)
            });
            values.collect::<Vec<_>>()
        };
        assert_eq!(values(csv), values(json));
    }

    #[test]
    fn an_error_has_its_line_number_and_no_content_of_the_line() {
        let csv = read_csv(b"localpart,password_hash\nalice,hash\nbob\ncarol,hash,more\n");
        let errors: Vec<_> = csv
            .into_iter()
            .filter_map(|(number, line)| Some((number, line.err()?)))
            .collect();
        assert_eq!(
            errors,
            [
                (
                    3,
                    "the line has 1 cells, but the header line has 2".to_owned()
                ),
                (
                    4,
                    "the line has 3 cells, but the header line has 2".to_owned()
                )
            ]
        );
        let unknown = read_csv(b"localpart,passwordhash\nalice,secret\n");
        let error = unknown[0].1.as_ref().err().unwrap();
        assert!(
            error.contains("passwordhash") && !error.contains("secret"),
            "{error}"
        );
        let json = read_json_lines(
            b"{\"localpart\":\"a\"}\n\n{\"localpart\":\"b\",\"password_hash\":[\"secret\"]}\n\
              {\"localpart\":\"c\",\"passwordd\":\"secret\"}\nsecret\n{\"password_hash\":\"secret\"}\n",
        );
        let errors: Vec<_> = json
            .into_iter()
            .filter_map(|(number, line)| Some((number, line.err()?)))
            .collect();
        let lines: Vec<u64> = errors.iter().map(|(number, _)| *number).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
        for (_, error) in errors {
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
