//! Writes to stdout. A write that fails is an error of the command: the disk may be full, or the reader of the pipe
//! may have ended.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

/// Writes the text and a line break. Writes nothing if the text is empty.
pub fn print(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// The error for a write that failed.
pub fn error(error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("the output could not be written: {error}")
}

/// The text with control characters escaped, because they could control the terminal.
pub fn escaped(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            // Writing to a string cannot fail.
            let _ = write!(output, "\\u{:04x}", u32::from(c));
        } else {
            output.push(c);
        }
    }
    output
}
