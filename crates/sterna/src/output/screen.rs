//! The terminal under the progress display.
//!
//! The drawing library fills each line with blanks up to the right edge, and so gets to the next. The
//! `^C` that a terminal shows for a typed Ctrl-C then begins a line of its own, and one line of the block
//! stays for ever. Here a line ends behind its text, and the cursor with it.

use std::io::{self, Write};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

/// Size of a terminal that does not tell (columns, rows).
const SIZE_DEFAULT: (u16, u16) = (80, 24);

/// Columns and rows of the terminal at stderr.
pub fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => SIZE_DEFAULT,
    }
}

/// Stderr, a terminal.
#[derive(Debug, Default)]
pub struct Screen {
    picture: Mutex<Picture>,
}

/// What is written with the next flush, in one piece.
#[derive(Debug, Default)]
struct Picture {
    out: String,
    /// A line is complete; the next text begins another.
    line_is_full: bool,
}

impl Screen {
    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something that is not the text of a line.
    fn control(&self, sequence: &str) -> io::Result<()> {
        let mut picture = self.picture();
        picture.line_is_full = false;
        picture.out.push_str(sequence);
        Ok(())
    }

    fn move_by(&self, count: usize, direction: char) -> io::Result<()> {
        match count {
            0 => Ok(()),
            count => self.control(&format!("\x1b[{count}{direction}")),
        }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.move_by(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.move_by(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.move_by(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.move_by(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.control(&format!("{text}\r\n"))
    }

    /// The text of a line, or the blanks that fill it.
    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut picture = self.picture();
        if text.chars().all(|c| c == ' ') {
            picture.out.push_str("\x1b[K");
            picture.line_is_full = true;
        } else {
            let next = if mem::take(&mut picture.line_is_full) { "\r\n" } else { "" };
            picture.out.push_str(next);
            picture.out.push_str(text);
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.control("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let out = mem::take(&mut self.picture().out);
        let mut stderr = io::stderr().lock();
        stderr.write_all(out.as_bytes())?;
        stderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal of 20 columns, as far as the block needs one.
    #[derive(Default)]
    struct Terminal {
        rows: Vec<Vec<char>>,
        row: usize,
        column: usize,
    }

    impl Terminal {
        const WIDTH: usize = 20;

        fn show(&mut self, text: &str) {
            let mut chars = text.chars();
            while let Some(c) = chars.next() {
                self.rows.resize((self.row + 1).max(self.rows.len()), vec![' '; Self::WIDTH]);
                match c {
                    '\r' => self.column = 0,
                    '\n' => self.row += 1,
                    '\x1b' => {
                        assert_eq!(chars.next(), Some('['));
                        let sequence: String =
                            chars.by_ref().take_while(|c| c.is_ascii_digit()).collect();
                        // The letter behind the digits was taken with them.
                        let at = text.len() - chars.as_str().len() - 1;
                        let count = sequence.parse().unwrap_or(0);
                        match &text[at..=at] {
                            "A" => self.row -= count,
                            "B" => self.row += count,
                            "K" => {
                                let from = if count == 2 { 0 } else { self.column };
                                self.rows[self.row][from.min(Self::WIDTH)..].fill(' ');
                            }
                            other => panic!("{other}"),
                        }
                    }
                    c => {
                        if self.column == Self::WIDTH {
                            (self.row, self.column) = (self.row + 1, 0);
                            self.rows.resize(self.row + 1, vec![' '; Self::WIDTH]);
                        }
                        self.rows[self.row][self.column] = c;
                        self.column += 1;
                    }
                }
            }
        }

        fn text(&self) -> String {
            let rows =
                self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
            rows.collect::<Vec<_>>().join("\n").trim_end().to_owned()
        }
    }

    /// What the drawing library does: clears the lines of the last picture, then writes new ones.
    fn draw(screen: &Screen, before: usize, lines: &[&str]) -> String {
        screen.move_cursor_up(before.saturating_sub(1)).unwrap();
        for line in 0..before {
            screen.clear_line().unwrap();
            if line + 1 != before {
                screen.move_cursor_down(1).unwrap();
            }
        }
        screen.move_cursor_up(before.saturating_sub(1)).unwrap();
        for line in lines {
            screen.write_str(line).unwrap();
            screen.write_str(&" ".repeat(Terminal::WIDTH - line.len())).unwrap();
        }
        mem::take(&mut screen.picture().out)
    }

    #[test]
    fn lines_stand_below_each_other_and_nothing_stays_even_after_a_typed_ctrl_c() {
        let (screen, mut terminal) = (Screen::default(), Terminal::default());
        terminal.show("> sterna put\r\n");

        terminal.show(&draw(&screen, 0, &["34% of all", "2 of 4 files", "a name"]));
        assert_eq!(terminal.text(), "> sterna put\n34% of all\n2 of 4 files\na name");
        terminal.show("^C");
        terminal.show(&draw(&screen, 3, &["35%", "3 of 4 files"]));
        assert_eq!(terminal.text(), "> sterna put\n35%\n3 of 4 files");
        terminal.show("^C");
        terminal.show(&draw(&screen, 2, &[]));
        assert_eq!(terminal.text(), "> sterna put");
        assert_eq!((terminal.row, terminal.column), (1, 0));
    }
}
