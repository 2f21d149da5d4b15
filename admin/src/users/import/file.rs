//! The two kinds of files: each gives its lines with their numbers.

use std::path::Path;

use anyhow::bail;
use csv::ReaderBuilder;
use serde::Deserialize;

use super::line::{Address, Line, Moment};

/// A line of a CSV file, cell by cell; an empty one is as good as none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cells {
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

/// Lines with their numbers, as far as they can be read.
pub(super) type Lines = Vec<(u64, Result<Line, String>)>;

/// Of which kind a file is.
pub(super) fn is_csv(path: &Path) -> anyhow::Result<bool> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("csv") => Ok(true),
        Some("jsonl" | "ndjson") => Ok(false),
        _ => bail!("the file's name must end in .csv or .jsonl, by what it is"),
    }
}

pub(super) fn csv(bytes: &[u8]) -> Lines {
    let mut reader = ReaderBuilder::new().from_reader(bytes);
    let mut lines = Vec::new();
    let mut record = csv::StringRecord::new();
    let head = match reader.headers() {
        Ok(head) => head.clone(),
        Err(error) => return vec![(1, Err(told(&error)))],
    };
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return lines,
            Ok(true) => {
                let number = record.position().map_or(0, csv::Position::line);
                let cells = record.deserialize::<Cells>(Some(&head));
                let line = cells.map_err(|error| told(&error)).and_then(Cells::line);
                lines.push((number, line));
            }
            Err(error) => {
                let number = error.position().map_or(0, csv::Position::line);
                lines.push((number, Err(told(&error))));
                // Not of the line, but of the file.
                if error.is_io_error() {
                    return lines;
                }
            }
        }
    }
}

/// What is wrong, without what stands there: it may be a hash.
fn told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("it has {len} cells, and the head line {expected_len}"),
        csv::ErrorKind::Deserialize { err, .. } => about_field(&err.kind().to_string()),
        _ => "it cannot be read".to_owned(),
    }
}

impl Cells {
    fn line(self) -> Result<Line, String> {
        let moment = |text: String| Some(text).filter(|text| !text.is_empty()).map(Moment::Text);
        let deactivated = match self.deactivated.as_deref().unwrap_or_default().trim() {
            "" | "0" | "f" | "false" => false,
            "1" | "t" | "true" => true,
            _ => return Err("`deactivated` is neither true nor false".to_owned()),
        };
        Ok(Line {
            localpart: self.localpart,
            password_hash: self.password_hash.filter(|hash| !hash.is_empty()),
            emails: addresses(self.emails.as_deref())?,
            phones: addresses(self.phones.as_deref())?,
            created: self.created.and_then(moment),
            deactivated,
            displayname: None,
            admin: None,
        })
    }
}

/// `alice@example.org 1714564800; other@example.org 2024-05-01T12:00:00Z`
fn addresses(cell: Option<&str>) -> Result<Vec<Address>, String> {
    let entries = cell.unwrap_or_default().split(';').map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let parts = entry.rsplit_once(char::is_whitespace);
            let (address, time) =
                parts.ok_or("an address is not followed by when it was validated")?;
            Ok(Address {
                address: address.trim().to_owned(),
                validated_at: Moment::Text(time.to_owned()),
            })
        })
        .collect()
}

pub(super) fn json_lines(bytes: &[u8]) -> Lines {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1_u64..);
    lines
        .filter(|(line, _)| !line.trim_ascii().is_empty())
        .map(|(line, number)| {
            let line = serde_json::from_slice::<Line>(line);
            (number, line.map_err(|error| fault(&error)))
        })
        .collect()
}

/// A fault that names a field, if that can be one's name: in a file without a head line it may be a hash.
fn about_field(text: &str) -> String {
    let name = text.split('`').nth(1).unwrap_or_default();
    let is_name =
        |name: &str| name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_name(name) {
        text.to_owned()
    } else {
        "it has a field that is not known".to_owned()
    }
}

/// Only what kind of fault it is: serde's own words may hold what stands there.
fn fault(error: &serde_json::Error) -> String {
    let column = error.column();
    if error.is_data() {
        let text = error.to_string();
        let about = ["unknown field", "missing field", "duplicate field"];
        if about.iter().any(|begin| text.starts_with(begin)) {
            return about_field(&text);
        }
        format!("a member has a value of the wrong type, at column {column}")
    } else {
        format!("it is not a JSON object, at column {column}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_files_say_the_same() {
        let csv = csv(b"localpart,admin,emails,deactivated,password_hash\n\
            alice,1,a@x.org 5; b@x.org 2024-05-01T12:00:00Z,,$2b$hash\n\
            \"bob\",,,t,\n");
        let json = json_lines(
            b"{\"localpart\":\"alice\",\"admin\":true,\"emails\":[{\"address\":\"a@x.org\",\"validated_at\":\"5\"},\
              {\"address\":\"b@x.org\",\"validated_at\":\"2024-05-01T12:00:00Z\"}],\"password_hash\":\"$2b$hash\"}\n\
              {\"localpart\":\"bob\",\"deactivated\":true}\n",
        );
        let plain = |lines: Lines| {
            let lines = lines.into_iter();
            let told = lines.map(|(_, line)| {
                let line = line.unwrap();
                let emails = line.emails.into_iter();
                let emails: Vec<_> = emails.map(|own| (own.address, own.validated_at)).collect();
                (line.localpart, line.password_hash, emails, line.deactivated)
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(plain(csv), plain(json));
    }

    #[test]
    fn a_fault_has_its_line_and_does_not_say_what_stands_there() {
        let csv = csv(b"localpart,password_hash\nalice,hash\nbob\ncarol,hash,more\n");
        let told: Vec<_> = csv
            .into_iter()
            .filter_map(|(number, line)| Some((number, line.err()?)))
            .collect();
        assert_eq!(
            told,
            [
                (3, "it has 1 cells, and the head line 2".to_owned()),
                (4, "it has 3 cells, and the head line 2".to_owned())
            ]
        );
        let unknown = super::csv(b"localpart,passwordhash\nalice,secret\n");
        let fault = unknown[0].1.as_ref().err().unwrap();
        assert!(
            fault.contains("passwordhash") && !fault.contains("secret"),
            "{fault}"
        );
        let json = json_lines(
            b"{\"localpart\":\"a\"}\n\n{\"localpart\":\"b\",\"password_hash\":[\"secret\"]}\n\
              {\"localpart\":\"c\",\"passwordd\":\"secret\"}\nsecret\n{\"password_hash\":\"secret\"}\n",
        );
        let faults: Vec<_> = json
            .into_iter()
            .filter_map(|(number, line)| Some((number, line.err()?)))
            .collect();
        let lines: Vec<u64> = faults.iter().map(|(number, _)| *number).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
        for (_, fault) in faults {
            assert!(!fault.contains("secret"), "{fault}");
        }
    }
}
