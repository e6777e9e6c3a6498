//! A QR code drawn with characters, two modules high each.
//!
//! Cameras want dark modules on a light ground with a light margin. Colours of their own make that
//! true on dark and light terminals alike; without colours the light modules are drawn, which is
//! right on dark terminals.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of light margin on every side (ISO/IEC 18004 §6.3.8).
const QUIET_ZONE: usize = 4;

/// Black characters on white, from the fixed part of the 256 colours: themes do not change them.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// Draws `text`, one line of characters after the other. `None` if it is too long for a QR code.
pub fn draw(text: &str, color: bool) -> Option<Vec<String>> {
    // Nothing hides a part of a screen: the least redundancy gives the smallest picture.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let (width, colors) = (code.width(), code.to_colors());
    let side = width + 2 * QUIET_ZONE;
    let dark = |x: usize, y: usize| {
        let inside = QUIET_ZONE..QUIET_ZONE + width;
        inside.contains(&x)
            && inside.contains(&y)
            && colors[(y - QUIET_ZONE) * width + (x - QUIET_ZONE)] == Color::Dark
    };
    let lines = (0..side).step_by(2).map(|y| {
        // Without colours a character is the light part.
        let drawn = |x, y| dark(x, y) == color;
        let cells = (0..side).map(|x| match (drawn(x, y), drawn(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        });
        let cells: String = cells.collect();
        if color { format!("{BLACK_ON_WHITE}{cells}{RESET}") } else { cells }
    });
    Some(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/files.example.com:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
                       &issuer=files.example.com";

    /// The modules of a drawing, `true` for dark, with the margin.
    fn modules(lines: &[String], color: bool) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in lines {
            let cells = match color {
                true => line.strip_prefix(BLACK_ON_WHITE).unwrap().strip_suffix(RESET).unwrap(),
                false => line.as_str(),
            };
            let (upper, lower): (Vec<bool>, Vec<bool>) = cells
                .chars()
                .map(|cell| match cell {
                    '█' => (color, color),
                    '▀' => (color, !color),
                    '▄' => (!color, color),
                    ' ' => (!color, !color),
                    other => panic!("{other:?}"),
                })
                .unzip();
            rows.extend([upper, lower]);
        }
        rows
    }

    #[test]
    fn every_module_is_drawn_with_the_margin_around() {
        let code = QrCode::with_error_correction_level(URI, EcLevel::L).unwrap();
        let width = code.width();
        for color in [true, false] {
            let rows = modules(&draw(URI, color).unwrap(), color);

            // Half a line more at the bottom: the margin may be wider, never narrower.
            assert!(rows.len() >= width + 2 * QUIET_ZONE);
            for (y, row) in rows.iter().enumerate() {
                assert_eq!(row.len(), width + 2 * QUIET_ZONE);
                for (x, dark) in row.iter().enumerate() {
                    let inside = QUIET_ZONE..QUIET_ZONE + width;
                    let expected = inside.contains(&x)
                        && inside.contains(&y)
                        && code[(x - QUIET_ZONE, y - QUIET_ZONE)] == Color::Dark;
                    assert_eq!(*dark, expected, "{x},{y} color {color}");
                }
            }
        }
    }

    #[test]
    fn a_usual_address_fits_a_usual_terminal() {
        let lines = draw(URI, false).unwrap();

        assert!(lines.len() <= 25, "{} lines", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn what_no_code_can_hold_is_not_drawn() {
        assert!(draw(&"x".repeat(10_000), true).is_none());
    }
}
