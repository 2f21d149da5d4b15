use serde_json::json;

use super::*;

fn csv(text: &str) -> Lines {
    Format::Csv.read(text.as_bytes()).unwrap()
}

fn json(text: &str) -> Lines {
    Format::Jsonl.read(text.as_bytes()).unwrap()
}

fn errors(lines: Lines) -> Vec<(u64, String)> {
    let errors = lines.into_iter();
    errors
        .filter_map(|(number, line)| Some((number, line.err()?)))
        .collect()
}

fn values(lines: Lines) -> Vec<Line> {
    lines.into_iter().map(|(_, line)| line.unwrap()).collect()
}

fn error_of(format: Format, text: &str) -> String {
    format.read(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn both_formats_read_the_same_users() {
    let csv = csv("localpart,admin,emails,deactivated,password_hash\n\
         alice,1,a@x.org 5; b@x.org 2024-05-01 12:00:00+00,,$2b$hash\n\
         \"bob\",,,t,\n");
    let json = json(
        "{\"localpart\":\"alice\",\"admin\":true,\"emails\":[{\"address\":\"a@x.org\",\"validated_at\":\"5\"},\
          {\"address\":\"b@x.org\",\"validated_at\":\"2024-05-01 12:00:00+00\"}],\"password_hash\":\"$2b$hash\"}\n\
          {\"localpart\":\"bob\",\"deactivated\":true}\n",
    );
    assert_eq!(values(csv), values(json));
}

/// Spreadsheets and databases write such files.
#[test]
fn csv_files_of_other_programs_are_read() {
    let expected = values(csv(
        "localpart,password_hash,phones,deactivated\nalice,$2b$x,+49 151 2345 5,true\n",
    ));
    for text in [
        "\u{feff}localpart,password_hash,phones,deactivated\r\nalice,$2b$x,+49 151 2345 5,TRUE\r\n",
        "localpart;password_hash;phones;deactivated\nalice;$2b$x;+49 151 2345 5;1\n",
        "localpart\tpassword_hash\tphones\tdeactivated\nalice\t$2b$x\t+49 151 2345 5\tyes\n",
        "localpart|password_hash|phones|deactivated\nalice|$2b$x|+49 151 2345 5|Y\n",
        "Localpart, Password_Hash , PHONES,Deactivated\n alice , $2b$x , +49 151 2345 5 ,t",
        "\"localpart\",\"password_hash\",\"phones\",\"deactivated\"\n\"alice\",\"$2b$x\",\"+49 151 2345 5\",\"on\"\n\n",
        "deactivated,created,emails,phones,password_hash,localpart\n1,NULL,\\N,+49 151 2345 5,$2b$x,alice\n",
    ] {
        assert_eq!(values(csv(text)), expected, "{text}");
    }
    let several = csv("localpart;emails\nalice;\"a@x.org 5; b@x.org 6\"\n");
    assert_eq!(values(several)[0].emails.len(), 2);
    assert!(csv("").is_empty() && csv("\n\n").is_empty());
}

#[test]
fn a_wrong_header_line_is_one_error() {
    let hash = "$2b$04$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa";
    for (header, named) in [
        ("localpart,passwordhash", "`passwordhash`"),
        ("localpart,Shadow Banned", "`shadow banned`"),
        ("localpart,localpart", "`localpart` occurs twice"),
        ("password_hash,created", "no column `localpart`"),
        ("name,password", "no header line"),
        (&format!("alice,{hash}"), "no header line"),
        (&format!("localpart,{hash}"), "is not known"),
    ] {
        let error = error_of(
            Format::Csv,
            &format!("{header}\n{}", "bob,x\n".repeat(1000)),
        );
        assert!(
            error.starts_with("line 1: ") && error.contains(named),
            "{error}"
        );
        assert!(!error.contains("LsJn") && error.len() < 300, "{error}");
    }
    assert!(
        error_of(Format::Csv, "localpart,x\na,b\n")
            .contains("the known names are localpart, password_hash")
    );
    let utf16: Vec<u8> = "localpart"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf16 = [b"\xff\xfe".as_slice(), &utf16].concat();
    assert!(
        Format::Csv
            .read(&utf16)
            .unwrap_err()
            .to_string()
            .contains("UTF-16")
    );
}

#[test]
fn a_json_file_with_other_line_breaks_is_one_error() {
    let array = json!([{ "localpart": "alice" }, { "localpart": "bob" }]);
    for (text, command) in [
        (array.to_string(), "jq -c '.[]'"),
        (format!("{array:#}"), "jq -c '.[]'"),
        (format!("{:#}\n{:#}", array[0], array[1]), "jq -c ."),
    ] {
        let error = error_of(Format::Jsonl, &text);
        assert!(
            error.contains("line 1") && error.contains(command),
            "{error}"
        );
    }
}

#[test]
fn json_members_may_be_null_or_of_a_related_type() {
    let line = |members: Value| values(json(&format!("\u{feff}{members}\r\n"))).remove(0);
    let plain = line(json!({ "localpart": "alice" }));
    let nulls = json!({
        "localpart": "alice", "password_hash": null, "emails": null, "phones": null, "created": null,
        "deactivated": null, "displayname": null, "admin": null,
    });
    assert_eq!(line(nulls), plain);
    for no in [
        json!(0),
        json!("0"),
        json!("False"),
        json!(false),
        json!(""),
    ] {
        assert_eq!(
            line(json!({ "localpart": "alice", "deactivated": no })),
            plain
        );
    }
    for yes in [
        json!(1),
        json!("1"),
        json!("True"),
        json!("yes"),
        json!(true),
    ] {
        assert!(line(json!({ "localpart": "alice", "deactivated": yes })).deactivated);
    }
    for none in ["", "NULL", "!", "!Kq3cV8mXyW", "*"] {
        assert_eq!(
            line(json!({ "localpart": "alice", "password_hash": none })),
            plain
        );
    }
    let emails = json!([{ "address": "a@x.org", "validated_at": "5" }]);
    let listed = line(json!({ "localpart": "alice", "emails": emails }));
    for same in [json!("a@x.org 5"), json!(["a@x.org 5"])] {
        assert_eq!(
            line(json!({ "localpart": "alice", "emails": same })),
            listed
        );
    }
}

#[test]
fn an_error_has_its_line_number_and_no_content_of_the_line() {
    let found = errors(csv(
        "localpart,password_hash\nalice,hash\nbob\ncarol,hash,more\n",
    ));
    let expected = [
        (
            3,
            "the line has 1 cells, but the header line has 2".to_owned(),
        ),
        (
            4,
            "the line has 3 cells, but the header line has 2".to_owned(),
        ),
    ];
    assert_eq!(found, expected);
    let found = errors(json(
        "{\"localpart\":\"a\"}\n\n{\"localpart\":\"b\",\"password_hash\":[\"secret\"]}\n\
         {\"localpart\":\"c\",\"passwordd\":\"secret\"}\nsecret\n{\"password_hash\":\"secret\"}\n\
         {\"localpart\":\"d\",\"localpart\":\"e\"}\n{\"localpart\":7}\n{\"localpart\":\"f\",\"emails\":[7]}\n\
         {\"localpart\":\"g\",\"emails\":[{\"address\":\"secret\"}]}\n{\"localpart\":\"h\",\"$2b$secret\":1}\n\
         {\"localpart\":\"i\"} {\"localpart\":\"j\"}\n{\"localpart\":\"k\",\"created\":[]}\n",
    ));
    let named = [
        "`password_hash`",
        "`passwordd`",
        "JSON object",
        "`localpart`",
        "`localpart` occurs twice",
        "`localpart`",
        "`emails`",
        "`emails`",
        "known",
        "JSON object",
        "`created`",
    ];
    let lines: Vec<u64> = found.iter().map(|(number, _)| *number).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    for ((_, error), named) in found.iter().zip(named) {
        assert!(
            error.contains(named) && !error.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn the_format_follows_the_end_of_the_name() {
    for (name, format) in [
        ("users.csv", Format::Csv),
        ("USERS.CSV", Format::Csv),
        ("users.tsv", Format::Csv),
        ("users.jsonl", Format::Jsonl),
        ("a.b.NDJSON", Format::Jsonl),
        ("users.json", Format::Jsonl),
    ] {
        assert_eq!(Format::of(Path::new(name)).unwrap(), format, "{name}");
    }
    for name in ["users.txt", "users", "csv", "-"] {
        let error = Format::of(Path::new(name)).unwrap_err().to_string();
        assert!(error.contains("--format"), "{error}");
    }
}
