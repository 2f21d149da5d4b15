//! Text that is assembled from lines, because a YAML or TOML library would drop the comments.

use anyhow::{Context, Result, ensure};

/// `text` with `body` between the lines `begin` and `end`. These two lines stay, and may be indented.
pub(crate) fn replace_block(text: &str, begin: &str, end: &str, body: &[String]) -> Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    let position = |marker: &str| {
        let mut found = (0..lines.len()).filter(|&index| lines[index].trim() == marker);
        let first = found.next();
        let first = first.with_context(|| format!("the line `{marker}` is missing"))?;
        ensure!(found.next().is_none(), "the line `{marker}` occurs twice");
        Ok(first)
    };
    let (first, last) = (position(begin)?, position(end)?);
    ensure!(first < last, "`{end}` is above `{begin}`");
    let body = body.iter().map(String::as_str);
    let lines = lines[..=first]
        .iter()
        .copied()
        .chain(body)
        .chain(lines[last..].iter().copied());
    Ok(joined(lines))
}

/// `text` with `line` in place of the only line that starts with `start` after its indentation. The indentation is
/// kept.
pub(crate) fn replace_line(text: &str, start: &str, line: &str) -> Result<String> {
    let is_wanted = |line: &&str| line.trim_start().starts_with(start);
    let count = text.lines().filter(is_wanted).count();
    ensure!(
        count == 1,
        "{count} lines start with `{start}`, but there must be one"
    );
    Ok(joined(text.lines().map(|old| {
        if is_wanted(&old) {
            format!("{}{line}", " ".repeat(indentation(old)))
        } else {
            old.to_owned()
        }
    })))
}

/// The lines with `depth` more spaces before each line that is not empty.
pub(crate) fn indented<'a>(
    depth: usize,
    lines: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = String> {
    lines.into_iter().map(move |line| {
        if line.is_empty() {
            String::new()
        } else {
            format!("{}{line}", " ".repeat(depth))
        }
    })
}

/// The number of spaces that a line starts with.
pub(crate) fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The lines, with a line break after each line.
pub(crate) fn joined(lines: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_replaced_between_its_markers_alone() {
        let text = "a\n  # x\n  old\n  # /x\nb\n";
        let body = ["  new".to_owned(), "  newer".to_owned()];
        let replaced = replace_block(text, "# x", "# /x", &body).unwrap();
        assert_eq!(replaced, "a\n  # x\n  new\n  newer\n  # /x\nb\n");
        assert_eq!(
            replace_block(&replaced, "# x", "# /x", &body).unwrap(),
            replaced
        );
        for wrong in ["# x\n", "# /x\n# x\n", "# x\n# x\n# /x\n"] {
            assert!(
                replace_block(wrong, "# x", "# /x", &body).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_line_is_replaced_at_its_indentation() {
        let text = "a\n  key old\nb\n";
        assert_eq!(
            replace_line(text, "key ", "key new").unwrap(),
            "a\n  key new\nb\n"
        );
        assert!(replace_line("a\n", "key ", "key new").is_err());
        assert!(replace_line("key 1\nkey 2\n", "key ", "key new").is_err());
    }
}
