//! Tables for people: columns line up although a Chinese character is two cells wide.

use unicode_width::UnicodeWidthStr as _;

/// Cells between two columns.
const GAP: usize = 2;

/// Rows under a head; every row has as many cells as the head.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its head.
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self {
            rows: vec![head.map(str::to_owned).to_vec()],
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The text, each line ended; no spaces at the end of a line.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&clean(cell));
                line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// What other people typed cannot move the cursor or colour the terminal.
fn clean(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_wide_characters() {
        let mut table = Table::new(["节点", "up"]);
        table.row(["a1-1".to_owned(), "是".to_owned()]);
        table.row(["缓冲区一".to_owned(), String::new()]);
        assert_eq!(table.render(), "节点      up\na1-1      是\n缓冲区一\n");
    }

    #[test]
    fn a_name_cannot_play_with_the_terminal() {
        let mut table = Table::new(["name"]);
        table.row(["\u{1b}[31mred".to_owned()]);
        assert!(!table.render().contains('\u{1b}'));
    }
}
